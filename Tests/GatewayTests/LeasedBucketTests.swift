import Contracts
import NIOCore
import Testing

@testable import Gateway

/// A bucket whose draws are answered by the test.
@Suite struct LeasedBucketTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private final class Draws {
        var requests: [LeaseRequest] = []
        func bucket(_ policy: RateLimit, share: Double = 0.5) -> LeasedBucket {
            LeasedBucket(key: "k", name: "user", policy: policy, shares: LocalShares(share: share)) { request, _ in
                self.requests.append(request)
            }
        }
        var last: LeaseRequest? { requests.last }
    }

    private func lease(_ granted: Int, remaining: Int, more: TimeAmount = .seconds(60), ask: TimeAmount? = nil, endsAt: Int64 = 1) -> Lease
    {
        Lease(log: 7, granted: granted, remaining: remaining, moreAfter: more, askAfter: ask ?? more, endsAt: endsAt)
    }

    private func isAdmitted(_ decision: LeasedBucket.Decision?) -> Bool { if case .admitted? = decision { true } else { false } }

    @Test func leasesGrowInASteadyFlowAndTellWhatBecameOfTheLast() throws {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 1000, period: 60))
        #expect(bucket.take(now: start) == nil)
        var outcome: LeasedBucket.Decision?
        bucket.wait(now: start) { outcome = $0 }
        #expect(draws.last?.needed == 1 && draws.last?.wanted == 1 && draws.last?.settled == nil)
        bucket.granted(lease(1, remaining: 999), now: start)
        #expect(isAdmitted(outcome))
        bucket.wait(now: start + .milliseconds(100)) { outcome = $0 }
        let second = try #require(draws.last)
        #expect(second.wanted == 2 && second.settled?.count == 1 && second.kept == 0)
        #expect(second.spent.map(\.count) == [1] && second.spent.first?.age == .milliseconds(100))
        bucket.granted(lease(2, remaining: 997, endsAt: 2), now: start + .milliseconds(100))
        // The last token at hand: the next lease is drawn before it is spent, and nobody waits.
        #expect(isAdmitted(bucket.take(now: start + .milliseconds(200))))
        let third = try #require(draws.last)
        #expect(draws.requests.count == 3 && third.wanted == 4 && third.kept == 1 && third.needed == 0)
        #expect(third.settled?.endsAt == 2 && third.settled?.count == 2 && third.spent.map(\.count) == [1])
        bucket.granted(lease(4, remaining: 993), now: start + .milliseconds(200))
        for _ in 0..<2 { #expect(isAdmitted(bucket.take(now: start + .milliseconds(300)))) }
        #expect(draws.requests.count == 3)
        #expect(bucket.remaining == 995)
    }

    @Test func whatALeaseHeldUnspentIsGivenBackWhenItLapses() throws {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 1000, period: 60))
        bucket.wait(now: start) { _ in }
        bucket.granted(lease(8, remaining: 992), now: start)
        #expect(bucket.returnLapsed(now: start + .seconds(5)) == start + .seconds(6))
        #expect(bucket.take(now: start + .seconds(6)) == nil)
        bucket.wait(now: start + .seconds(6)) { _ in }
        #expect(draws.last?.settled?.count == 8 && draws.last?.kept == 0 && draws.last?.spent.map(\.count) == [1])
        bucket.granted(lease(2, remaining: 990), now: start + .seconds(6))
        #expect(bucket.returnLapsed(now: start + .seconds(12)) == nil)
        #expect(draws.last?.settled?.count == 2 && draws.last?.wanted == 0 && draws.last?.kept == 0)
    }

    @Test func aFullWindowRefusesWithoutAskingAgainUntilThereMayBeAToken() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 10, period: 100))
        bucket.wait(now: start) { _ in }
        bucket.granted(lease(0, remaining: 0, more: .seconds(50), ask: .seconds(10)), now: start)
        guard case .refused(let seconds)? = bucket.take(now: start + .seconds(4)) else {
            Issue.record("not refused")
            return
        }
        #expect(seconds == 46 && bucket.resetSeconds == 46 && draws.requests.count == 1)
        #expect(bucket.take(now: start + .seconds(10)) == nil)
    }

    @Test func whoWaitsForOneDrawSharesWhatItBrings() {
        let bucket = Draws().bucket(RateLimit(count: 10, period: 100))
        var admitted = 0
        var refused = 0
        for _ in 0..<5 { bucket.wait(now: start) { if case .admitted = $0 { admitted += 1 } else { refused += 1 } } }
        bucket.granted(lease(3, remaining: 0), now: start)
        #expect(admitted == 3 && refused == 2)
    }

    @Test func whatIsOwedIsToldAtOnceAndTakenFromTheNextLease() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 100, period: 900))
        bucket.wait(now: start) { _ in }
        bucket.granted(lease(1, remaining: 99), now: start)
        bucket.owe(39, now: start)
        #expect(bucket.remaining == 60 && draws.requests.count == 2)
        #expect(draws.last?.spent.map(\.count) == [1, 39] && draws.last?.settled?.count == 1)
        // Owed while the draw is under way: what that brings is used up, and the rest is told.
        bucket.owe(5, now: start)
        bucket.granted(lease(2, remaining: 58), now: start)
        #expect(draws.requests.count == 3 && draws.last?.spent.map(\.count) == [5] && draws.last?.settled?.count == 2)
        #expect(bucket.remaining == 55)
    }

    @Test func aTokenGivenBackIsSpentByAnotherUnlessRedisWasTold() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 100, period: 900))
        bucket.wait(now: start) { _ in }
        bucket.granted(lease(1, remaining: 99), now: start)
        bucket.giveBack()
        #expect(bucket.remaining == 100)
        #expect(isAdmitted(bucket.take(now: start)))
        bucket.wait(now: start) { _ in }
        #expect(draws.last?.spent.map(\.count) == [1])
        bucket.giveBack()
        bucket.granted(lease(0, remaining: 98), now: start)
        #expect(bucket.remaining == 98)
    }

    @Test func whatRedisHasForgottenItIsToldAgain() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 100, period: 900))
        for second in 0..<3 {
            bucket.wait(now: start + .seconds(Int64(second))) { _ in }
            bucket.granted(lease(1, remaining: 99 - second), now: start + .seconds(Int64(second)))
        }
        var outcome: LeasedBucket.Decision?
        bucket.wait(now: start + .seconds(3)) { outcome = $0 }
        #expect(draws.last?.log == 7)
        bucket.logWasLost(now: start + .seconds(3))
        #expect(draws.last?.log == 0 && draws.last?.settled == nil && draws.last?.needed == 1)
        #expect(draws.last?.spent.reduce(0) { $0 + $1.count } == 3)
        bucket.granted(lease(1, remaining: 96), now: start + .seconds(3))
        #expect(isAdmitted(outcome))
    }

    @Test func whileRedisIsAwayTheLocalShareHolds() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 10, period: 100), share: 0.5)
        var waiting: LeasedBucket.Decision?
        bucket.wait(now: start) { waiting = $0 }
        bucket.granted(lease(2, remaining: 8), now: start)
        #expect(isAdmitted(waiting))
        bucket.wait(now: start) { waiting = $0 }
        bucket.drawFailed(mayHaveArrived: false, now: start)
        #expect(isAdmitted(waiting))
        // Two of the five are gone.
        for _ in 0..<3 { #expect(isAdmitted(bucket.take(now: start))) }
        #expect(!isAdmitted(bucket.take(now: start)))
        #expect(bucket.remaining == 0 && bucket.resetSeconds == 100)
        // After a second Redis is asked again, and told of all five.
        #expect(bucket.take(now: start + .seconds(2)) == nil)
        bucket.wait(now: start + .seconds(2)) { _ in }
        #expect(draws.last?.settled?.count == 2 && draws.last?.spent.reduce(0) { $0 + $1.count } == 5)
    }

    @Test func aReportThatMayHaveArrivedIsNotRepeated() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 10, period: 100))
        bucket.wait(now: start) { _ in }
        bucket.granted(lease(1, remaining: 9), now: start)
        bucket.wait(now: start) { _ in }
        bucket.drawFailed(mayHaveArrived: true, now: start)
        bucket.wait(now: start + .seconds(2)) { _ in }
        // What waited was admitted by the local share.
        #expect(draws.last?.settled == nil && draws.last?.spent.map(\.count) == [1])
    }

    @Test func anAnswerThatCameLaterThanItsLeaseEndsGivesNothing() {
        let draws = Draws()
        let bucket = draws.bucket(RateLimit(count: 1000, period: 1), share: 0.001)
        var outcomes: [Bool] = []
        for _ in 0..<2 { bucket.wait(now: start) { outcomes.append(isAdmitted($0)) } }
        bucket.granted(lease(2, remaining: 998), now: start + .milliseconds(500))
        #expect(outcomes == [true, false])
    }
}

@Suite struct SlidingWindowTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test func requestsAreCountedUntilTheLastOfTheirPartLeavesTheWindow() {
        var window = SlidingWindow(period: .seconds(10), part: 3)
        for second in 0..<7 { window.add(at: start + .seconds(Int64(second))) }
        #expect(window.entries.map(\.count) == [3, 3, 1] && window.total == 7)
        window.forget(now: start + .milliseconds(11_999))
        #expect(window.total == 7)
        window.forget(now: start + .seconds(12))
        #expect(window.total == 4 && window.entries.first?.at == start + .seconds(5))
        #expect(window.takeBack() && window.total == 3 && window.entries.count == 1)
        window.add(40, at: start + .seconds(13))
        #expect(window.total == 43 && window.entries.last?.count == 40)
    }

    @Test func itsEntriesAreBounded() {
        var window = SlidingWindow(period: .seconds(1), part: 10)
        for number in 0..<20_000 { window.add(at: start + .milliseconds(Int64(number))) }
        #expect(window.entries.count <= 101 && window.total <= 1010)
    }

    @Test func theEdgeAdmitsABurstAndThenFiftyASecond() throws {
        var edge = EdgeLimit()
        let address = try #require(IPAddress("2001:db8::1"))
        let neighbour = try #require(IPAddress("2001:db8::ffff"))
        for _ in 0..<500 { #expect(edge.take(address, now: start) == nil) }
        #expect(edge.take(neighbour, now: start) == 1)
        #expect(edge.take(try #require(IPAddress("203.0.113.9")), now: start) == nil)
        var admitted = 0
        for millisecond in 0..<1000 where edge.take(address, now: start + .milliseconds(Int64(millisecond))) == nil { admitted += 1 }
        #expect((49...51).contains(admitted))
    }
}
