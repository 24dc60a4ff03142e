import Core
import NIOCore
import Testing

@testable import Gateway

@Suite struct UpstreamHealthTests {
    /// The machine as a class, since an expectation cannot change a value.
    private final class Health {
        var machine = UpstreamHealth()
        func requestFailed() -> UpstreamHealth.Action { machine.requestFailed() }
        func connectFailed() -> UpstreamHealth.Action { machine.connectFailed() }
        func probeFailed() -> UpstreamHealth.Action { machine.probeFailed() }
    }

    @Test func anAddressIsEjectedAfterFailuresInARow() {
        let health = Health()
        for _ in 0..<UpstreamHealth.threshold - 1 { #expect(health.requestFailed() == .none) }
        health.machine.succeeded()
        for _ in 0..<UpstreamHealth.threshold - 1 { #expect(health.requestFailed() == .none) }
        #expect(health.requestFailed() == .probe(after: .milliseconds(100)))
        #expect(health.machine.state == .ejected)
        // What was under way when it was lost begins no second row of probes, and brings it back as little.
        #expect(health.requestFailed() == .none && health.connectFailed() == .none)
        health.machine.succeeded()
        #expect(!health.machine.isHealthy)
    }

    @Test func oneFailedConnectionIsEnoughToProbe() {
        let health = Health()
        #expect(health.connectFailed() == .probe(after: .milliseconds(100)))
        #expect(health.machine.state == .unreachable && health.connectFailed() == .none)
        health.machine.probeSucceeded()
        #expect(health.machine.isHealthy)
    }

    @Test func probesAreNeverMoreThanHalfASecondApart() {
        let health = Health()
        _ = health.connectFailed()
        let pauses = (0..<6).map { _ in health.probeFailed() }
        #expect(pauses == [200, 400, 500, 500, 500, 500].map { .probe(after: .milliseconds($0)) })
        health.machine.probeSucceeded()
        #expect(health.connectFailed() == .probe(after: .milliseconds(100)))
    }

    @Test func retriesAreATenthOfRequests() {
        var budget = RetryBudget()
        var allowed = 0
        for _ in 0..<1000 {
            budget.noteRequest()
            if budget.allowsRetry(after: .closedBeforeAnswer(isReused: false), isSafe: true, isIdempotent: true) { allowed += 1 }
        }
        #expect((100...112).contains(allowed))
        let isWriteRepeated = budget.allowsRetry(after: .closedBeforeAnswer(isReused: true), isSafe: false, isIdempotent: false)
        #expect(!isWriteRepeated)
    }
}

@Suite struct FairQueueTests {
    private final class Requester: UpstreamRequester {
        let name: String
        let mayBeRepeated = true
        init(_ name: String) { self.name = name }
        func upstreamReady(_ connection: UpstreamConnection) {}
        func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {}
        func upstreamBody(_ content: ByteBuffer, isLast: Bool) {}
        func upstreamFailed(_ failure: UpstreamFailure) {}
    }

    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let noisy = TenantID()
    private let quiet = TenantID()
    private let third = TenantID()

    @discardableResult
    private func add(_ name: String, of tenant: TenantID?, to queue: FairQueue, isFirst: Bool = false) -> UpstreamWaiter {
        let waiter = UpstreamWaiter(Requester(name), share: queue.share(of: tenant), since: start)
        queue.append(waiter, isFirst: isFirst)
        return waiter
    }

    private func next(_ queue: FairQueue, places: Int = 64, where fits: (UpstreamWaiter) -> Bool = { _ in true }) -> UpstreamWaiter? {
        queue.next(places: places, where: fits)
    }

    private func name(_ waiter: UpstreamWaiter?) -> String? { (waiter?.requester as? Requester)?.name }

    @Test func tenantsTakeTurnsAndATenantsOwnRequestsKeepTheirOrder() {
        let queue = FairQueue(capacity: 100)
        for index in 0..<20 { add("n\(index)", of: noisy, to: queue) }
        add("q0", of: quiet, to: queue)
        add("q1", of: quiet, to: queue)
        add("nobody", of: nil, to: queue)
        #expect((0..<6).map { _ in name(next(queue)) } == ["n0", "q0", "nobody", "n1", "q1", "n2"])
        add("again", of: noisy, to: queue, isFirst: true)
        #expect(name(next(queue)) == "again" && queue.waiting == 17)
    }

    @Test func aTenantHoldsAtMostHalfOfThePlacesWhileOthersWait() {
        let queue = FairQueue(capacity: 100)
        let share = queue.share(of: noisy)
        for _ in 0..<4 { queue.began(share) }
        for index in 0..<4 { add("n\(index)", of: noisy, to: queue) }
        for index in 0..<3 { add("q\(index)", of: quiet, to: queue) }
        #expect((0..<3).map { _ in name(next(queue, places: 8)) } == ["q0", "q1", "q2"])
        // Alone it may have them all.
        #expect(name(next(queue, places: 8)) == "n0")
        // A place that suits nobody else is not left empty.
        add("q3", of: quiet, to: queue)
        #expect(name(next(queue, places: 8) { ($0.requester as? Requester)?.name != "q3" }) == "n1")
        queue.ended(share, after: .milliseconds(1))
        #expect(["n2", "q3"].contains(name(next(queue, places: 8))))
    }

    /// What counts is the time for which places are held, not the number of requests.
    @Test func aTenantOfLongRequestsHasFewerTurns() {
        let queue = FairQueue(capacity: 10_000)
        for index in 0..<2_000 {
            add("n\(index)", of: noisy, to: queue)
            add("q\(index)", of: quiet, to: queue)
        }
        var held = [0, 0]
        for _ in 0..<600 {
            guard let waiter = next(queue) else { break }
            let isNoisy = name(waiter)?.hasPrefix("n") ?? false
            queue.began(waiter.share)
            queue.ended(waiter.share, after: .milliseconds(isNoisy ? 4 : 1))
            held[isNoisy ? 0 : 1] += isNoisy ? 4 : 1
        }
        // In turns of requests it would be four to one.
        #expect((0.7...1.4).contains(Double(held[0]) / Double(held[1])))
    }

    @Test func oneTenantFillsHalfOfTheQueueAndThereIsAlwaysRoomForANewOne() {
        let queue = FairQueue(capacity: 60)
        func fill(_ tenant: TenantID) -> Int {
            var count = 0
            while queue.admits(queue.share(of: tenant), places: 1, within: .seconds(1)) {
                add("", of: tenant, to: queue)
                count += 1
            }
            return count
        }
        #expect([noisy, quiet, third].map(fill) == [30, 15, 8])
        #expect(queue.admits(queue.share(of: TenantID()), places: 1, within: .seconds(1)))
    }

    @Test func whoWouldWaitForTooLongIsRefusedAtOnceAndAQuietTenantIsNot() {
        let queue = FairQueue(capacity: 1000)
        let share = queue.share(of: noisy)
        for _ in 0..<100 {
            queue.began(share)
            queue.ended(share, after: .milliseconds(10))
        }
        // 4 places of 10 ms each serve 400 a second: 100 in a quarter of a second.
        var count = 0
        while queue.admits(share, places: 4, within: .milliseconds(250)) {
            add("n", of: noisy, to: queue)
            count += 1
        }
        #expect((95...105).contains(count))
        #expect(queue.admits(queue.share(of: quiet), places: 4, within: .milliseconds(250)))
    }

    @Test func whoGivesUpLeavesTheQueueAtOnce() {
        let queue = FairQueue(capacity: 100)
        let waiters = ["a", "b", "c"].map { add($0, of: noisy, to: queue) }
        waiters[1].cancel()
        waiters[1].cancel()
        #expect(queue.waiting == 2 && !waiters[1].isWaiting)
        #expect(name(next(queue)) == "a" && name(next(queue)) == "c" && next(queue) == nil)
        #expect(queue.waitingTenants == 0)
        add("d", of: noisy, to: queue)
        #expect(name(queue.nextExpired(before: start + .nanoseconds(1))) == "d" && queue.nextExpired(before: .distantFuture) == nil)
    }
}

@Suite struct ConcurrencyLimitTests {
    /// A service of some workers behind a limit, asked at a steady rate; who finds no place is refused. Seeded, and faster than time.
    private struct Simulation {
        var limits: [ConcurrencyLimit]
        private var free: [Double]
        private var underWay: [(owner: Int, since: Double, end: Double)] = []
        private var random: UInt64 = 42
        private var time = 1000.0
        private(set) var answered = 0
        private var limitSum = 0
        private var arrivals = 0

        /// - Parameter workers: `nil` for as many as there are requests.
        init(workers: Int?, gateways: Int = 1, ceiling: Int = 64) {
            limits = (0..<gateways).map { _ in ConcurrencyLimit(ceiling: ceiling) }
            free = [Double](repeating: 0, count: workers ?? 0)
        }

        mutating func uniform() -> Double {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(random >> 11) / Double(1 << 53)
        }

        /// - Parameters:
        ///   - rate: Requests a second, from all gateways.
        ///   - cost: Seconds of work for a request, made of a number of 0 to 1.
        /// - Returns: Answers a second, and the mean limit.
        mutating func run(seconds: Double, rate: Double, cost: (Double) -> Double) -> (answers: Double, limit: Double) {
            let end = time + seconds
            (answered, limitSum, arrivals) = (0, 0, 0)
            while time < end {
                time += 2 * uniform() / rate
                answer(until: time)
                let owner = Int(uniform() * Double(limits.count))
                arrivals += 1
                limitSum += limits[owner].value
                guard underWay.count(where: { $0.owner == owner }) < limits[owner].value else {
                    limits[owner].noteFull()
                    continue
                }
                var end = time + cost(uniform())
                if let worker = free.indices.min(by: { free[$0] < free[$1] }) {
                    end += max(0, free[worker] - time)
                    free[worker] = end
                }
                underWay.append((owner, time, end))
            }
            return (Double(answered) / seconds, Double(limitSum) / Double(arrivals))
        }

        private mutating func answer(until now: Double) {
            while let index = underWay.indices.min(by: { underWay[$0].end < underWay[$1].end }), underWay[index].end <= now {
                let (owner, since, end) = underWay.remove(at: index)
                answered += 1
                let instant = NIODeadline.uptimeNanoseconds(UInt64(end * 1e9))
                if limits[owner].answered(after: .nanoseconds(Int64((end - since) * 1e9)), now: instant) {
                    limits[owner].adjust(now: instant, second: Int(end))
                }
            }
        }
    }

    /// 8 workers of 4 ms: 2,000 a second at most, 16 requests at a time are plenty.
    @Test(arguments: [1, 2]) func anOverloadedServiceIsGivenLittleMoreThanItWorksOnAndLosesNoSpeed(gateways: Int) {
        var service = Simulation(workers: 8, gateways: gateways)
        let cost: (Double) -> Double = { 0.002 + 0.004 * $0 }
        _ = service.run(seconds: 2, rate: 400, cost: cost)
        _ = service.run(seconds: 2, rate: 6_000, cost: cost)
        let loaded = service.run(seconds: 6, rate: 6_000, cost: cost)
        #expect(loaded.answers > 0.93 * 2_000)
        #expect(loaded.limit * Double(gateways) < 45)
    }

    /// As many answers as with a fixed limit, whatever the mix: it is slow requests that fill the places here, not a queue.
    @Test func aSlowRouteAmongFastOnesThrottlesNobody() {
        var service = Simulation(workers: nil)
        _ = service.run(seconds: 2, rate: 300) { _ in 0.002 }
        let mixed = service.run(seconds: 6, rate: 3_000) { $0 < 0.1 ? 0.3 : 0.002 }
        #expect(mixed.limit > 58)
        // 64 places over a mean of 31.8 ms: 2,012 a second.
        #expect(mixed.answers > 0.9 * 2_012)
    }

    @Test func whenAllRequestsBecomeSlowTheLimitComesBack() {
        var service = Simulation(workers: nil)
        _ = service.run(seconds: 3, rate: 200) { _ in 0.002 }
        _ = service.run(seconds: 8, rate: 600) { 0.1 + 0.2 * $0 }
        let later = service.run(seconds: 12, rate: 600) { 0.1 + 0.2 * $0 }
        #expect(later.limit > 52)
        // 64 places of 200 ms: 320 a second.
        #expect(later.answers > 0.85 * 320)
    }

    @Test func withoutOverloadNothingIsHeldBackAndALimitIsNeverBelowItsFloor() {
        var service = Simulation(workers: 8)
        let calm = service.run(seconds: 5, rate: 1_000) { 0.002 + 0.004 * $0 }
        #expect(calm.limit == 64)
        var small = Simulation(workers: 1, ceiling: 2)
        _ = small.run(seconds: 5, rate: 2_000) { _ in 0.01 }
        #expect(small.limits[0].value == 2)
    }
}
