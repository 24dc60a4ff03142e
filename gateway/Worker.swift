import Core
import Logging
import NIOCore
import Operations
import Redis

/// What all event loops of one gateway share; none of it is touched per request but ``Directory``.
struct SharedParts: Sendable {
    let configuration: GatewayConfiguration
    let routes: RouteTable
    let directory: Directory
    let keyRefresh: KeyRefresh
    let securityEvents: SecurityEvents
    let apiDocument: APIDocument
    let referencePage: ReferencePage
    let accessLog: AccessLogOutput?
    let logger: Logger
}

/// Everything that one event loop needs to serve requests on its own: no lock and no hop lies on a request's way.
final class Worker {
    let eventLoop: any EventLoop
    let shared: SharedParts
    let configuration: GatewayConfiguration
    /// By the service's index.
    let signers: [ContextSigner]
    let directory: Directory
    let pools: [UpstreamPool]
    let limiter: RateLimiter
    let verifier: TokenVerifier
    let crossOrigin: CrossOrigin
    let tenantResolution: TenantResolution
    var tokens = TokenCache()
    var metrics: RequestMetrics
    var log: AccessLog
    var random = FastRandom()
    let routes: RouteTable
    private(set) var isDraining = false
    /// Told to stop: answers end their connections, so that clients come back elsewhere, while new ones are still served.
    private(set) var isLeaving = false
    private var connections: [ClientConnection] = []
    private var ticks: RepeatedTask?
    private var drained: EventLoopPromise<Void>?
    let connectionLimit: Int
    let inFlightLimit: Int
    /// Requests whose bodies are awaited. They cost little, so new ones are not refused for them.
    var gathering = 0
    /// Bytes of the bodies of requests under way.
    private var heldBytes = 0
    private let heldLimit: Int

    private static let tickInterval = TimeAmount.milliseconds(250)

    init(shared: SharedParts, redis: RedisClient) {
        eventLoop = redis.eventLoop
        self.shared = shared
        configuration = shared.configuration
        signers = configuration.signers
        directory = shared.directory
        routes = shared.routes
        let loops = configuration.eventLoops
        pools = ServiceName.allCases.map { service in
            UpstreamPool(
                service: service, addresses: shared.configuration.upstreams[service] ?? [],
                connectionLimit: shared.configuration.upstreamConnectionLimit,
                connectionAge: shared.configuration.upstreamConnectionAge, eventLoop: redis.eventLoop)
        }
        limiter = RateLimiter(
            redis: redis, addressLimit: configuration.addressLimit, localShare: configuration.localShare / Double(loops),
            logger: shared.logger)
        verifier = TokenVerifier(issuer: configuration.issuer, audience: configuration.audience)
        crossOrigin = CrossOrigin(origins: configuration.corsOrigins)
        tenantResolution = TenantResolution(baseDomain: configuration.baseDomain)
        metrics = RequestMetrics(routeCount: shared.routes.routes.count)
        log = AccessLog(output: shared.accessLog)
        connectionLimit = max(1, configuration.connectionLimit / loops)
        inFlightLimit = max(1, configuration.inFlightLimit / loops)
        heldLimit = max(4 * configuration.bodyLimit, configuration.bodiesLimit / loops)
    }

    /// Starts the clock that deadlines are checked by. One clock for all connections costs less than a timer a request.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ticks = eventLoop.scheduleRepeatedTask(initialDelay: Self.tickInterval, delay: Self.tickInterval) { _ in bound.value.tick() }
    }

    private func tick() {
        let now = NIODeadline.now()
        // From the end, since a connection that closes takes itself out.
        for index in connections.indices.reversed() where index < connections.count { connections[index].checkDeadline(now: now) }
        for pool in pools { pool.tick(now: now) }
        log.flush()
    }

    /// - Returns: Whether there is room for the connection.
    func add(_ connection: ClientConnection) -> Bool {
        guard connections.count < connectionLimit, !isDraining else {
            metrics.refusedConnections += 1
            return false
        }
        connection.place = connections.count
        connections.append(connection)
        return true
    }

    /// Counts more bytes of a connection's body. Where there is no room, the largest of the bodies that are awaited gives way, so that
    /// clients that send much and slowly do not keep the others out.
    ///
    /// - Returns: Whether there is room for them.
    func hold(_ bytes: Int, for connection: ClientConnection) -> Bool {
        guard bytes > 0 else { return true }
        while heldBytes + bytes > heldLimit {
            let largest = connections.lazy.filter { $0.phase == .gathering }.max { $0.exchange.heldBytes < $1.exchange.heldBytes }
            guard let largest, largest.exchange.heldBytes > connection.exchange.heldBytes + bytes else { return false }
            largest.refuseBodyForRoom()
        }
        heldBytes += bytes
        return true
    }

    func release(_ bytes: Int) { heldBytes -= bytes }

    func remove(_ connection: ClientConnection) {
        guard let place = connection.place else { return }
        connection.place = nil
        let last = connections.removeLast()
        if last !== connection {
            connections[place] = last
            last.place = place
        }
        if connections.isEmpty { drained?.succeed() }
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
            for connection in connections { connection.drain() }
        }
        return promise.futureResult
    }

    /// Ends what is left; called once, after ``drain()`` or its time limit.
    func stop() {
        ticks?.cancel()
        for connection in connections.reversed() { connection.closeNow() }
        drained?.succeed()
        drained = nil
        for pool in pools { pool.closeIdle() }
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
        metrics.awaitedBodies = gathering
        metrics.heldBytes = heldBytes
        metrics.slowReadersEnded = pools.reduce(0) { $0 + $1.slowReadersEnded }
        for pool in pools {
            metrics.upstreamConnections[pool.service.index] = pool.endpoints.reduce(0) { $0 + $1.connections }
            metrics.ejectedAddresses[pool.service.index] = pool.endpoints.count { !$0.health.isHealthy }
        }
        return metrics
    }
}
