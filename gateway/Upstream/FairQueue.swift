import Core
import NIOCore

/// A request that waits for a connection.
final class UpstreamWaiter {
    let requester: any UpstreamRequester
    /// Its request failed at this address just before.
    let avoided: UpstreamEndpoint?
    let share: TenantShare
    let since: NIODeadline
    fileprivate weak var queue: FairQueue?
    fileprivate var next: UpstreamWaiter?
    fileprivate unowned var previous: UpstreamWaiter?

    init(_ requester: any UpstreamRequester, share: TenantShare, avoiding avoided: UpstreamEndpoint? = nil, since: NIODeadline) {
        self.requester = requester
        self.share = share
        self.avoided = avoided
        self.since = since
    }

    var isWaiting: Bool { queue != nil }

    /// The requester no longer wants a connection.
    func cancel() { queue?.remove(self) }
}

/// What one tenant has of a lane: places it holds, requests that wait.
final class TenantShare {
    fileprivate(set) var inUse = 0
    fileprivate(set) var waiting = 0
    /// Time for which the tenant may still hold places in this round, in nanoseconds; below zero when it has held them for longer.
    fileprivate var credit: Int64 = 0
    fileprivate var first: UpstreamWaiter?
    fileprivate unowned var last: UpstreamWaiter?
    /// Its neighbours among the tenants that wait.
    fileprivate var next: TenantShare?
    fileprivate unowned var previous: TenantShare?
}

/// The requests that wait for places of one lane, and whose turn is next: deficit round robin between tenants (Shreedhar and Varghese,
/// 1995), where the cost of a request is the time for which it holds its place. What that was is known when it ends, so a tenant of long
/// requests is passed over afterwards. A tenant's own requests keep their order.
///
/// It does no I/O and keeps no clock.
final class FairQueue {
    /// Turns for the cost of an average request. The more there are, the finer costs are told apart.
    private static let turnsPerRequest: Int64 = 4
    /// A tenant owes as many turns at most: one long request does not shut it out.
    private static let longestDebt: Int64 = 8 * turnsPerRequest
    /// A place held for longer counts as held for a second.
    private static let longestHold: Int64 = 1_000_000_000

    private let capacity: Int
    private var shares: [TenantID?: TenantShare] = [:]
    /// The tenants that wait; the first is looked at next.
    private var first: TenantShare?
    private unowned var last: TenantShare?
    private(set) var waitingTenants = 0
    private(set) var waiting = 0
    /// How long a place is held, in nanoseconds, as an average of the latest.
    private var meanHold: Int64 = 0

    /// - Parameter capacity: Of waiting requests.
    init(capacity: Int) { self.capacity = capacity }

    func share(of tenant: TenantID?) -> TenantShare {
        if let share = shares[tenant] { return share }
        let share = TenantShare()
        shares[tenant] = share
        return share
    }

    /// Forgets tenants that have nothing here, and debts of those that did not come back.
    func forgetUnused() {
        for share in shares.values where share.waiting == 0 { share.credit = 0 }
        if shares.count > 64 { shares = shares.filter { $0.value.waiting > 0 || $0.value.inUse > 0 } }
    }

    /// Whether one more request of the tenant may wait: a place will be there for it soon enough, and there is room.
    ///
    /// A tenant may have as many waiting as there is room left, so that room is left for every further one: one takes a half, two a
    /// third each (dynamic thresholds; Choudhury and Hahne, 1998).
    ///
    /// - Parameter places: Of the whole lane.
    func admits(_ share: TenantShare, places: Int, within wait: TimeAmount) -> Bool {
        guard share.waiting < capacity - waiting else { return false }
        let tenants = waitingTenants + (share.waiting == 0 ? 1 : 0)
        let ahead = Int64(min(waiting + 1, (share.waiting + 1) * tenants))
        return ahead * meanHold / Int64(max(1, places)) <= wait.nanoseconds
    }

    /// - Parameter isFirst: Whether it has waited before.
    func append(_ waiter: UpstreamWaiter, isFirst: Bool = false) {
        let share = waiter.share
        waiter.queue = self
        if share.waiting == 0 { appendToRound(share) }
        if isFirst {
            waiter.next = share.first
            share.first?.previous = waiter
            share.first = waiter
            if share.last == nil { share.last = waiter }
        } else {
            waiter.previous = share.last
            if let last = share.last { last.next = waiter } else { share.first = waiter }
            share.last = waiter
        }
        share.waiting += 1
        waiting += 1
    }

    /// Takes a request out that does not wait any more.
    fileprivate func remove(_ waiter: UpstreamWaiter) {
        let share = waiter.share
        waiter.queue = nil
        if let previous = waiter.previous { previous.next = waiter.next } else { share.first = waiter.next }
        if let next = waiter.next { next.previous = waiter.previous } else { share.last = waiter.previous }
        waiter.next = nil
        waiter.previous = nil
        share.waiting -= 1
        waiting -= 1
        if share.waiting == 0 { removeFromRound(share) }
    }

    /// Takes out the request whose turn it is. While others wait a tenant gets no further place when it holds half of them.
    ///
    /// - Parameters:
    ///   - places: Of the whole lane.
    ///   - fits: Whether there is a connection for the request.
    func next(places: Int, where fits: (UpstreamWaiter) -> Bool) -> UpstreamWaiter? {
        var passed = 0
        var fallback: TenantShare?
        while let share = first, let waiter = share.first, passed < waitingTenants {
            moveToEnd(share)
            if waitingTenants > 1, share.inUse * 2 >= places {
                // Or nobody else's fits: a place is not left empty.
                if fallback == nil { fallback = share }
                passed += 1
            } else if share.credit < 0 {
                share.credit += quantum
                passed = 0
            } else if fits(waiter) {
                remove(waiter)
                return waiter
            } else {
                passed += 1
            }
        }
        guard let waiter = fallback?.first, fits(waiter) else { return nil }
        remove(waiter)
        return waiter
    }

    /// The first waiting request that came before that time.
    func nextExpired(before time: NIODeadline) -> UpstreamWaiter? {
        var share = first
        while let current = share {
            if let waiter = current.first, waiter.since < time {
                remove(waiter)
                return waiter
            }
            share = current.next
        }
        return nil
    }

    /// Any of the waiting requests, to tell them all that none will be served.
    func popAny() -> UpstreamWaiter? {
        guard let waiter = first?.first else { return nil }
        remove(waiter)
        return waiter
    }

    func began(_ share: TenantShare) { share.inUse += 1 }

    func ended(_ share: TenantShare, after time: TimeAmount) {
        let time = min(time.nanoseconds, Self.longestHold)
        share.inUse -= 1
        meanHold = meanHold == 0 ? time : meanHold + (time - meanHold) / 16
        share.credit = min(0, max(-Self.longestDebt * quantum, share.credit + quantum - time))
    }

    /// What a turn is worth.
    private var quantum: Int64 { max(1, meanHold / Self.turnsPerRequest) }

    // MARK: The round

    private func appendToRound(_ share: TenantShare) {
        share.previous = last
        if let last { last.next = share } else { first = share }
        last = share
        waitingTenants += 1
    }

    private func removeFromRound(_ share: TenantShare) {
        if let previous = share.previous { previous.next = share.next } else { first = share.next }
        if let next = share.next { next.previous = share.previous } else { last = share.previous }
        share.next = nil
        share.previous = nil
        waitingTenants -= 1
    }

    private func moveToEnd(_ share: TenantShare) {
        guard waitingTenants > 1 else { return }
        removeFromRound(share)
        appendToRound(share)
    }
}
