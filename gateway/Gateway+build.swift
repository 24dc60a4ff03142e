import Logging
import NIOCore
import NIOPosix
import Operations
import Redis

/// The parts of a gateway, put together. What a request passes, from bytes to its service:
///
/// 1. `HTTP1Connection`: strict HTTP/1.1, limits of the head, one exchange after another; or `HTTP2Connection`: many side by side
/// 2. `Exchange`: a request from its head to the last byte of its answer
/// 3. `LayerStack`: id and trace, shedding, who asks, which tenant, limits, body; in the order written there
/// 4. `UpstreamPool`: health, retries, deadlines; the signed context
/// 5. `AccessLog`, `RequestMetrics`: by route, at the exchange's end
struct GatewayParts: Sendable {
    let shared: SharedParts
    let caller: ServiceCaller
    let feed: RevocationFeed
    /// `nil` when no TLS is served.
    let certificates: CertificateStore?
    private(set) var redisClients: [RedisClient] = []
    private let configuration: GatewayConfiguration

    /// - Parameter eventLoop: Runs the gateway's own calls.
    /// - Throws: ``CertificateFault``.
    init(configuration: GatewayConfiguration, policy: GatewayPolicy, eventLoop: any EventLoop, logger: Logger) throws {
        var configuration = configuration
        configuration.redis.logger = logger
        self.configuration = configuration
        certificates = try configuration.certificateFiles.map {
            try CertificateStore(files: $0, protocols: [.http2, .http11], logger: logger)
        }
        let revocations = RevocationState(maximumAge: configuration.revocationAge)
        let keyRefresh = KeyRefresh()
        caller = ServiceCaller(configuration: configuration, eventLoop: eventLoop)
        shared = SharedParts(
            configuration: configuration, policy: policy, routes: configuration.routes, revocations: revocations,
            keyRefresh: keyRefresh, securityEvents: SecurityEvents(caller: caller, logger: logger),
            apiDocument: APIDocument(caller: caller), referencePage: ReferencePage(),
            logOutput: .standard, localShares: LocalShares(share: policy.settings.localShare), census: ConnectionCensus(),
            logger: logger)
        feed = RevocationFeed(caller: caller, revocations: revocations, keyRefresh: keyRefresh, redis: configuration.redis, logger: logger)
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

    /// Puts other settings in force on all loops; they hold for requests that begin after this has returned.
    func apply(_ policy: GatewayPolicy) async {
        for worker in all { try? await worker.eventLoop.submit { worker.value.apply(policy) }.get() }
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
