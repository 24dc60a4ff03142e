import NIOCore
import Operations

/// The connections of one event loop to one service, and the requests that wait for them.
///
/// Every address has places for each ``UpstreamLane``; those of the ordinary one are as many as ``ConcurrencyLimit`` finds good. A
/// request takes a place and a connection at the address with the least to do. When there is none it waits in the lane's ``FairQueue``, not
/// for a certain address: a connection that cannot be made costs it nothing but time.
///
/// What is made and found out beside requests is in `UpstreamPool+Upkeep.swift`.
final class UpstreamPool {
    let service: ServiceName
    let eventLoop: any EventLoop
    let lookup: NameLookup
    private(set) var limits: UpstreamLimits
    /// In the order of their addresses.
    var endpoints: [UpstreamEndpoint] = []
    var names: [UpstreamAddress]
    /// When the names are looked up again.
    var nextLookup = NIODeadline.uptimeNanoseconds(0)
    var isLookingUp = false
    /// Whether the names have not been looked up for the first time: until then requests wait.
    var isStarting = true
    var isClosed = false
    var figures: UpstreamFigures
    var budget = RetryBudget()
    private let queues: [FairQueue]
    private var turn = 0

    init(
        service: ServiceName, addresses: [UpstreamAddress], limits: UpstreamLimits, lookup: NameLookup = .system, eventLoop: any EventLoop
    ) {
        self.service = service
        names = addresses
        self.limits = limits
        self.lookup = lookup
        self.eventLoop = eventLoop
        figures = UpstreamFigures(service: service)
        queues = UpstreamLane.allCases.map { _ in FairQueue(capacity: limits.waiting) }
        takeLiterals()
    }

    func queue(_ lane: UpstreamLane) -> FairQueue { queues[lane.rawValue] }

    private func places(_ lane: UpstreamLane) -> Int {
        endpoints.reduce(0) { sum, endpoint in
            guard endpoint.isUsable else { return sum }
            return sum + (lane == .ordinary ? min(limits.ordinary.places, endpoint.concurrency.value) : limits[lane].places)
        }
    }

    // MARK: Requests

    /// Gives the requester a connection: by ``UpstreamRequester/upstreamReady(_:)`` at once or later, or it is told why there is none.
    ///
    /// - Parameter avoided: Where the request failed just before; it goes elsewhere where there is an elsewhere, and before the tenant's
    ///   others.
    /// - Returns: A waiter when the requester has to wait; else it has been called already.
    func acquire(_ requester: any UpstreamRequester, avoiding avoided: UpstreamEndpoint? = nil) -> UpstreamWaiter? {
        let now = NIODeadline.now()
        let lane = requester.lane
        let queue = queue(lane)
        let share = queue.share(of: requester.tenant)
        let cap = min(requester.concurrency ?? .max, limits[lane].perTenant ?? .max)
        if avoided == nil, share.inUse + share.waiting >= cap {
            figures.tenantBusy += 1
            return refuse(requester, .tenantBusy)
        }
        if nextLookup <= now { lookUp(now: now) }
        guard isStarting || endpoints.contains(where: \.isUsable) else {
            figures.unreachable += 1
            return refuse(requester, .unreachable)
        }
        budget.noteRequest()
        if queue.waiting == 0, let connection = idleConnection(for: requester, lane, avoiding: avoided, now: now) {
            grant(connection, requester, lane, share, now: now)
            return nil
        }
        guard avoided != nil || queue.admits(share, places: places(lane), within: limits.expectedWait) else {
            figures.overloaded += 1
            return refuse(requester, .overloaded)
        }
        let waiter = UpstreamWaiter(requester, share: share, avoiding: avoided, since: now)
        queue.append(waiter, isFirst: avoided != nil)
        serveWaiting(lane, now: now)
        return waiter.isWaiting ? waiter : nil
    }

    private func refuse(_ requester: any UpstreamRequester, _ failure: UpstreamFailure) -> UpstreamWaiter? {
        requester.upstreamFailed(failure)
        return nil
    }

    private func grant(
        _ connection: UpstreamConnection, _ requester: any UpstreamRequester, _ lane: UpstreamLane, _ share: TenantShare, now: NIODeadline
    ) {
        let endpoint = connection.endpoint
        endpoint.idle.removeLast()
        endpoint.began(lane)
        if lane == .ordinary { endpoint.awaited += 1 }
        queue(lane).began(share)
        connection.hold = .init(lane: lane, share: share, since: now)
        connection.begin(requester)
        requester.upstreamReady(connection)
    }

    /// The connection for a request: at the address with the least to do, of equals the next in turn.
    ///
    /// Where that address has no connection at hand one is opened, and the request does not wait for it if another address has one.
    private func idleConnection(
        for requester: any UpstreamRequester, _ lane: UpstreamLane, avoiding avoided: UpstreamEndpoint?, now: NIODeadline
    ) -> UpstreamConnection? {
        let mayBeRepeated = requester.mayBeRepeated
        if endpoints.count == 1 {
            let endpoint = endpoints[0]
            guard endpoint.isUsable, endpoint.hasPlace(lane, limits) else { return nil }
            return endpoint.idleConnection(mayBeRepeated: mayBeRepeated, now: now)
        }
        let hasElsewhere = avoided != nil && endpoints.contains { $0 !== avoided && $0.isUsable }
        var best: (endpoint: UpstreamEndpoint, isLeaving: Bool)?
        var found: (connection: UpstreamConnection, isLeaving: Bool)?
        turn &+= 1
        for offset in endpoints.indices {
            let endpoint = endpoints[(turn &+ offset) % endpoints.count]
            if hasElsewhere, endpoint === avoided { continue }
            guard endpoint.isUsable, endpoint.hasPlace(lane, limits) else { continue }
            let isLeaving = endpoint.isLeaving(now: now)
            func isBetter(than other: UpstreamEndpoint, _ otherIsLeaving: Bool) -> Bool {
                isLeaving == otherIsLeaving ? endpoint.active < other.active : !isLeaving
            }
            let connection = endpoint.idleConnection(mayBeRepeated: mayBeRepeated, now: now)
            if let connection, found.map({ isBetter(than: $0.connection.endpoint, $0.isLeaving) }) ?? true {
                found = (connection, isLeaving)
            }
            if connection != nil || endpoint.canConnect(now: now), best.map({ isBetter(than: $0.endpoint, $0.isLeaving) }) ?? true {
                best = (endpoint, isLeaving)
            }
        }
        guard let best, let found, best.endpoint !== found.connection.endpoint else { return found?.connection }
        // Not on one that goes, when there is one that stays.
        if found.isLeaving, !best.isLeaving { return nil }
        if best.endpoint.connecting == 0 { connect(best.endpoint, now: now) }
        return found.connection
    }

    /// Gives connections to those that wait, in their turn, as far as there are, and opens what is missing.
    func serveWaiting(_ lane: UpstreamLane, now: NIODeadline) {
        let queue = queue(lane)
        while queue.waiting > 0 {
            var connection: UpstreamConnection?
            guard endpoints.contains(where: { $0.isUsable && $0.hasPlace(lane, limits) }) else { break }
            let waiter = queue.next(places: places(lane)) { waiter in
                connection = idleConnection(for: waiter.requester, lane, avoiding: waiter.avoided, now: now)
                return connection != nil
            }
            guard let waiter, let connection else { break }
            grant(connection, waiter.requester, lane, waiter.share, now: now)
        }
        guard queue.waiting > 0 else { return }
        if !isStarting, !endpoints.contains(where: \.isUsable) {
            while let waiter = queue.popAny() {
                figures.unreachable += 1
                waiter.requester.upstreamFailed(.unreachable)
            }
            return
        }
        openConnections(lane, now: now)
        if lane == .ordinary { for endpoint in endpoints { evictSlowReader(of: endpoint) } }
    }

    func serveAllWaiting(now: NIODeadline) {
        for lane in UpstreamLane.allCases where queue(lane).waiting > 0 { serveWaiting(lane, now: now) }
    }

    /// A connection for each that waits, as far as there are places; those that are being opened serve whoever is first.
    private func openConnections(_ lane: UpstreamLane, now: NIODeadline) {
        var missing = queue(lane).waiting
        for endpoint in endpoints where endpoint.canConnect(now: now) { missing -= endpoint.connecting }
        while missing > 0 {
            let isAnyStaying = endpoints.contains { $0.canConnect(now: now) && !$0.isLeaving(now: now) }
            let next = endpoints.lazy
                .filter { [limits] in
                    $0.canConnect(now: now) && $0.freePlaces(lane, limits) > $0.connecting && !(isAnyStaying && $0.isLeaving(now: now))
                }
                .min { $0.active < $1.active }
            guard let next, connect(next, now: now) else { return }
            missing -= 1
        }
    }

    // MARK: Called by connections

    /// The head of an answer has come.
    func answerBegan(_ connection: UpstreamConnection, now: NIODeadline) {
        guard let hold = connection.hold, hold.isAwaited else { return }
        let endpoint = connection.endpoint
        let roundTrip = now - hold.since
        endpoint.figures.answered(after: roundTrip)
        connection.hold?.isAwaited = false
        guard hold.lane == .ordinary else { return }
        endpoint.awaited -= 1
        if endpoint.concurrency.answered(after: roundTrip, now: now) {
            endpoint.concurrency.adjust(now: now, second: Self.wallClockSecond)
        }
    }

    /// A connection is free: for the first that waits, or kept.
    func release(_ connection: UpstreamConnection, now: NIODeadline) {
        let endpoint = connection.endpoint
        endHold(of: connection, now: now)
        if endpoint.isRetired || isClosed { return connection.close() }
        connection.idleSince = now
        endpoint.idle.append(connection)
        serveAllWaiting(now: now)
    }

    /// A connection has ended or is about to: its place is free for one that waits.
    func detached(_ connection: UpstreamConnection) {
        guard !connection.isDetached else { return }
        connection.isDetached = true
        let now = NIODeadline.now()
        let endpoint = connection.endpoint
        endHold(of: connection, now: now)
        endpoint.connections -= 1
        if let index = endpoint.idle.lastIndex(where: { $0 === connection }) { endpoint.idle.remove(at: index) }
        serveAllWaiting(now: now)
    }

    private func endHold(of connection: UpstreamConnection, now: NIODeadline) {
        guard let hold = connection.hold else { return }
        connection.hold = nil
        connection.endpoint.ended(hold.lane)
        if hold.lane == .ordinary, hold.isAwaited { connection.endpoint.awaited -= 1 }
        queue(hold.lane).ended(hold.share, after: now - hold.since)
    }

    /// When requests wait and there is no connection left to open, at most half of an address's ordinary places may be held for clients that do
    /// not read: beyond that the one that has not for longest ends.
    func evictSlowReader(of endpoint: UpstreamEndpoint) {
        let places = limits.ordinary.places
        guard queue(.ordinary).waiting > 0, endpoint.inUse[UpstreamLane.ordinary.rawValue] >= places, endpoint.paused.count > places / 2
        else { return }
        figures.slowReadersEnded += 1
        endpoint.paused[0].evict()
    }

    // MARK: Clock

    /// To be called a few times a second.
    func tick(now: NIODeadline) {
        closeIdle(before: now)
        if nextLookup <= now { lookUp(now: now) }
        for queue in queues {
            while let waiter = queue.nextExpired(before: now - limits.longestWait) {
                figures.waitedInVain += 1
                waiter.requester.upstreamFailed(.overloaded)
            }
            queue.forgetUnused()
        }
        // Those that a slow connect has kept.
        serveAllWaiting(now: now)
    }

    /// Ends all that is idle, and takes no more care of addresses. Requests under way go on.
    func close() {
        isClosed = true
        for endpoint in endpoints { while let connection = endpoint.idle.last { connection.close() } }
    }

    /// The figures of this instant.
    func figuresNow() -> UpstreamFigures {
        var figures = figures
        figures.waiting = queues.map(\.waiting)
        figures.endpoints = endpoints.map { endpoint in
            var own = endpoint.figures
            own.state = endpoint.health.state
            own.connections = endpoint.connections
            own.idle = endpoint.idle.count
            own.inUse = endpoint.inUse
            own.concurrencyLimit = endpoint.concurrency.value
            return own
        }
        return figures
    }
}
