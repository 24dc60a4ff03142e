import Contracts
import Core
import NIOCore
import Operations
import Redis
import TestSupport
import Testing

@testable import Gateway

@Suite struct LimitTests {
    /// Sends the requests at once over both gateways and counts the answers by status.
    private func burst(_ count: Int, _ gateways: [TestGateway], token: String) async throws -> [Int: Int] {
        try await withThrowingTaskGroup(of: [Int].self) { group in
            for worker in 0..<8 {
                group.addTask {
                    let gateway = gateways[worker % gateways.count]
                    return try await TestClient.connect(port: gateway.port) { client async throws in
                        var statuses: [Int] = []
                        for _ in 0..<count / 8 { statuses.append(try await client.get("/v1/leads", token: token).status) }
                        return statuses
                    }
                }
            }
            return try await group.reduce(into: [:]) { counts, statuses in for status in statuses { counts[status, default: 0] += 1 } }
        }
    }

    @Test func twoGatewaysTogetherAdmitExactlyTheLimit() async throws {
        let key = TestKey()
        try await TestGateway.with(key: key) { first async throws in
            try await TestGateway.with(key: key, upstream: first.upstream, upstreamPort: first.upstreamPort) { second async throws in
                var member = TestMember()
                member.tenantRate = nil
                member.userRate = (40, 900)
                let counts = try await burst(160, [first, second], token: key.token(for: member))
                #expect(counts == [200: 40, 429: 120])
            }
        }
    }

    /// Goal: a limit never admits more than its number in any window of its length, nor twice of it in its first one. Two gateways are asked
    /// for more than a window; each answer lies between the time before its request and the time after it.
    @Test func noWindowOfALimitHoldsMoreThanItsNumber() async throws {
        let key = TestKey()
        try await TestGateway.with(key: key) { first async throws in
            try await TestGateway.with(key: key, upstream: first.upstream, upstreamPort: first.upstreamPort) { second async throws in
                var member = TestMember()
                member.tenantRate = (30, 1)
                member.userRate = nil
                let token = key.token(for: member)
                let asked = try await withThrowingTaskGroup(of: [Asked].self) { group in
                    for gateway in [first, second] {
                        group.addTask {
                            try await TestClient.connect(port: gateway.port) { client async throws in
                                var all: [Asked] = []
                                let start = NIODeadline.now()
                                while NIODeadline.now() - start < .milliseconds(1300) {
                                    let before = NIODeadline.now()
                                    let status = try await client.get("/v1/leads", token: token).status
                                    all.append(Asked(before: before, after: .now(), isAdmitted: status == 200))
                                }
                                return all
                            }
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(Asked.violations(of: RateLimit(count: 30, period: 1), asked) == 0)
                #expect(asked.count { $0.isAdmitted } >= 58)
            }
        }
    }

    @Test func anAnswerTellsTheLimitAndARefusalWhenToComeBack() async throws {
        try await TestGateway.with { gateway async throws in
            var member = TestMember()
            member.tenantRate = (100, 1)
            member.userRate = (2, 900)
            let token = gateway.key.token(for: member)
            let first = try await gateway.get("/v1/leads", token: token)
            #expect(first.header("ratelimit-policy") == "\"user\";q=2;w=900, \"tenant\";q=100;w=1")
            #expect(first.header("ratelimit")?.hasPrefix("\"user\";r=1;t=900") == true)
            _ = try await gateway.get("/v1/leads", token: token)
            let over = try await gateway.get("/v1/leads", token: token)
            #expect(over.status == 429)
            #expect(over.header("retry-after").flatMap { Int($0) }.map { (890...900).contains($0) } == true)
            #expect(over.header("ratelimit")?.hasPrefix("\"user\";r=0") == true)
        }
    }

    /// E2: an answer to a batch says how many operations it held; each counts, in the same answer already, and what the lease at hand
    /// lacks is owed.
    @Test func everyOperationOfABatchCounts() async throws {
        try await TestGateway.with(script: { _ in .ok(headers: "Martlet-Operations: 40\r\n") }) { gateway async throws in
            var member = TestMember()
            member.tenantRate = nil
            member.userRate = (100, 900)
            let token = gateway.key.token(for: member)
            // On one connection, and so on one event loop, which counts what it owes by itself.
            try await TestClient.connect(port: gateway.port) { client async throws in
                let first = try await client.get("/v1/leads", token: token)
                #expect(first.status == 200 && first.header("martlet-operations") == nil)
                #expect(first.header("ratelimit")?.hasPrefix("\"user\";r=60;") == true, "\(first.header("ratelimit") ?? "-")")
                #expect(try await client.get("/v1/leads", token: token).header("ratelimit")?.hasPrefix("\"user\";r=20;") == true)
                // Forty of twenty: the debt is waited for like any other token.
                #expect(try await client.get("/v1/leads", token: token).header("ratelimit")?.hasPrefix("\"user\";r=0;") == true)
                #expect(try await client.get("/v1/leads", token: token).status == 429)
            }
        }
    }

    /// Goal: whoever hangs up once a batch is under way is charged for all of it, as it is done all the same.
    @Test func everyOperationCountsThoughItsClientHasGone() async throws {
        try await TestGateway.with(script: { $0.method == "POST" ? .hold : .ok() }) { gateway async throws in
            var member = TestMember()
            member.tenantRate = nil
            member.userRate = (100, 900)
            let token = gateway.key.token(for: member)
            var holds = gateway.upstream.holds.makeAsyncIterator()
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(
                    "POST /v1/leads/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nContent-Length: 2\r\n\r\n{}")
                await holds.next()
            }
            try await eventually("the client has gone") {
                try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                    .contains("\nmartlet_gateway_in_flight 0\n")
            }
            gateway.upstream.answerHeld(headers: "Martlet-Operations: 40\r\n")
            var further = 0
            try await eventually("forty are gone, and one for each look") {
                further += 1
                let limit = try await gateway.get("/v1/leads", token: token).header("ratelimit")?.split(separator: ";r=").last
                // Less what the other event loop has at hand.
                return limit.flatMap { Int($0.prefix { $0 != ";" }) }.map { (50 - further...60 - further).contains($0) } == true
            }
        }
    }

    @Test func oneUserAtHisLimitDoesNotUseUpHisTenants() async throws {
        try await TestGateway.with { gateway async throws in
            var member = TestMember()
            member.tenantRate = (10, 900)
            member.userRate = (5, 900)
            let token = gateway.key.token(for: member)
            var statuses: [Int] = []
            for _ in 0..<20 { statuses.append(try await gateway.get("/v1/leads", token: token).status) }
            #expect(statuses.filter { $0 == 200 }.count == 5)
            member.user = UserID()
            let colleague = gateway.key.token(for: member)
            statuses = []
            for _ in 0..<10 { statuses.append(try await gateway.get("/v1/leads", token: colleague).status) }
            #expect(statuses.filter { $0 == 200 }.count == 5)
        }
    }

    /// The addresses here are told by a trusted proxy, so that each test has its own.
    private func address() -> String { "100.\(Int.random(in: 64..<128)).\(Int.random(in: 0..<256)).\(Int.random(in: 0..<256))" }

    /// A gateway that believes what this machine says of its clients.
    private func behindProxy(limit: Int, _ body: (TestGateway) async throws -> Void) async throws {
        let loopback = try #require(AddressRange("127.0.0.0/8"))
        try await TestGateway.with(
            configure: {
                $0.addressLimit = limit
                $0.trustedProxies = [loopback]
            }, body)
    }

    @Test func anAddressWithoutAValidTokenIsLimitedAndMembersBehindItAreNot() async throws {
        let address = address()
        try await behindProxy(limit: 3) { gateway async throws in
            let forwarded = "X-Forwarded-For: \(address)\r\n"
            #expect(try await gateway.get("/v1/auth/login", headers: forwarded).status == 200)
            #expect(try await gateway.get("/v1/leads", headers: forwarded).status == 401)
            #expect(try await gateway.get("/v1/leads", token: "made.up.token", headers: forwarded).status == 401)
            for _ in 0..<3 { #expect(try await gateway.get("/v1/leads", token: "made.up.token", headers: forwarded).status == 429) }
            let answer = try await gateway.get("/v1/auth/login", headers: forwarded)
            #expect(answer.status == 429 && answer.header("retry-after") != nil)
            #expect(try await gateway.get("/v1/leads", token: gateway.key.token(), headers: forwarded).status == 200)
            // What stands before the last address was written by the client.
            #expect(try await gateway.get("/v1/auth/login", headers: "X-Forwarded-For: 9.9.9.9, \(address)\r\n").status == 429)
            #expect(try await gateway.get("/v1/auth/login", headers: "X-Forwarded-For: \(self.address())\r\n").status == 200)
        }
    }

    /// Signing in and registering cost a hash: a token at hand must not lift the limit of the address.
    @Test func aValidTokenDoesNotLiftTheLimitOfSigningIn() async throws {
        let address = address()
        try await behindProxy(limit: 2) { gateway async throws in
            let token = gateway.key.token()
            let forwarded = "X-Forwarded-For: \(address)\r\n"
            var statuses: [Int] = []
            for path in ["/v1/auth/register", "/v1/auth/login", "/v1/auth/register", "/v1/auth/login"] {
                statuses.append(try await gateway.get(path, token: token, headers: forwarded).status)
            }
            #expect(statuses == [200, 200, 429, 429])
            #expect(try await gateway.get("/v1/auth/logout", token: token, headers: forwarded).status == 200)
        }
    }

    /// Who asks for other things behind the same address does not sign members out, who need a new access token every ten minutes.
    @Test func refreshingHasALimitOfItsOwnAndCountsForAUserWhoSaysWhoHeIs() async throws {
        let address = address()
        try await behindProxy(limit: 2) { gateway async throws in
            let forwarded = "X-Forwarded-For: \(address)\r\n"
            for status in [200, 200, 429] { #expect(try await gateway.get("/v1/plans", headers: forwarded).status == status) }
            for _ in 0..<20 { #expect(try await gateway.get("/v1/auth/refresh", headers: forwarded).status == 200) }
            #expect(try await gateway.get("/v1/auth/refresh", headers: forwarded).status == 429)
            let token = gateway.key.token()
            for _ in 0..<4 { #expect(try await gateway.get("/v1/auth/refresh", token: token, headers: forwarded).status == 200) }
        }
    }

    @Test func whatIsRefusedForItsMethodOrSizeCountsAndTellsTheLimit() async throws {
        let address = address()
        try await behindProxy(limit: 2) { gateway async throws in
            let head = "Host: x\r\nX-Forwarded-For: \(address)\r\n"
            let trace = try await gateway.send("TRACE /v1/leads HTTP/1.1\r\n\(head)\r\n")
            #expect(trace.status == 405 && trace.header("ratelimit")?.hasPrefix("\"address\";r=1") == true)
            let large = try await gateway.send("POST /v1/auth/login HTTP/1.1\r\n\(head)Content-Length: 99999999\r\n\r\n")
            #expect(large.status == 413 && large.header("ratelimit")?.hasPrefix("\"address\";r=0") == true)
            #expect(try await gateway.send("TRACE /v1/leads HTTP/1.1\r\n\(head)\r\n").status == 429)
            let member = "Host: x\r\nAuthorization: Bearer \(gateway.key.token())\r\nContent-Length: 99999999\r\n"
            let ofMember = try await gateway.send("POST /v1/leads HTTP/1.1\r\n\(member)\r\n")
            #expect(ofMember.status == 413 && ofMember.header("ratelimit")?.contains("\"tenant\"") == true)
        }
    }

    /// Who rotates through the addresses of a network of IPv6 comes to the network's limit, and the answer tells that one.
    @Test func aNetworkOfIPv6IsLimitedWhateverItsAddresses() async throws {
        let network = "2001:\(String(UInt16.random(in: 1...UInt16.max), radix: 16)):\(String(UInt16.random(in: 1...UInt16.max), radix: 16))"
        try await behindProxy(limit: 1) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                var statuses: [Int] = []
                for number in 1...33 {
                    let forwarded = "X-Forwarded-For: \(network):\(String(number, radix: 16))::1\r\n"
                    let answer = try await client.get("/v1/plans", headers: forwarded)
                    statuses.append(answer.status)
                    if number == 33 { #expect(answer.header("ratelimit-policy") == "\"network\";q=32;w=900") }
                }
                #expect(statuses == Array(repeating: 200, count: 32) + [429])
            }
        }
    }

    /// Preflights and unreadable heads ask no limit of a caller; an address gets 500 answers at once to them, and 50 a second, a loop.
    @Test func whatIsAnsweredBeforeTheLimitsIsNotAnsweredWithoutEnd() async throws {
        try await TestGateway.with(configure: { $0.eventLoops = 1 }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                var statuses: [Int: Int] = [:]
                let start = NIODeadline.now()
                for _ in 0..<600 {
                    try await client.send("OPTIONS /v1/leads HTTP/1.1\r\nHost: x\r\n\r\n")
                    statuses[try await client.answer().status, default: 0] += 1
                }
                let refilled = Int((NIODeadline.now() - start).nanoseconds / 20_000_000) + 1
                #expect(statuses[204].map { (500...500 + refilled).contains($0) } == true)
                // So slow a machine that it was never over the limit would show here.
                #expect(statuses[429].map { $0 > 0 } == true || refilled >= 100)
            }
            let other = try await gateway.get("/v1/leads", token: gateway.key.token())
            #expect(other.status == 200)
        }
    }

    @Test func anUntrustedPeersForwardedAddressIsNotBelieved() async throws {
        try await TestGateway.with(configure: { $0.addressLimit = 1_000_000 }) { gateway async throws in
            _ = try await gateway.get("/v1/auth/login", headers: "X-Forwarded-For: 9.9.9.9\r\n")
            let request = try #require(gateway.upstream.requests.first)
            let caller = try request.caller(to: .identity)
            #expect(caller.edge.address == "127.0.0.1")
            #expect(request.header("x-forwarded-for") == nil)
        }
    }

    @Test func anIPv6ClientIsCountedByItsNetwork() throws {
        let first = try #require(IPAddress("2001:db8:1:2::1"))
        let second = try #require(IPAddress("2001:db8:1:2:ffff::9"))
        let other = try #require(IPAddress("2001:db8:1:3::1"))
        #expect(first.limitKey == second.limitKey && first.limitKey != other.limitKey)
        #expect(IPAddress("::ffff:10.0.0.1") == IPAddress("10.0.0.1"))
        #expect(IPAddress("10.0.0.1")?.text == "10.0.0.1" && first.text == "2001:db8:1:2::1")
        func contains(_ range: String, _ address: String) throws -> Bool {
            try #require(AddressRange(range)).contains(try #require(IPAddress(address)))
        }
        #expect(try contains("10.0.0.0/8", "10.255.0.1"))
        #expect(try !contains("10.0.0.0/8", "11.0.0.1"))
        #expect(try contains("fd00::/8", "fdff::1"))
        #expect(AddressRange("10.0.0.0/33") == nil && AddressRange("x") == nil)
    }

    /// F5, F6: without Redis the stated local share holds, and nobody gets a 500 or waits long.
    @Test func withoutRedisALocalShareIsAdmitted() async throws {
        // Both event loops together admit it, whichever a connection comes to.
        try await TestGateway.with(configure: { $0.redis = .init(host: "127.0.0.1", port: 1) }) { gateway async throws in
            var member = TestMember()
            member.tenantRate = (20, 900)
            let token = gateway.key.token(for: member)
            var statuses: [Int] = []
            for _ in 0..<20 { statuses.append(try await gateway.get("/v1/leads", token: token).status) }
            #expect(statuses.filter { $0 == 200 }.count == 10)
            #expect(statuses.filter { $0 == 429 }.count == 10)
        }
    }

    /// F6: a Redis that is there but does not answer costs a request its time limit at most, and soon nothing.
    @Test func aRedisThatDoesNotAnswerDelaysNobodyForLong() async throws {
        let silent = TestUpstream(keys: []) { _ in .nothing }
        let port = try await silent.start()
        try await TestGateway.with(configure: {
            $0.redis = .init(host: "127.0.0.1", port: port)
            $0.redis.commandTimeout = .milliseconds(100)
        }) { gateway async throws in
            var member = TestMember()
            member.tenantRate = (1000, 900)
            let token = gateway.key.token(for: member)
            let clock = ContinuousClock()
            let elapsed = try await clock.measure { () async throws in
                for _ in 0..<100 { #expect(try await gateway.get("/v1/leads", token: token).status == 200) }
            }
            // Waiting each time would be 10 s; a few wait until the breaker opens, and one now and then to see.
            #expect(elapsed < .seconds(5))
        }
        await silent.stop()
    }
}
