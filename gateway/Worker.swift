import Core
import Logging
import NIOCore
import Operations
import Redis

/// What all event loops of one gateway share; none of it is touched per request but ``RevocationState``.
struct SharedParts: Sendable {
    let configuration: GatewayConfiguration
    /// What the loops begin with.
    let policy: GatewayPolicy
    let routes: RouteTable
    let revocations: RevocationState
    let keyRefresh: KeyRefresh
    let securityEvents: SecurityEvents
    let apiDocument: APIDocument
    let referencePage: ReferencePage
    let logOutput: LogOutput
    let localShares: LocalShares
    let census: ConnectionCensus
    let logger: Logger
}

/// Everything that one event loop needs to serve requests on its own: no lock and no hop lies on a request's way.
final class Worker {
    let eventLoop: any EventLoop
    let shared: SharedParts
    /// The settings in force on this loop.
    private(set) var policy: GatewayPolicy
    /// By the service's index.
    let signers: [ContextSigner]
    let revocations: RevocationState
    let pools: [UpstreamPool]
    let limiter: RateLimiter
    let verifier: TokenVerifier
    let handshakes: HandshakeGate
    let compression = AnswerCompression()
    var tokens = TokenCache()
    var metrics: RequestMetrics
    var log: AccessLog
    var random = FastRandom()
    let routes: RouteTable
    private(set) var isDraining = false
    /// Told to stop: answers end their connections, so that clients come back elsewhere, while new ones are still served.
    private(set) var isLeaving = false
    private var connections = SlotList<any EdgeConnection> { $0 }
    private var ticks: RepeatedTask?
    private var drained: EventLoopPromise<Void>?
    /// Requests under way.
    var inFlight = 0
    /// Requests whose bodies are awaited.
    var gathering = SlotList<Exchange> { $0 }
    /// Answers under way that go on for as long as they are taken.
    var openStreams = 0
    /// Bytes of the bodies of requests under way.
    private var heldBytes = 0
    /// Bytes of answers that clients have not taken.
    private var untakenBytes = 0
    private var isMakingRoom = false
    /// Where the fields of one answer are put together.
    private let lines = UnsafeMutableRawBufferPointer.allocate(byteCount: HeadLimits.headBytes + 4 * HeadWriter.slack, alignment: 8)
    var date = DateLine()

    private static let tickInterval = TimeAmount.milliseconds(250)

    init(shared: SharedParts, redis: RedisClient) {
        eventLoop = redis.eventLoop
        self.shared = shared
        policy = shared.policy
        let configuration = shared.configuration
        signers = configuration.signers
        revocations = shared.revocations
        routes = shared.routes
        pools = ServiceName.allCases.map { service in
            UpstreamPool(
                service: service, addresses: shared.policy.settings.upstreams[service] ?? [], limits: configuration.upstreamLimits,
                eventLoop: redis.eventLoop)
        }
        limiter = RateLimiter(
            redis: redis, addressLimit: shared.policy.settings.addressLimit, shares: shared.localShares, logger: shared.logger)
        verifier = TokenVerifier(issuer: configuration.issuer, audience: configuration.audience)
        handshakes = HandshakeGate(
            limits: .init(
                places: configuration.handshakeLimit, placesPerAddress: configuration.addressHandshakeLimit,
                time: shared.policy.settings.headerTimeout))
        metrics = RequestMetrics(routeCount: shared.routes.routes.count)
        log = AccessLog(output: shared.logOutput)
        log.form = shared.policy.settings.accessLog
    }

    deinit { lines.deallocate() }

    /// Puts other settings in force.
    func apply(_ policy: GatewayPolicy) {
        self.policy = policy
        for pool in pools { pool.update(addresses: policy.settings.upstreams[pool.service] ?? []) }
        limiter.addressLimit = policy.settings.addressLimit
        handshakes.limits.time = policy.settings.headerTimeout
        shared.localShares.change(share: policy.settings.localShare)
        log.form = policy.settings.accessLog
    }

    /// Puts the fields of an answer together. They stand until the next call.
    func writeLines(_ body: (inout HeadWriter) -> Void) -> UnsafeRawBufferPointer {
        var writer = HeadWriter(lines)
        body(&writer)
        return writer.written(since: 0)
    }

    /// Starts the clock that deadlines are checked by. One clock for all connections costs less than a timer a request.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ticks = eventLoop.scheduleRepeatedTask(initialDelay: Self.tickInterval, delay: Self.tickInterval) { _ in bound.value.tick() }
    }

    private func tick() {
        let now = NIODeadline.now()
        // From the end, since a connection that closes takes itself out.
        for index in connections.elements.indices.reversed() where index < connections.count {
            connections.elements[index].checkDeadlines(now: now)
        }
        for pool in pools { pool.tick(now: now) }
        log.flush()
    }

    /// Whom a TLS handshake counts for. A proxy that hands on TLS brings those of many clients.
    ///
    /// - Parameter client: The client that a balancer has named.
    func handshakeAddress(_ channel: any Channel, client: IPAddress?) -> IPAddress? {
        guard let address = client ?? channel.remoteAddress?.ipAddress.flatMap({ IPAddress($0) }) else { return nil }
        return policy.proxies.believes(address) ? nil : address
    }

    /// - Returns: Whether there is room for the connection.
    func add(_ connection: any EdgeConnection) -> Bool {
        guard connections.count < policy.connectionLimit, !isDraining, admits(connection.client) else {
            metrics.refusedConnections += 1
            return false
        }
        connections.insert(connection)
        return true
    }

    /// One address cannot take all the places. A trusted proxy is no client, and brings those of many.
    private func admits(_ client: Client) -> Bool {
        guard let address = client.address, !policy.proxies.believes(address) else { return true }
        return shared.census.enter(address, limit: policy.settings.addressConnections, client: client)
    }

    func remove(_ connection: any EdgeConnection) {
        shared.census.leave(connection.client)
        connections.remove(connection)
        if connections.isEmpty { drained?.succeed() }
    }

    /// Counts more bytes of a body. Where there is no room, the largest of the bodies that are awaited gives way, so that
    /// clients that send much and slowly do not keep the others out.
    ///
    /// - Returns: Whether there is room for them.
    func reserve(_ bytes: Int, for exchange: Exchange) -> Bool {
        while heldBytes + bytes > policy.bodiesLimit {
            let largest = gathering.elements.max { $0.heldBytes < $1.heldBytes }
            guard let largest, largest.heldBytes > exchange.heldBytes + bytes else { return false }
            largest.refuseForRoom()
        }
        heldBytes += bytes
        return true
    }

    /// Counts bytes of a body that has its place already, or is gone.
    func hold(_ change: Int) { heldBytes += change }

    /// Counts bytes of answers that clients have not taken.
    func noteUntaken(_ change: Int) {
        untakenBytes += change
        guard change > 0, untakenBytes > policy.answersLimit, !isMakingRoom else { return }
        isMakingRoom = true
        // Not at once: the caller may be in the middle of writing to one that is to be ended.
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { bound.value.makeRoomForAnswers() }
    }

    /// Ends the clients with the most untaken bytes: they do not read, or slower than everybody else.
    private func makeRoomForAnswers() {
        isMakingRoom = false
        var excess = untakenBytes - policy.answersLimit
        for connection in connections.elements.sorted(by: { $0.untakenBytes > $1.untakenBytes }) {
            if excess <= 0 { return }
            excess -= connection.untakenBytes
            metrics.slowReadersEnded += 1
            connection.closeNow()
        }
    }

    func leave() { isLeaving = true }

    /// Lets requests under way end, each with its connection. The future succeeds when no connection is left.
    func drain() -> EventLoopFuture<Void> {
        isLeaving = true
        isDraining = true
        let promise = eventLoop.makePromise(of: Void.self)
        if connections.isEmpty {
            promise.succeed()
        } else {
            drained = promise
            for connection in connections.elements { connection.drain() }
        }
        return promise.futureResult
    }

    /// Ends what is left; called once, after ``drain()`` or its time limit.
    func stop() {
        ticks?.cancel()
        for connection in connections.elements.reversed() { connection.closeNow() }
        drained?.succeed()
        drained = nil
        for pool in pools { pool.close() }
        log.flush()
    }

    /// The counters, with the figures of this instant.
    func metricsNow() -> RequestMetrics {
        var metrics = metrics
        metrics.connections = connections.count
        metrics.cachedTokens = tokens.count
        metrics.leaseDraws = limiter.draws
        metrics.failedLeaseDraws = limiter.failedDraws
        metrics.limitBuckets = limiter.bucketCount
        metrics.awaitedBodies = gathering.count
        metrics.inFlight = inFlight
        metrics.openStreams = openStreams
        metrics.untakenBytes = untakenBytes
        metrics.handshakes = handshakes.figures
        metrics.heldBytes = heldBytes
        metrics.slowReadersEnded += pools.reduce(0) { $0 + $1.figures.slowReadersEnded }
        metrics.loopsWithoutRedis = limiter.redisIsAway ? 1 : 0
        for (index, pool) in pools.enumerated() { metrics.upstreams[index] = pool.figuresNow() }
        return metrics
    }
}
