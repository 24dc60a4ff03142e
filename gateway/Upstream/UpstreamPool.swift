import NIOCore
import NIOPosix
import Operations

/// One address of a service, as one event loop sees it.
final class UpstreamEndpoint {
    let address: UpstreamAddress
    var health = UpstreamHealth()
    var metrics = UpstreamMetrics()
    /// Connections that wait for a request; the last one used is used next, so that the others can grow old and close.
    fileprivate var idle: [UpstreamConnection] = []
    /// When the process behind it said that it stops; `nil` once an answer tells that it, or its successor, stays.
    fileprivate var leftAt: NIODeadline?
    /// Connections whose answer is not read at the moment, as the client does not take it; the longest first.
    var paused: [UpstreamConnection] = []
    /// Open or being opened.
    fileprivate(set) var connections = 0

    init(_ address: UpstreamAddress) { self.address = address }

    var active: Int { connections - idle.count }
}

/// The connections of one event loop to one service.
final class UpstreamPool {
    /// A request that waits for a connection.
    final class Ticket {
        fileprivate var client: (any UpstreamClient)?
        fileprivate init(_ client: any UpstreamClient) { self.client = client }
        /// The client no longer wants one.
        func cancel() { client = nil }
    }

    private static let idleLimit = TimeAmount.seconds(30)
    /// How long a connection may have been idle for a request that must not be sent twice.
    private static let freshness = TimeAmount.milliseconds(500)
    private static let connectTimeout = TimeAmount.seconds(2)
    private static let waitingLimit = 1024
    /// How long an address that said goodbye is passed over where there is another: longer than services drain, or a request
    /// would come just as the port closes.
    private static let leavingPause = TimeAmount.seconds(10)

    let service: ServiceName
    private(set) var endpoints: [UpstreamEndpoint]
    private let eventLoop: any EventLoop
    let connectionLimit: Int
    private let connectionAge: TimeAmount
    private var waiting = CircularBuffer<Ticket>()
    private var turn = 0
    /// Connections ended by ``relieve(_:)``.
    private(set) var slowReadersEnded = 0
    var budget = RetryBudget()

    init(service: ServiceName, addresses: [UpstreamAddress], connectionLimit: Int, connectionAge: TimeAmount, eventLoop: any EventLoop) {
        self.service = service
        endpoints = addresses.map(UpstreamEndpoint.init)
        self.connectionLimit = connectionLimit
        self.connectionAge = connectionAge
        self.eventLoop = eventLoop
    }

    /// Requests that wait for a connection.
    var waitingCount: Int { waiting.count { $0.client != nil } }

    /// Puts other addresses in force. Requests under way at one that is gone end as they would have; its connections then end too.
    func update(addresses: [UpstreamAddress]) {
        let known = endpoints
        endpoints = addresses.map { address in known.first { $0.address == address } ?? UpstreamEndpoint(address) }
        for endpoint in known where !isUsed(endpoint) { closeIdle(endpoint) }
    }

    private func isUsed(_ endpoint: UpstreamEndpoint) -> Bool { endpoints.contains { $0 === endpoint } }

    /// Gives the client a connection: by ``UpstreamClient/upstreamReady(_:)`` at once or later, or it is told why there is none.
    ///
    /// - Returns: A ticket when the client has to wait.
    func acquire(_ client: any UpstreamClient, avoiding avoided: UpstreamEndpoint? = nil) -> Ticket? {
        let now = NIODeadline.now()
        guard let endpoint = choose(avoiding: avoided, now: now) else {
            client.upstreamFailed(.ejected)
            return nil
        }
        budget.noteRequest()
        while let connection = endpoint.idle.popLast() {
            guard connection.isOpen else { continue }
            // The upstream may be closing it just now. Those below it have been idle for longer still.
            if !client.mayBeRepeated, now - connection.idleSince > Self.freshness, endpoint.connections < connectionLimit {
                endpoint.idle.append(connection)
                break
            }
            connection.begin(client)
            client.upstreamReady(connection)
            return nil
        }
        guard waiting.count < Self.waitingLimit else {
            client.upstreamFailed(.overloaded)
            return nil
        }
        let ticket = Ticket(client)
        waiting.append(ticket)
        if endpoint.connections < connectionLimit { connect(endpoint) } else { relieve(endpoint) }
        return ticket
    }

    /// The address with the least to do, of equals the next in turn.
    private func choose(avoiding avoided: UpstreamEndpoint?, now: NIODeadline) -> UpstreamEndpoint? {
        if endpoints.count == 1 { return endpoints[0].health.allows(now: now) ? endpoints[0] : nil }
        turn &+= 1
        var best: UpstreamEndpoint?
        var spare: UpstreamEndpoint?
        for offset in endpoints.indices {
            let endpoint = endpoints[(turn &+ offset) % endpoints.count]
            if endpoint === avoided { continue }
            if let leftAt = endpoint.leftAt, now - leftAt < Self.leavingPause {
                // The one that left first is most likely back.
                if leftAt < spare?.leftAt ?? .distantFuture { spare = endpoint }
                continue
            }
            if let best, best.health.isHealthy, endpoint.active >= best.active { continue }
            // Asking makes this request the probe of an address that comes back, so it is asked last.
            if endpoint.health.allows(now: now) {
                best = endpoint
                if !endpoint.health.isHealthy { break }
            }
        }
        return best ?? [spare, avoided].lazy.compactMap(\.self).first { $0.health.allows(now: now) }
    }

    /// Every connection is made with the name, so that it is resolved anew.
    private func connect(_ endpoint: UpstreamEndpoint) {
        endpoint.connections += 1
        let bound = NIOLoopBound((pool: self, endpoint: endpoint), eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (pool, endpoint) = bound.value
                    let connection = UpstreamConnection(endpoint: endpoint, pool: pool, usableUntil: .now() + pool.lifetime())
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .connect(host: endpoint.address.host, port: endpoint.address.port)
            .whenComplete { result in
                let (pool, endpoint) = bound.value
                switch result {
                case .success(let channel):
                    // Closed again already: `detached` has counted it.
                    guard let connection = try? channel.pipeline.syncOperations.handler(type: UpstreamConnection.self) else { return }
                    if !connection.isDetached { pool.release(connection) }
                case .failure:
                    endpoint.connections -= 1
                    endpoint.health.failed(now: .now())
                    endpoint.metrics.failed()
                    pool.connectFailed(endpoint)
                }
            }
    }

    /// Connections end after a while, or a process that was added behind the name would get none under a steady load; not all at once.
    private func lifetime() -> TimeAmount { .nanoseconds(Int64(Double(connectionAge.nanoseconds) * .random(in: 0.75...1.25))) }

    /// The failed attempt was made for one waiting request; that one is told. When nothing else can serve the others, they are too.
    private func connectFailed(_ endpoint: UpstreamEndpoint) {
        repeat {
            guard let ticket = waiting.popFirst() else { return }
            guard let client = ticket.client else { continue }
            ticket.client = nil
            client.upstreamFailed(.connectFailed)
            if endpoints.contains(where: { $0.connections > 0 }) { return }
        } while true
    }

    /// A connection is free: for the first that waits, or kept.
    func release(_ connection: UpstreamConnection) {
        guard isUsed(connection.endpoint) else {
            // Its address is no longer among those of the service. Who waits gets a connection to one that is.
            detached(connection)
            connection.abandon()
            return
        }
        while let ticket = waiting.popFirst() {
            guard let client = ticket.client else { continue }
            ticket.client = nil
            connection.begin(client)
            client.upstreamReady(connection)
            return
        }
        connection.idleSince = .now()
        connection.endpoint.idle.append(connection)
    }

    /// The upstream ended a connection with an answer, as a service does that was told to stop. Its idle connections end soon too:
    /// they are given up here, before a request could be sent on one that is just being closed.
    func saidGoodbye(_ endpoint: UpstreamEndpoint) {
        endpoint.leftAt = .now()
        closeIdle(endpoint)
    }

    /// The upstream keeps its connections.
    func stays(_ endpoint: UpstreamEndpoint) { endpoint.leftAt = nil }

    /// A connection has ended or is about to.
    func detached(_ connection: UpstreamConnection) {
        guard !connection.isDetached else { return }
        connection.isDetached = true
        let endpoint = connection.endpoint
        endpoint.connections -= 1
        if let index = endpoint.idle.firstIndex(where: { $0 === connection }) { endpoint.idle.remove(at: index) }
        // Its place is free for one that waits.
        guard !waiting.isEmpty, let next = isUsed(endpoint) ? endpoint : endpoints.first else { return }
        if next.connections < connectionLimit { connect(next) }
    }

    /// When requests wait and there is no connection left to open, at most half of an address's connections may wait for clients that do
    /// not read: beyond that the one that has for longest ends.
    func relieve(_ endpoint: UpstreamEndpoint) {
        guard !waiting.isEmpty, endpoint.connections >= connectionLimit, endpoint.paused.count > connectionLimit / 2 else { return }
        slowReadersEnded += 1
        endpoint.paused[0].giveWay()
    }

    /// Closes connections that have been idle for long; called a few times a second.
    func tick(now: NIODeadline) {
        for endpoint in endpoints {
            while let oldest = endpoint.idle.first, now - oldest.idleSince > Self.idleLimit {
                detached(oldest)
                oldest.abandon()
            }
        }
    }

    func closeIdle() {
        for endpoint in endpoints { closeIdle(endpoint) }
    }

    private func closeIdle(_ endpoint: UpstreamEndpoint) {
        while let connection = endpoint.idle.last {
            detached(connection)
            connection.abandon()
        }
    }
}
