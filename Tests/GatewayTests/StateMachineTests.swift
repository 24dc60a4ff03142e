import Contracts
import Core
import Foundation
import NIOCore
import Testing

@testable import Gateway

@Suite struct LeasedBucketTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// A bucket whose draws are noted, to be granted by the test.
    private final class Draws {
        var wanted: [Int] = []
        func bucket(_ policy: RateLimit, share: Double = 0.5) -> LeasedBucket {
            LeasedBucket(key: "k", name: "user", policy: policy, localShare: share) { wanted, _ in self.wanted.append(wanted) }
        }
    }

    private func isAdmitted(_ decision: LeasedBucket.Decision?) -> Bool { if case .admitted? = decision { true } else { false } }

    /// What services say and gateways hear is spelt by one type; of what only a later release knows nothing is heard.
    @Test func whatServicesSayOfTokensIsHeardAsItWasSaid() {
        let said: [Revocation] = [
            .session(SessionID()), .member(tenant: TenantID(), user: UserID(), epoch: 2),
            .tenant(TenantID(), epoch: 3, isActive: false, location: nil),
            .tenant(TenantID(), epoch: 1, isActive: true, location: .init(country: "AT", currency: "EUR", version: 2)),
            .tenant(TenantID(), epoch: 1, isActive: true, location: .init(country: nil, version: 3)),
            .role(tenant: TenantID(), name: "scout", epoch: 4),
        ]
        #expect(said.map { Revocation(json: $0.json) } == said)
        #expect(Revocation.all(in: Revocation.state(said)) == said)
        let newer: JSON = ["revocations": .array([["kind": "device", "id": "x"], said[0].json])]
        #expect(Revocation.all(in: newer) == [said[0]])
        #expect(Revocation.all(in: ["revoked": []]) == nil)
        let limits = RateLimits(tenant: RateLimit(count: 100, period: 1), user: RateLimit(count: 50, period: 1))
        #expect(RateLimits(json: limits.json) == limits)
        for wrong in [[0, 1], [1, 0], [1, 86_401], [1_000_000_001, 1], [1]] as [JSON] { #expect(RateLimit(json: wrong) == nil) }
    }

    @Test func aFastLimitDrawsWhatFiftyMillisecondsUseAndASlowOneASingleToken() {
        #expect(RateLimit(count: 1000, period: 1).leaseSize == 50)
        #expect(RateLimit(count: 100, period: 1).leaseSize == 5)
        #expect(RateLimit(count: 200, period: 900).leaseSize == 1)
        #expect(RateLimit(count: 1, period: 1).leaseSize == 1)
    }

    @Test func theNextLeaseIsDrawnBeforeTheLastTokenIsSpent() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 1000, period: 1))
        #expect(bucket.take(now: start) == nil)
        var outcome: LeasedBucket.Decision?
        bucket.wait(now: start) { outcome = $0 }
        #expect(draws.wanted == [50])
        bucket.granted(Lease(granted: 50, remaining: 950, retryAfter: .zero), now: start)
        #expect(isAdmitted(outcome))
        for _ in 0..<24 { #expect(isAdmitted(bucket.take(now: start))) }
        #expect(draws.wanted.count == 1)
        #expect(isAdmitted(bucket.take(now: start)))
        #expect(draws.wanted == [50, 50])
    }

    @Test func anUnusedLeaseEndsAfterASecond() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 1000, period: 1))
        bucket.granted(Lease(granted: 50, remaining: 950, retryAfter: .zero), now: start)
        #expect(isAdmitted(bucket.take(now: start + .milliseconds(900))))
        #expect(bucket.take(now: start + .milliseconds(1100)) == nil)
    }

    @Test func anEmptyBucketRefusesWithoutAskingAgainUntilThereIsAToken() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 10, period: 100))
        bucket.wait(now: start) { _ in }
        bucket.granted(Lease(granted: 0, remaining: 0, retryAfter: .seconds(10)), now: start)
        guard case .refused(let seconds)? = bucket.take(now: start + .seconds(4)) else {
            Issue.record("not refused")
            return
        }
        #expect(seconds == 6 && draws.wanted.count == 1)
        #expect(bucket.take(now: start + .seconds(10)) == nil)
    }

    @Test func whoWaitsForOneDrawSharesWhatItBrings() {
        let bucket = Draws().bucket(RateLimit(count: 10, period: 100))
        var admitted = 0
        var refused = 0
        for _ in 0..<5 { bucket.wait(now: start) { if case .admitted = $0 { admitted += 1 } else { refused += 1 } } }
        bucket.granted(Lease(granted: 3, remaining: 0, retryAfter: .seconds(10)), now: start)
        #expect(admitted == 3 && refused == 2)
    }

    @Test func whileRedisIsAwayTheLocalShareHolds() {
        let bucket = Draws().bucket(RateLimit(count: 10, period: 100), share: 0.5)
        var waiting: LeasedBucket.Decision?
        bucket.wait(now: start) { waiting = $0 }
        bucket.drawFailed(now: start)
        #expect(isAdmitted(waiting))
        for _ in 0..<4 { #expect(isAdmitted(bucket.take(now: start))) }
        #expect(!isAdmitted(bucket.take(now: start)))
        // After a second Redis is asked again.
        #expect(bucket.take(now: start + .seconds(2)) == nil)
    }
}

@Suite struct UpstreamHealthTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// The machine as a class, since an expectation cannot change a value.
    private final class Health {
        var machine = UpstreamHealth()
        func allows(now: NIODeadline) -> Bool { machine.allows(now: now) }
        func failed(now: NIODeadline) { machine.failed(now: now) }
        func succeeded() { machine.succeeded() }
        var isHealthy: Bool { machine.isHealthy }
    }

    @Test func anAddressIsEjectedAfterFailuresInARowAndProbedOnceAfterAPause() {
        let health = Health()
        for _ in 0..<UpstreamHealth.threshold - 1 { health.failed(now: start) }
        health.succeeded()
        for _ in 0..<UpstreamHealth.threshold { #expect(health.allows(now: start)); health.failed(now: start) }
        #expect(!health.allows(now: start + .milliseconds(400)))
        #expect(health.allows(now: start + .milliseconds(500)))
        #expect(!health.allows(now: start + .milliseconds(500)))
        health.failed(now: start + .milliseconds(600))
        // The second pause is twice as long.
        #expect(!health.allows(now: start + .milliseconds(1500)))
        #expect(health.allows(now: start + .milliseconds(1600)))
        health.succeeded()
        #expect(health.isHealthy)
    }

    @Test func aProbeThatIsNeverHeardOfDoesNotKeepAnAddressOutForGood() {
        let health = Health()
        for _ in 0..<UpstreamHealth.threshold { health.failed(now: start) }
        #expect(health.allows(now: start + .seconds(1)))
        #expect(!health.allows(now: start + .seconds(2)))
        #expect(health.allows(now: start + .seconds(7)))
    }

    @Test func retriesAreATenthOfRequests() {
        var budget = RetryBudget()
        var allowed = 0
        for _ in 0..<1000 {
            budget.noteRequest()
            if budget.allowsRetry() { allowed += 1 }
        }
        #expect((100...112).contains(allowed))
    }
}

@Suite struct BoundedCacheTests {
    @Test func aCacheNeverHoldsMoreThanItsLimitAndKeepsWhatIsUsed() {
        var cache = GenerationCache<Int, Int>(limit: 100)
        for key in 0..<10_000 {
            cache[key] = key
            let (first, count) = (cache[0], cache.count)
            #expect(first == 0 && count <= 100)
        }
        let (last, old) = (cache[9_999], cache[5_000])
        #expect(last == 9_999 && old == nil)
    }
}

@Suite struct AccessLogTests {
    @Test func aLineIsJSONAndTellsNothingThatAClientWrote() async throws {
        let pipe = Pipe()
        let output = AccessLogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        var log = AccessLog(output: output)
        var random = FastRandom()
        let trace = TraceContext(inbound: UnsafeRawBufferPointer(start: nil, count: 0), random: &random)
        let route = RouteTable().routes.first { $0.prefix == "/v1/leads" }
        log.write(
            .init(method: .get, route: route, status: 200, microseconds: 1234, trace: trace), requestID: Array("abc".utf8),
            tenant: Array("t".utf8), now: Timestamp(milliseconds: 0))
        log.write(
            .init(method: .other, route: nil, status: 404, microseconds: 0, trace: trace), requestID: Array("def".utf8), tenant: nil,
            now: Timestamp(milliseconds: 0))
        log.flush()
        await output.close()
        try pipe.fileHandleForWriting.close()
        let lines = try #require(try pipe.fileHandleForReading.readToEnd()).split(separator: 0x0A).map { try JSONParser.parse(Array($0)) }
        #expect(lines.count == 2)
        #expect(lines[0]["route"] == "/v1/leads" && lines[0]["status"] == 200 && lines[0]["duration_us"] == 1234)
        #expect(lines[0]["time"] == "1970-01-01T00:00:00.000Z" && lines[0]["tenant.id"] == "t" && lines[0]["request.id"] == "abc")
        #expect(lines[1]["route"] == "none" && lines[1]["method"] == "other")
    }
}
