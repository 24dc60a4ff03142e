import Logging
import NIOCore
import NIOPosix
import Redis

/// The parts of a gateway, put together. What a request passes, top-down, is in `ClientConnection+Layers.swift`:
///
/// 1. `RequestHeadParser`: strict HTTP/1.1, limits of the head
/// 2. `TraceContext`: request id and trace
/// 3. `AccessLog`, `RequestMetrics`: by route
/// 4. limits of the body, load shedding
/// 5. `RouteTable`: which service, open or not
/// 6. `TokenVerifier`, `TokenCache`, `Directory`: who asks, and whether that still holds; the limit per address for all others
/// 7. `TenantResolution`: header, subdomain and token agree
/// 8. `RateLimiter`: the user's and the tenant's limit
/// 9. `UpstreamPool`: health, retries, deadlines; the signed context
struct GatewayParts: Sendable {
    let shared: SharedParts
    let caller: ServiceCaller
    let feed: StateFeed
    private(set) var redisClients: [RedisClient] = []
    private let configuration: GatewayConfiguration

    /// - Parameter eventLoop: Runs the gateway's own calls.
    init(configuration: GatewayConfiguration, eventLoop: any EventLoop, accessLog: AccessLogOutput?, logger: Logger) {
        var configuration = configuration
        configuration.redis.logger = logger
        self.configuration = configuration
        let directory = Directory()
        let keyRefresh = KeyRefresh()
        caller = ServiceCaller(configuration: configuration, eventLoop: eventLoop)
        shared = SharedParts(
            configuration: configuration, routes: RouteTable(), directory: directory,
            keyRefresh: keyRefresh, securityEvents: SecurityEvents(caller: caller, logger: logger),
            apiDocument: APIDocument(caller: caller), referencePage: ReferencePage(), accessLog: accessLog, logger: logger)
        feed = StateFeed(caller: caller, directory: directory, keyRefresh: keyRefresh, redis: configuration.redis, logger: logger)
    }

    /// A worker for each event loop, with a connection to Redis of its own.
    mutating func makeWorkers(on group: MultiThreadedEventLoopGroup) async throws -> Workers {
        var workers: [NIOLoopBound<Worker>] = []
        for loop in group.makeIterator() {
            let redis = RedisClient(configuration: configuration.redis, eventLoop: loop)
            redisClients.append(redis)
            let worker = try await loop.submit { [shared] in
                let worker = Worker(shared: shared, redis: redis)
                worker.start()
                return NIOLoopBound(worker, eventLoop: loop)
            }.get()
            workers.append(worker)
        }
        return Workers(workers)
    }
}

/// The workers of all event loops.
struct Workers: Sendable {
    private let all: [NIOLoopBound<Worker>]
    private let byLoop: [ObjectIdentifier: NIOLoopBound<Worker>]

    init(_ workers: [NIOLoopBound<Worker>]) {
        all = workers
        byLoop = Dictionary(uniqueKeysWithValues: workers.map { (ObjectIdentifier($0.eventLoop), $0) })
    }

    /// The worker of the event loop, on which this must be called.
    func worker(of loop: any EventLoop) -> Worker {
        guard let worker = byLoop[ObjectIdentifier(loop)] else { preconditionFailure("channels run on the group that has the workers") }
        return worker.value
    }

    func leave() async {
        for worker in all { try? await worker.eventLoop.submit { worker.value.leave() }.get() }
    }

    func drain() async {
        // All begin at once; then each is waited for.
        for future in all.map({ worker in worker.eventLoop.flatSubmit { worker.value.drain() } }) { try? await future.get() }
    }

    func stop() async {
        for worker in all { try? await worker.eventLoop.submit { worker.value.stop() }.get() }
    }

    func metrics(on loop: any EventLoop) -> EventLoopFuture<RequestMetrics> {
        EventLoopFuture.whenAllSucceed(all.map { worker in worker.eventLoop.submit { worker.value.metricsNow() } }, on: loop).map { parts in
            var sum = parts[0]
            for part in parts.dropFirst() { sum.add(part) }
            return sum
        }
    }
}
