import Logging
import NIOCore
import NIOPosix
import Operations
import Redis
import ServiceLifecycle
import Synchronization

/// The gateway: one process that stands between clients and services.
///
/// ``run()`` serves until the task is cancelled or a graceful shutdown is asked for; then it stops accepting, lets requests under way
/// end within ``PolicySettings/grace``, and returns. ``apply(_:)`` puts other settings in force meanwhile.
public final class Gateway: Service {
    /// Where the gateway listens.
    public struct Addresses: Sendable {
        public var port: Int
        /// Where clear text is spoken beside TLS.
        public var clearTextPort: Int?
        public var adminPort: Int
    }

    /// With what it was started.
    let configuration: GatewayConfiguration
    let logger: Logger
    private let onStart: @Sendable (Addresses) -> Void
    private let isStopping = Atomic<Bool>(false)
    private let fileLimit: Int
    private let settings: Mutex<PolicySettings>
    /// An element for each time that ``settings`` have changed.
    private let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation

    /// - Parameter onStart: Called once both ports are bound.
    public init(configuration: GatewayConfiguration, logger: Logger, onStart: @escaping @Sendable (Addresses) -> Void = { _ in }) {
        self.configuration = configuration
        self.logger = logger
        self.onStart = onStart
        fileLimit = FileLimit.raise()
        settings = Mutex(configuration.policy)
        (changes, change) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        ProcessFigures.noteStart()
    }

    /// Puts other settings in force, for requests that begin from now on; takes milliseconds.
    func apply(_ policy: PolicySettings) {
        settings.withLock { $0 = policy }
        change.yield()
    }

    private var currentSettings: PolicySettings { settings.withLock { $0 } }

    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
        do {
            try await serve(on: group)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    /// The policy of the settings, with as many connections as files allow.
    private func makePolicy() -> GatewayPolicy {
        var configuration = configuration
        configuration.policy = currentSettings
        let limit = FileLimit(files: fileLimit, configuration: configuration)
        if let shortfall = limit.shortfall { logger.warning("Fewer clients than set are let in", metadata: ["reason": "\(shortfall)"]) }
        return GatewayPolicy(configuration.policy, eventLoops: configuration.eventLoops, connectionLimit: limit.connections)
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        var made = try GatewayParts(configuration: configuration, policy: makePolicy(), eventLoop: group.next(), logger: logger)
        let workers = try await made.makeWorkers(on: group)
        let parts = made
        let pages = AdminPages(workers: workers, shared: parts.shared, certificates: parts.certificates, fileLimit: fileLimit) { [self] in
            parts.shared.revocations.isReady && !isStopping.load(ordering: .acquiring)
        }
        let admin = try await AdminServer { pages.page($0, on: $1) }
            .bind(host: configuration.adminHost, port: configuration.adminPort, group: group)
        var servers = [try await bind(port: configuration.port, workers: workers, certificates: parts.certificates, group: group)]
        if let port = configuration.clearTextPort {
            servers.append(try await bind(port: port, workers: workers, certificates: nil, group: group))
        }
        let listening = servers
        let addresses = Addresses(
            port: servers[0].localAddress?.port ?? 0, clearTextPort: servers.dropFirst().first?.localAddress?.port,
            adminPort: admin.localAddress?.port ?? 0)
        logger.info("The gateway listens", metadata: ["port": "\(addresses.port)", "admin.port": "\(addresses.adminPort)"])
        onStart(addresses)

        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await parts.feed.run() }
            tasks.addTask { [self] in
                for await _ in changes {
                    let policy = makePolicy()
                    await workers.apply(policy)
                    parts.caller.apply(policy)
                    await parts.certificates?.reload()
                }
            }
            if let certificates = parts.certificates { tasks.addTask { await certificates.run() } }
            for redis in parts.redisClients { tasks.addTask { await redis.run() } }
            await withTaskGroup(of: Void.self) { events in
                events.addTask { await parts.shared.securityEvents.run() }
                try? await gracefulShutdown()
                await stop(servers: listening, workers: workers)
                parts.shared.securityEvents.finish()
                // What activity takes at once is not lost with the process.
                events.addTask { try? await Task.sleep(for: .seconds(2)) }
                await events.next()
                events.cancelAll()
            }
            tasks.cancelAll()
        }
        parts.caller.close()
        try? await admin.close().get()
    }

    /// - Parameter certificates: `nil` for clear text.
    private func bind(
        port: Int, workers: Workers, certificates: CertificateStore?, group: MultiThreadedEventLoopGroup
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 32 * 1024, high: 128 * 1024))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let worker = workers.worker(of: channel.eventLoop)
                    guard let certificates else {
                        return try channel.pipeline.syncOperations.addHandler(HTTP1Connection(worker: worker))
                    }
                    try TLSAcceptor.configure(
                        channel, certificates: certificates, gate: worker.handshakes, address: worker.handshakeAddress
                    ) { channel, _ in
                        try channel.pipeline.syncOperations.addHandler(HTTP1Connection(worker: worker, isEncrypted: true))
                    }
                }
            }
            .bind(host: configuration.host, port: port).get()
    }

    /// Not ready first, so that a balancer sends no more, and answers end their connections; then no new connections; then requests
    /// under way end.
    private func stop(servers: [any Channel], workers: Workers) async {
        logger.info("The gateway stops")
        isStopping.store(true, ordering: .releasing)
        await workers.leave()
        let settings = currentSettings
        try? await Task.sleep(for: .nanoseconds(settings.drain.nanoseconds))
        for server in servers { try? await server.close().get() }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await workers.drain() }
            tasks.addTask { try? await Task.sleep(for: .nanoseconds(settings.grace.nanoseconds)) }
            await tasks.next()
            await workers.stop()
            tasks.cancelAll()
        }
    }
}
