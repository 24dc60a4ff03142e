import Contracts
import NIOCore
import Redis
import TestSupport
import Testing

@testable import Gateway

/// Limiters of several gateways on a real Redis.
@Suite struct RateLimiterTests {
    private func key() -> String { "test:\(UInt64.random(in: 0...UInt64.max))" }

    private func configuration(_ redis: PrivateRedis) -> RedisConfiguration { RedisConfiguration(host: "127.0.0.1", port: redis.port) }

    /// Goal: in no window of a limit's length more than its number, across gateways, and at least 97 % of what an exact limit admits of the
    /// same requests. Both gateways are asked for more than the limit, for two windows and more.
    @Test func aWindowNeverHoldsMoreThanTheLimitAndHardlyLess() async throws {
        let gateways = [try await TestLimiter(TestGateway.redis), try await TestLimiter(TestGateway.redis)]
        let policies = [(7, 20), (40, 10), (150, 5), (200, 3), (1000, 1)]
        await withThrowingTaskGroup(of: Void.self) { group in
            for (count, pause) in policies {
                let policy = RateLimit(count: count, period: 1)
                let key = key()
                group.addTask {
                    let asked = try await withThrowingTaskGroup(of: [Asked].self) { loads in
                        for gateway in gateways {
                            loads.addTask { try await gateway.load(key, policy, for: .milliseconds(2150), every: .milliseconds(pause)) }
                        }
                        return try await loads.reduce(into: []) { $0 += $1 }
                    }
                    let admitted = asked.count { $0.isAdmitted }
                    let exactly = Asked.exactly(policy, asked)
                    #expect(Asked.violations(of: policy, asked) == 0, "\(policy)")
                    #expect(admitted * 100 >= exactly * 97, "\(policy): \(admitted) of \(exactly)")
                    #expect(exactly < asked.count, "\(policy) was not asked for too much")
                }
            }
        }
    }

    /// Goal: neither a Redis that is away, nor one that comes back empty, lets a window of the only gateway hold more than the limit: what was
    /// admitted by leases counts for the local share, and all of it is told to the new Redis.
    @Test func noWindowHoldsMoreThoughRedisIsKilledAndStartedAnew() async throws {
        try await PrivateRedis.run { redis async throws in
            var configuration = configuration(redis)
            configuration.commandTimeout = .milliseconds(400)
            let gateway = try await TestLimiter(configuration, shares: LocalShares(share: 1))
            let policy = RateLimit(count: 60, period: 1)
            let load = Task { try await gateway.load("k", policy, for: .milliseconds(2500), every: .milliseconds(5)) }
            for _ in 0..<2 {
                let failed = try await gateway.with { $0.failedDraws }
                await redis.kill()
                try await eventually("the limiter noticed", every: .milliseconds(5)) { try await gateway.with { $0.failedDraws } > failed }
                try await redis.start()
                let draws = try await gateway.with { $0.draws - $0.failedDraws }
                try await eventually("it draws again", every: .milliseconds(5)) {
                    try await gateway.with { $0.draws - $0.failedDraws } > draws
                }
            }
            let asked = try await load.value
            #expect(Asked.violations(of: policy, asked) == 0)
            #expect(asked.count { $0.isAdmitted } >= 100)
        }
    }

    /// Each loop has half of the requests of a gateway; a gateway's share is one, whichever loop they come to.
    @Test func whileRedisIsAwayTheLoopsOfAGatewayHaveOneShareTogether() async throws {
        let nowhere = RedisConfiguration(host: "127.0.0.1", port: 1)
        let policy = RateLimit(count: 20, period: 900)
        func admitted(_ policy: RateLimit, _ loops: [TestLimiter], _ turns: [Int]) async throws -> Int {
            var admitted = 0
            for turn in turns where try await loops[turn].ask("of \(policy.count)", policy).isAdmitted { admitted += 1 }
            return admitted
        }
        let shares = LocalShares(share: 0.5)
        let loops = [try await TestLimiter(nowhere, shares: shares), try await TestLimiter(nowhere, shares: shares)]
        // All that a client on one connection gets, and nothing is left for the other loop.
        #expect(try await admitted(policy, loops, Array(repeating: 0, count: 15)) == 10)
        #expect(try await admitted(policy, loops, [1, 1, 1]) == 0)
        // At least one of each limit a gateway.
        #expect(try await admitted(RateLimit(count: 1, period: 60), loops, [0, 1, 0, 1]) == 1)
        let refused = try await loops[1].ask("of 20", policy)
        #expect((880...900).contains(refused.retryAfter ?? 0) && refused.remaining == 0)
    }

    @Test func theHeadersOfASmallLimitAreTrueAcrossGateways() async throws {
        let gateways = [try await TestLimiter(TestGateway.redis), try await TestLimiter(TestGateway.redis)]
        let policy = RateLimit(count: 5, period: 3600)
        let key = key()
        for turn in 0..<5 {
            let answer = try await gateways[turn % 2].ask(key, policy)
            #expect(answer.isAdmitted && answer.remaining == 4 - turn && (3590...3600).contains(answer.resetSeconds))
        }
        for gateway in gateways {
            let answer = try await gateway.ask(key, policy)
            #expect(!answer.isAdmitted && answer.remaining == 0)
            #expect((3590...3600).contains(answer.retryAfter ?? 0) && answer.resetSeconds == answer.retryAfter)
        }
    }

    @Test func whatABatchHoldsCountsForTheOtherGatewayToo() async throws {
        let gateways = [try await TestLimiter(TestGateway.redis), try await TestLimiter(TestGateway.redis)]
        let policy = RateLimit(count: 20, period: 900)
        let key = key()
        #expect(try await gateways[0].ask(key, policy).isAdmitted)
        try await gateways[0].with { $0.bucket(key, name: "user", policy: policy).owe(9, now: .now()) }
        // It waits until Redis has been told.
        #expect(try await gateways[0].ask(key, policy).isAdmitted)
        var admitted = 0
        for _ in 0..<20 where try await gateways[1].ask(key, policy).isAdmitted { admitted += 1 }
        #expect(admitted == 9)
    }

    @Test func tokensGivenBackAreThereForOthers() async throws {
        let gateway = try await TestLimiter(TestGateway.redis)
        let policy = RateLimit(count: 5, period: 900)
        let key = key()
        for _ in 0..<50 {
            #expect(try await gateway.ask(key, policy).isAdmitted)
            try await gateway.with { $0.bucket(key, name: "user", policy: policy).giveBack() }
        }
        var admitted = 0
        for _ in 0..<10 where try await gateway.ask(key, policy).isAdmitted { admitted += 1 }
        #expect(admitted == 5)
    }

    /// Goal: a slow limit does not ask Redis for each request while it is far from used up, and what it drew too much comes back.
    @Test func aSlowLimitIsDrawnAheadAndGivesBackWhatItDoesNotSpend() async throws {
        let gateway = try await TestLimiter(TestGateway.redis)
        let slow = RateLimit(count: 100, period: 900)
        let first = key()
        for _ in 0..<60 { #expect(try await gateway.ask(first, slow).isAdmitted) }
        #expect(try await gateway.with { $0.draws } <= 30)
        let quick = RateLimit(count: 640, period: 10)
        let second = key()
        for _ in 0..<40 { #expect(try await gateway.ask(second, quick).isAdmitted) }
        // Of the whole limit another gateway sees all but what was admitted.
        let redis = RedisClient(configuration: TestGateway.redis, eventLoop: gateway.loop)
        try await eventually("the rest of the lease has come back", every: .milliseconds(10)) {
            let look = LeaseRequest(log: 0, needed: 0, wanted: 0, settled: nil, kept: 0, spent: [])
            guard case .lease(let lease) = try await LeaseStore(redis: redis).draw(look, key: second, policy: quick).get() else {
                return false
            }
            return lease.remaining == 600
        }
    }

    @Test func aRedisWithoutTheScriptIsGivenIt() async throws {
        try await PrivateRedis.run { redis async throws in
            let client = RedisClient(configuration: configuration(redis), eventLoop: try await TestLimiter(configuration(redis)).loop)
            let gateway = try await TestLimiter(configuration(redis))
            for _ in 0..<3 {
                #expect(try await gateway.ask("k", RateLimit(count: 10, period: 900)).isAdmitted)
                _ = try await client.command(["SCRIPT", "FLUSH"])
            }
            #expect(try await gateway.with { $0.failedDraws } == 0)
        }
    }

    /// Goal: a key that Redis dropped, for want of memory or by a restart, is made again with what the gateways admitted.
    @Test func aKeyThatWasLostIsMadeAgainWithWhatWasAdmitted() async throws {
        let gateways = [try await TestLimiter(TestGateway.redis), try await TestLimiter(TestGateway.redis)]
        let policy = RateLimit(count: 8, period: 900)
        let key = key()
        for turn in 0..<5 { #expect(try await gateways[turn % 2].ask(key, policy).isAdmitted) }
        let redis = RedisClient(configuration: TestGateway.redis, eventLoop: gateways[0].loop)
        #expect(try await redis.command(["DEL", "martlet:limit:\(key):900"]).integer == 1)
        var admitted = 0
        for turn in 0..<8 where try await gateways[turn % 2].ask(key, policy).isAdmitted { admitted += 1 }
        #expect(admitted == 3)
    }

    /// Goal: a key holds a few hundred numbers at most, and is gone when it is void.
    @Test func aKeyIsBoundedAndExpires() async throws {
        let gateway = try await TestLimiter(TestGateway.redis)
        let redis = RedisClient(configuration: TestGateway.redis, eventLoop: gateway.loop)
        let store = LeaseStore(redis: redis)
        let policy = RateLimit(count: 5000, period: 2)
        let key = key()
        for _ in 0..<300 {
            let spent: [(age: TimeAmount, count: Int)] = (0..<4).map { (.milliseconds(4 - $0), 2) }
            _ = try await store.draw(
                LeaseRequest(log: 0, needed: 0, wanted: 0, settled: nil, kept: 0, spent: spent), key: key, policy: policy
            ).get()
        }
        let name = "martlet:limit:\(key):2"
        #expect(try await redis.command(["STRLEN", name]).integer.map { $0 < 2000 } == true)
        #expect(try await redis.command(["PTTL", name]).integer.map { (0...2001).contains($0) } == true)
    }

    /// Goal: whoever rotates through the addresses of IPv6 does not put others on the local share: Redis forgets what was not used lately,
    /// and is told again by the gateway that still knows. Redis has room for a part of the addresses only.
    @Test func aFullRedisTakesNothingFromATenant() async throws {
        try await PrivateRedis.run(settings: ["maxmemory": "3mb", "maxmemory-policy": "volatile-lru"]) { redis async throws in
            var configuration = configuration(redis)
            configuration.commandTimeout = .seconds(10)
            // Were it ever to fall back to its share, the tenant would get one request.
            let gateway = try await TestLimiter(configuration, shares: LocalShares(share: 0.001))
            let policy = RateLimit(count: 50, period: 900)
            var admitted = 0
            for round in 0..<60 {
                if try await gateway.ask("tenant", policy).isAdmitted { admitted += 1 }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<200 {
                        let address = try #require(IPAddress("2001:\(String(round, radix: 16)):\(String(number, radix: 16))::1"))
                        group.addTask { _ = try await gateway.ask { $0.address(address) } }
                    }
                    try await group.waitForAll()
                }
            }
            let client = RedisClient(configuration: configuration, eventLoop: gateway.loop)
            let statistics = try await client.command(["INFO", "stats"]).string ?? ""
            #expect(!statistics.contains("evicted_keys:0\r\n"), "Redis was not full")
            #expect(admitted == 50)
            #expect(try await gateway.with { $0.failedDraws } == 0)
        }
    }

    @Test func aNetworkOfIPv6HasALimitBesideThatOfItsAddresses() async throws {
        let gateway = try await TestLimiter(TestGateway.redis, addressLimit: 3)
        let network = "2001:\(String(UInt16.random(in: 1...UInt16.max), radix: 16)):\(String(UInt16.random(in: 1...UInt16.max), radix: 16))"
        let isFree = try #require(IPAddress("203.0.113.7"))
        #expect(try await gateway.with { $0.network(isFree, isRefresh: false) == nil })
        var admitted = 0
        for number in 1...120 {
            let address = try #require(IPAddress("\(network):\(String(number, radix: 16))::1"))
            if try await gateway.ask({ $0.network(address, isRefresh: false) ?? $0.address(address) }).isAdmitted { admitted += 1 }
        }
        #expect(admitted == 96)
        let address = try #require(IPAddress("\(network):1::1"))
        #expect(try await gateway.ask { $0.network(address, isRefresh: true) ?? $0.address(address) }.isAdmitted)
    }
}
