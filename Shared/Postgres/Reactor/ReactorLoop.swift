import Core

/// What the reactor's thread does and has: connections, callers that wait for one, and the loop around the poller.
final class ReactorLoop {
    private let reactor: Reactor
    private let connector: Connector
    private let configuration: PostgresConfiguration
    private let connections: [Connection]
    private let fast: ArraySlice<Connection>
    private let bulk: ArraySlice<Connection>
    private var waitingFast = FairQueue()
    /// For the bulk lane: transactions and sessions, and batches that are known to run long.
    private var waitingBulk = FairQueue()
    private var waitingLong = FairQueue()
    private var loads: [TenantID: TenantLoad] = [:]
    private let active = ActiveTenants()
    private var table: StatementTable
    private let buffer = ParameterBuffer()
    private var dirty: [Connection] = []
    private var statistics = PostgresStatistics()
    private var now = monotonicNow()
    private var nextSweep: Int64 = 0
    /// Set once the client is to end: the instant at which it no longer waits for anyone.
    private var stopAt: Int64?

    /// How exact deadlines are, and how often encrypted connections are looked at, nanoseconds.
    private static let sweepInterval: Int64 = 10_000_000
    /// For how long a tenant's writes go by themselves after one has waited too long for a lock, and for how long a statement that
    /// took too long is known as such, nanoseconds.
    private static let contentionMemory: Int64 = 1_000_000_000
    private static let longMemory: Int64 = 60_000_000_000
    /// Tenants whose loads are kept when they have nothing under way.
    private static let maximumIdleLoads = 1024
    /// How often a turn looks for new commands before it sends and polls; bounded, so that sockets get their turn.
    private static let roundsATurn = 4

    init(
        reactor: Reactor, connector: Connector, configuration: PostgresConfiguration, fastConnections: Int, bulkConnections: Int
    ) {
        self.reactor = reactor
        self.connector = connector
        self.configuration = configuration
        connections = (0..<fastConnections + bulkConnections).map {
            Connection(index: $0, lane: $0 < fastConnections ? .fast : .bulk, maximumStatements: configuration.maximumStatements)
        }
        fast = connections[..<fastConnections]
        bulk = connections[fastConnections...]
        table = StatementTable(capacity: configuration.maximumStatements)
    }

    func run() {
        for connection in connections { connector.connect(connection.index, for: reactor) }
        var commands: [Reactor.Command] = []
        while true {
            now = monotonicNow()
            // Tasks that run here hand in requests at once; those go out together with what was there before.
            for _ in 0..<Self.roundsATurn {
                commands.removeAll(keepingCapacity: true)
                reactor.take(into: &commands)
                if commands.isEmpty { break }
                for command in commands { handle(command) }
            }
            flush()
            // What was cancelled or lost meanwhile has made room.
            if isAnyoneWaiting {
                dispatch()
                flush()
            }
            if now >= nextSweep, isWatching { sweep() }
            publish()
            if let stopAt, now >= stopAt || !isOccupied { break }
            // More may have come in while those were handled.
            reactor.poller.wait(milliseconds: commands.isEmpty ? waitTime : 0) { event in
                let connection = connections[event.token]
                if event.isReadable || event.isWritable { serve(connection) }
            }
        }
        close()
    }

    /// Whether there is anyone with a deadline.
    private var isWatching: Bool {
        stopAt != nil || isAnyoneWaiting || connections.contains { $0.depth > 0 }
    }

    private var isAnyoneWaiting: Bool { !waitingFast.isEmpty || !waitingBulk.isEmpty || !waitingLong.isEmpty }

    private var isOccupied: Bool {
        isAnyoneWaiting || connections.contains { $0.depth > 0 || $0.checkout != nil }
    }

    private var waitTime: Int32 {
        isWatching ? Int32(max(1, min(10, (nextSweep - now + 999_999) / 1_000_000))) : -1
    }

    private func handle(_ command: Reactor.Command) {
        switch command {
        case .submit(let request, let continuation):
            // Cancelled before it came.
            if request.state == .finished { return continuation.resume(throwing: PostgresError(.cancelled)) }
            request.continuation = continuation
            start(request)
        case .cancel(let request): abandon(request, .cancelled)
        case .release(let checkout, let isClean): release(checkout, isClean: isClean)
        case .learn(let fault, let tenant): learn(fault, of: tenant)
        case .connected(let index, let handle): open(connections[index], handle)
        case .shutDown(let drain):
            let limit = drain ? now + configuration.drainTimeout.nanoseconds : now
            stopAt = min(stopAt ?? limit, limit)
        case .work(let job, let executor): job.runSynchronously(on: executor)
        }
    }

    // MARK: Requests

    private func start(_ request: Request) {
        if request.deadline <= now { return abandon(request, .deadlineExceeded) }
        if let checkout = request.checkout, !request.isCheckingOut {
            guard let connection = checkout.connection, !checkout.isSpoilt else {
                return request.finish(throwing: PostgresError(.connectionLost(mayHaveCommitted: false)))
            }
            guard connection.depth < configuration.maximumDepth else { return request.finish(throwing: PostgresError(.overloaded)) }
            return send(request, over: connection)
        }
        if stopAt != nil || (request.isCheckingOut && bulk.isEmpty) {
            return request.finish(throwing: PostgresError(.notConnected))
        }
        if request.isCheckingOut {
            if place(request) == .started { return }
        } else {
            if let isLong = isLongAlone(request) { return request.finish(throwing: PostgresError(.mustRunAlone(isLong: isLong))) }
            if share(request) == .started { return }
        }
        wait(request)
    }

    private func wait(_ request: Request) {
        request.state = .waiting
        request.waitingSince = now
        func add(to queue: inout FairQueue) {
            if queue.count >= configuration.maximumWaiting {
                let refused = queue.makeRoom(for: request.tenant) ?? request
                statistics.overloads += 1
                refused.finish(throwing: PostgresError(.overloaded))
                if refused === request { return }
            }
            queue.append(request)
        }
        if !request.isCheckingOut { return add(to: &waitingFast) }
        if request.checkout?.isLong == true { add(to: &waitingLong) } else { add(to: &waitingBulk) }
    }

    // MARK: Shares

    private func load(of tenant: TenantID) -> TenantLoad {
        if let load = loads[tenant] { return load }
        if loads.count >= Self.maximumIdleLoads { loads = loads.filter { !$0.value.isForgettable(at: now) } }
        let load = TenantLoad(connections: fast.count, among: active)
        loads[tenant] = load
        return load
    }

    /// For a batch that is known to keep others waiting on a shared connection, whether it does by running long rather than by waiting for
    /// a lock; `nil` for any other.
    private func isLongAlone(_ request: Request) -> Bool? {
        guard !bulk.isEmpty, let tenant = request.tenant, let load = loads[tenant] else { return nil }
        if load.knowsAsLong(request.statements, at: now) { return true }
        return load.contendedUntil > now && !request.isRead ? false : nil
    }

    private func learn(_ fault: SharingFault, of tenant: TenantID) {
        switch fault {
        case .waitedForLock: load(of: tenant).contendedUntil = now + Self.contentionMemory
        case .ranLong(let hash): load(of: tenant).remember(longText: hash, until: now + Self.longMemory)
        }
    }

    /// Puts a batch on the connection of the fast lane where it waits least. One tenant is on half of them at most, on three quarters while
    /// it is the only one, so that whatever its batches wait for, those of others find a connection without them.
    private func share(_ request: Request) -> FairQueue.Outcome {
        let load = request.tenant.map(load(of:))
        let isAlone = active.count <= (load?.connections ?? 0 > 0 ? 1 : 0)
        let share = max(1, isAlone ? fast.count * 3 / 4 : fast.count / 2)
        let isAtShare = load.map { $0.connections >= share } ?? false
        var best: Connection?
        var leastStrain = Int.max
        for connection in fast where connection.isUsable && connection.depth < configuration.maximumDepth {
            if isAtShare, load?.isOn(connection.index) == false { continue }
            let strain = connection.depth == 0 ? 0 : connection.strain(at: now)
            guard strain < leastStrain else { continue }
            best = connection
            leastStrain = strain
            if strain == 0 { break }
        }
        guard let best else { return isAtShare ? .tenantMustWait : .allMustWait }
        request.load = load
        send(request, over: best)
        return .started
    }

    /// Gives a checkout its connection. One tenant has half of the lane, so that its transactions, when they wait for each other, leave
    /// room for those of others; and a quarter for what runs long, since that takes the server's processors.
    private func place(_ request: Request) -> FairQueue.Outcome {
        guard let checkout = request.checkout, let connection = bulk.first(where: { $0.isUsable && $0.checkout == nil }) else {
            return .allMustWait
        }
        if let tenant = request.tenant {
            let load = load(of: tenant)
            if load.checkouts >= max(1, bulk.count / 2) { return .tenantMustWait }
            if checkout.isLong, load.longCheckouts >= max(1, bulk.count / 4) { return .tenantMustWait }
            load.checkouts += 1
            if checkout.isLong { load.longCheckouts += 1 }
            checkout.load = load
        }
        checkout.connection = connection
        connection.checkout = checkout
        send(request, over: connection)
        return .started
    }

    private func send(_ request: Request, over connection: Connection) {
        statistics.batches += 1
        statistics.statements += request.statements.count
        if !connection.isDirty { dirty.append(connection) }
        connection.enqueue(request, at: now)
    }

    /// Answers a caller who does not wait any longer. What was sent for it is drained and dropped.
    private func abandon(_ request: Request, _ kind: PostgresError.Kind) {
        guard request.state != .finished else { return }
        if request.state == .sent { request.checkout?.isSpoilt = true }
        if kind == .deadlineExceeded { statistics.timeouts += 1 }
        request.finish(throwing: PostgresError(kind))
    }

    private func dispatch() {
        waitingFast.dispatch(share)
        // Who thinks between its statements comes before what takes long anyhow.
        waitingBulk.dispatch(place)
        waitingLong.dispatch(place)
    }

    /// Ends a checkout. A connection that is not as it was before the checkout is replaced, so that nothing of it stays behind:
    /// no open transaction, no setting, no lock, no answer.
    private func release(_ checkout: Checkout, isClean: Bool) {
        if let load = checkout.load.take() {
            load.checkouts -= 1
            if checkout.isLong { load.longCheckouts -= 1 }
        }
        guard let connection = checkout.connection else { return dispatch() }
        checkout.connection = nil
        connection.checkout = nil
        if isClean, !checkout.isSpoilt, connection.depth == 0 { return dispatch() }
        if connection.depth > 0, let cancellation = connection.handle?.cancellation() { connector.cancel(cancellation) }
        lose(connection)
    }

    // MARK: Connections

    private func open(_ connection: Connection, _ handle: ConnectionHandle) {
        if connection.hasBeenConnected { statistics.reconnects += 1 }
        connection.open(handle)
        reactor.poller.add(handle.socket, token: connection.index)
        dispatch()
    }

    private func serve(_ connection: Connection) {
        guard connection.handle != nil else { return }
        now = monotonicNow()
        guard connection.receive(at: now) else { return lose(connection) }
        if connection.isAwaitingWrite { flush(connection) }
        if connection.mustClose { lose(connection) }
        if isAnyoneWaiting { dispatch() }
    }

    /// Sends what this turn has given to the connections, each connection's share in one go.
    private func flush() {
        // The list can grow: losing a connection does not, but a dispatch does.
        var index = 0
        while index < dirty.count {
            let connection = dirty[index]
            if connection.sendOutgoing(&table, buffer) { flush(connection) } else { lose(connection) }
            // What it waited with its end for may have been cancelled instead of sent.
            if connection.mustClose { lose(connection) }
            index += 1
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private func flush(_ connection: Connection) {
        guard let handle = connection.handle else { return }
        switch handle.flush() {
        case .failed: lose(connection)
        case .done where connection.isAwaitingWrite:
            connection.isAwaitingWrite = false
            reactor.poller.change(handle.socket, token: connection.index, wantsWrite: false)
        case .blocked where !connection.isAwaitingWrite:
            connection.isAwaitingWrite = true
            reactor.poller.change(handle.socket, token: connection.index, wantsWrite: true)
        case .done, .blocked: break
        }
    }

    private func lose(_ connection: Connection) {
        guard let handle = connection.lose() else { return }
        reactor.poller.remove(handle.socket)
        if stopAt == nil { connector.connect(connection.index, for: reactor) }
    }

    // MARK: Time

    /// Answers those whose time is over.
    private func sweep() {
        nextSweep = now + Self.sweepInterval
        let isFastLaneDown = !fast.contains { $0.isUsable }
        let isBulkLaneDown = !bulk.contains { $0.isUsable }
        let unavailableSince = now - configuration.unavailableTimeout.nanoseconds
        func expire(_ waiting: inout FairQueue, isLaneDown: Bool) {
            guard !waiting.isEmpty else { return }
            waiting.removeAll { request in
                if request.deadline <= now { abandon(request, .deadlineExceeded) }
                if request.hasLeft?() == true { abandon(request, .cancelled) }
                if isLaneDown, request.waitingSince <= unavailableSince { abandon(request, .notConnected) }
                return request.state == .finished
            }
        }
        expire(&waitingFast, isLaneDown: isFastLaneDown)
        expire(&waitingBulk, isLaneDown: isBulkLaneDown)
        expire(&waitingLong, isLaneDown: isBulkLaneDown)
        for connection in connections where connection.depth > 0 {
            connection.forEachRequest { request in
                guard request.state == .sent else { return }
                if request.deadline <= now { abandon(request, .deadlineExceeded) }
                if request.hasLeft?() == true { abandon(request, .cancelled) }
            }
            // Bytes can lie decrypted in memory while the socket has none, so the poller would not tell.
            if connection.handle?.isEncrypted == true { serve(connection) }
        }
    }

    private func publish() {
        statistics.fastConnections = 0
        statistics.bulkConnections = 0
        statistics.checkouts = 0
        statistics.inFlight = 0
        statistics.greatestDepth = 0
        for connection in connections {
            if connection.isUsable {
                if connection.lane == .fast { statistics.fastConnections += 1 } else { statistics.bulkConnections += 1 }
            }
            if connection.checkout != nil { statistics.checkouts += 1 }
            statistics.inFlight += connection.depth
            statistics.greatestDepth = max(statistics.greatestDepth, connection.depth)
        }
        statistics.waiting = waitingFast.count + waitingBulk.count + waitingLong.count
        reactor.publish(statistics)
    }

    private func close() {
        stopAt = now
        for connection in connections { lose(connection) }
        while let request = waitingFast.popFirst() { abandon(request, .notConnected) }
        while let request = waitingBulk.popFirst() { abandon(request, .notConnected) }
        while let request = waitingLong.popFirst() { abandon(request, .notConnected) }
        publish()
        for command in reactor.end() { handle(command) }
    }
}
