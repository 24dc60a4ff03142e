import Logging
import NIOCore
import NIOPosix
import Redis
import ServiceLifecycle
import Synchronization

/// The gateway: one process that stands between clients and services.
///
/// ``run()`` serves until the task is cancelled or a graceful shutdown is asked for; then it stops accepting, lets requests under way
/// end within ``GatewayConfiguration/grace``, and returns.
public final class Gateway: Service {
    /// Where the gateway listens.
    public struct Addresses: Sendable {
        public var port: Int
        /// Where clear text is spoken beside TLS.
        public var clearTextPort: Int?
        public var adminPort: Int
    }

    private let configuration: GatewayConfiguration
    private let logger: Logger
    private let onStart: @Sendable (Addresses) -> Void
    private let isStopping = Atomic<Bool>(false)

    /// - Parameter onStart: Called once both ports are bound.
    public init(configuration: GatewayConfiguration, logger: Logger, onStart: @escaping @Sendable (Addresses) -> Void = { _ in }) {
        self.configuration = configuration
        self.logger = logger
        self.onStart = onStart
    }

    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
        let accessLog = configuration.writesAccessLog ? AccessLogOutput() : nil
        do {
            try await serve(on: group, accessLog: accessLog)
        } catch {
            await accessLog?.close()
            try? await group.shutdownGracefully()
            throw error
        }
        await accessLog?.close()
        try await group.shutdownGracefully()
    }

    private func serve(on group: MultiThreadedEventLoopGroup, accessLog: AccessLogOutput?) async throws {
        var made = try GatewayParts(configuration: configuration, eventLoop: group.next(), accessLog: accessLog, logger: logger)
        let workers = try await made.makeWorkers(on: group)
        let parts = made
        let admin = try await adminServer(parts: parts, workers: workers)
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
        try? await Task.sleep(for: .nanoseconds(configuration.drain.nanoseconds))
        for server in servers { try? await server.close().get() }
        let grace = configuration.grace
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await workers.drain() }
            tasks.addTask { try? await Task.sleep(for: .nanoseconds(grace.nanoseconds)) }
            await tasks.next()
            await workers.stop()
            tasks.cancelAll()
        }
    }

    private func adminServer(parts: GatewayParts, workers: Workers) -> AdminServer {
        AdminServer { [self] path, loop in
            let isReady = parts.shared.directory.isReady && !isStopping.load(ordering: .acquiring)
            switch path {
            case "/livez": return loop.makeSucceededFuture(.init(status: 200, body: "alive\n"))
            case "/readyz":
                return loop.makeSucceededFuture(
                    isReady ? .init(status: 200, body: "ready\n") : .init(status: 503, body: "not ready\n"))
            case "/metrics":
                return workers.metrics(on: loop).map { metrics in
                    var text = metrics.rendered(
                        routes: parts.shared.routes.routes, droppedLogLines: parts.shared.accessLog?.droppedLines ?? 0, isReady: isReady)
                    if let certificates = parts.certificates {
                        text += TLSMetrics.rendered(handshakes: metrics.handshakes, certificate: certificates.figures)
                    }
                    return .init(status: 200, body: text)
                }
            default: return loop.makeSucceededFuture(nil)
            }
        }
    }
}
