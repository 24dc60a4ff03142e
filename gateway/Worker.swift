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
    let logger: Logger
}

/// Everything that one event loop needs to serve requests on its own: no lock and no hop lies on a request's way.
final class Worker {
    let eventLoop: any EventLoop
    let shared: SharedParts
    /// The settings in force on this loop.
    private(set) var policy: GatewayPolicy
    let signer: ContextSigner
    let signerID: [UInt8]
    let revocations: RevocationState
    let pools: [UpstreamPool]
    let limiter: RateLimiter
    let verifier: TokenVerifier
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
    /// Requests whose bodies are awaited. They cost little, so new ones are not refused for them.
    var gathering = 0
    /// Bytes of the bodies of requests under way.
    private var heldBytes = 0

    private static let tickInterval = TimeAmount.milliseconds(250)

    init(shared: SharedParts, redis: RedisClient) {
        eventLoop = redis.eventLoop
        self.shared = shared
        policy = shared.policy
        let configuration = shared.configuration
        signer = configuration.signer
        signerID = Array(signer.keyID.utf8)
        revocations = shared.revocations
        routes = shared.routes
        pools = ServiceName.allCases.map { service in
            UpstreamPool(
                service: service, addresses: shared.policy.settings.upstreams[service] ?? [],
                connectionLimit: configuration.upstreamConnectionLimit, connectionAge: configuration.upstreamConnectionAge,
                eventLoop: redis.eventLoop)
        }
        limiter = RateLimiter(
            redis: redis, addressLimit: shared.policy.settings.addressLimit, localShare: shared.policy.localShare, logger: shared.logger)
        verifier = TokenVerifier(issuer: configuration.issuer, audience: configuration.audience)
        metrics = RequestMetrics(routeCount: shared.routes.routes.count)
        log = AccessLog(output: shared.logOutput)
        log.form = shared.policy.settings.accessLog
    }

    /// Puts other settings in force.
    func apply(_ policy: GatewayPolicy) {
        self.policy = policy
        for pool in pools { pool.update(addresses: policy.settings.upstreams[pool.service] ?? []) }
        limiter.apply(addressLimit: policy.settings.addressLimit, localShare: policy.localShare)
        log.form = policy.settings.accessLog
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
        guard connections.count < policy.connectionLimit, !isDraining else {
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
        while heldBytes + bytes > policy.bodiesLimit {
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
        metrics.loopsWithoutRedis = limiter.redisIsAway ? 1 : 0
        for pool in pools {
            metrics.waitingRequests[pool.service.index] = pool.waitingCount
            for endpoint in pool.endpoints {
                let key = UpstreamMetrics.Key(service: pool.service, address: endpoint.address)
                var address = endpoint.metrics
                address.connections = endpoint.connections
                address.inFlight = endpoint.active
                address.ejections = endpoint.health.isHealthy ? 0 : 1
                address.limit = pool.connectionLimit
                metrics.upstreams[key] = address
            }
        }
        return metrics
    }
}
