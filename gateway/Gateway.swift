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
        var made = GatewayParts(configuration: configuration, eventLoop: group.next(), accessLog: accessLog, logger: logger)
        let workers = try await made.makeWorkers(on: group)
        let parts = made
        let admin = try await adminServer(parts: parts, workers: workers)
            .bind(host: configuration.adminHost, port: configuration.adminPort, group: group)
        let server = try await bind(workers: workers, group: group)
        let addresses = Addresses(port: server.localAddress?.port ?? 0, adminPort: admin.localAddress?.port ?? 0)
        logger.info("The gateway listens", metadata: ["port": "\(addresses.port)", "admin.port": "\(addresses.adminPort)"])
        onStart(addresses)

        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await parts.feed.run() }
            for redis in parts.redisClients { tasks.addTask { await redis.run() } }
            await withTaskGroup(of: Void.self) { events in
                events.addTask { await parts.shared.securityEvents.run() }
                try? await gracefulShutdown()
                await stop(server: server, workers: workers)
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

    private func bind(workers: Workers, group: MultiThreadedEventLoopGroup) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 32 * 1024, high: 128 * 1024))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = HTTP1Connection(worker: workers.worker(of: channel.eventLoop))
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .bind(host: configuration.host, port: configuration.port).get()
    }

    /// Not ready first, so that a balancer sends no more, and answers end their connections; then no new connections; then requests
    /// under way end.
    private func stop(server: any Channel, workers: Workers) async {
        logger.info("The gateway stops")
        isStopping.store(true, ordering: .releasing)
        await workers.leave()
        try? await Task.sleep(for: .nanoseconds(configuration.drain.nanoseconds))
        try? await server.close().get()
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
                    let text = metrics.rendered(
                        routes: parts.shared.routes.routes, droppedLogLines: parts.shared.accessLog?.droppedLines ?? 0, isReady: isReady)
                    return .init(status: 200, body: text)
                }
            default: return loop.makeSucceededFuture(nil)
            }
        }
    }
}
