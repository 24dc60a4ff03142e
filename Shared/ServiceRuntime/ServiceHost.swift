import AsyncHTTPClient
import Core
import Foundation
import Hummingbird
import Logging
import NIOCore
import NIOPosix
import Operations
import Postgres
import Redis
import ServiceLifecycle
import UnixSignals

/// A service with everything it runs on, ready to be run: by ``ServiceMain`` as a process, by tests inside theirs.
public struct ServiceHost: Sendable {
    /// What of the service is run.
    public enum Mode: Sendable {
        /// The API, and the background work unless the settings leave it to others.
        case serve
        /// The background work alone, with health and metrics.
        case worker
    }

    public let configuration: RuntimeConfiguration
    public let parts: ServiceParts
    private let definition: ServiceDefinition
    private let mode: Mode
    private let dependencies: ServiceDependencies
    private let httpClient: HTTPClient
    private let contextKeys: ContextKeys
    private let logger: Logger

    /// Reads the settings and builds the service; nothing is connected yet.
    ///
    /// - Throws: ``SettingError`` for a missing or malformed setting, and what the service's own `build` throws.
    public init(_ definition: ServiceDefinition, settings: Settings, mode: Mode = .serve, logger: Logger) async throws {
        self.definition = definition
        self.mode = mode
        self.logger = logger
        configuration = try RuntimeConfiguration(service: definition.name, settings: settings)
        var redis = configuration.redis
        redis.logger = logger
        contextKeys = try configuration.contextKeys()
        httpClient = HTTPClient(eventLoopGroupProvider: .singleton, configuration: .init(timeout: .init(connect: .seconds(2))))
        dependencies = ServiceDependencies(
            settings: settings,
            postgres: PostgresClient(configuration: try configuration.postgres(as: .runtime), logger: logger),
            systemPostgres: PostgresClient(
                configuration: try configuration.postgres(as: .system, copies: definition.copies.count), logger: logger),
            redis: RedisClient(configuration: redis, eventLoop: MultiThreadedEventLoopGroup.singleton.next()),
            cursors: CursorSigner(keys: contextKeys),
            services: ServiceClient(urls: configuration.urls, keys: contextKeys, client: httpClient),
            logger: logger)
        do {
            parts = try await definition.build(dependencies)
        } catch {
            try? await httpClient.shutdown()
            throw error
        }
    }

    /// The migrations of a service: the foundation that all share, then its own.
    public static func migrations(of definition: ServiceDefinition) throws -> [MigrationSet] {
        // Foundation is always there: it is a resource of this module.
        let foundation = Bundle.module.resourceURL!.appendingPathComponent("Foundation")
        return [
            try MigrationSet.load("foundation", from: foundation.path),
            try MigrationSet.load(definition.name.rawValue, from: definition.migrations.path),
        ]
    }

    /// Does a periodic job now, whenever it is due.
    ///
    /// - Throws: ``Core/Problem`` `internal` with the reason when it fails, ``PostgresError``.
    public func runNow(_ kind: String) async throws {
        guard let job = jobs.first(where: { $0.kind == kind && $0.interval != nil }) else {
            throw Problem.internal("no periodic job \(kind)")
        }
        let single = runner(of: [job])
        try await single.runNow(job)
        if let reason = try await single.queue.failure(of: job) { throw Problem.internal("the job \(kind) failed: \(reason)") }
    }

    /// What every service does, and this one.
    private var jobs: [Job] { Retention.all + parts.jobs }

    private func runner(of jobs: [Job]) -> JobRunner {
        JobRunner(
            jobs: jobs, service: definition.name, postgres: dependencies.postgres, systemPostgres: dependencies.systemPostgres,
            metrics: JobMetrics(kinds: jobs.map(\.kind)), logger: logger, places: configuration.jobConcurrency)
    }

    /// Runs until the process is told to stop (or the task is cancelled), then drains.
    ///
    /// - Parameter listening: called when the API and the admin port are open, with their numbers; for `worker` the first is 0.
    /// - Throws: when a role or a table is unsafe (``Postgres/IsolationCheck``), a port is taken, or a part fails for good.
    public func run(
        signals: [UnixSignal] = [.sigterm, .sigint], listening: @escaping @Sendable (_ port: Int, _ adminPort: Int) -> Void = { _, _ in }
    ) async throws {
        let mode = mode
        let runsWorkers = mode == .worker || configuration.runsWorkers
        let readiness = Readiness()
        let routeMetrics = RouteMetrics(routes: parts.routes)
        let refusals = ContextRefusals()
        let relayMetrics = RelayMetrics()
        let runner = runner(of: jobs)
        let followers = definition.copies.map { (copy: $0, metrics: FollowerMetrics(of: $0.aggregate)) }
        let ports = ListeningPorts(expected: mode == .serve ? 2 : 1) { [logger] port, adminPort in
            // The API opens behind the gate, so an open port is a ready service.
            if mode == .serve { readiness.become(.ready, logger) }
            listening(port, adminPort)
        }

        var services: [any Service] = [
            HTTPClientCloser(client: httpClient), RedisService(client: dependencies.redis), dependencies.postgres,
            dependencies.systemPostgres,
        ]
        services.append(
            application(
                AdminResponder(
                    readiness: readiness, postgres: dependencies.postgres, systemPostgres: dependencies.systemPostgres,
                    routeMetrics: routeMetrics, refusals: refusals, relayMetrics: relayMetrics, followerMetrics: followers.map(\.metrics),
                    jobMetrics: runsWorkers ? runner.metrics : nil, redis: dependencies.redis),
                host: configuration.adminHost, port: configuration.adminPort, opened: { ports.opened(admin: $0) }))
        let gate = StartGate(
            definition: definition, postgres: dependencies.postgres, systemPostgres: dependencies.systemPostgres,
            migrations: try Self.migrations(of: definition), logger: logger)
        if runsWorkers {
            let relay = OutboxRelay(
                postgres: dependencies.systemPostgres, services: dependencies.services, service: definition.name, metrics: relayMetrics,
                logger: logger)
            services.append(AfterStart(gate: gate, service: relay))
            for (copy, metrics) in followers {
                let follower = LogFollower(
                    copy: copy, postgres: dependencies.systemPostgres, services: dependencies.services, service: definition.name,
                    metrics: metrics, logger: logger)
                services.append(AfterStart(gate: gate, service: follower))
            }
            services.append(AfterStart(gate: gate, service: runner))
        }
        if mode == .serve {
            let responder = ServiceResponder(
                parts: parts, verifier: contextKeys.verifier, metrics: routeMetrics, refusals: refusals, readiness: readiness,
                silenceLimit: configuration.uploadSilence, logger: logger)
            services.append(
                AfterStart(
                    gate: gate,
                    service: OnReactor(
                        executor: dependencies.postgres.executor,
                        service: application(
                            responder, host: configuration.host, port: configuration.port, opened: { ports.opened(api: $0) }))))
        }
        if mode == .worker { services.append(AfterStart(gate: gate, service: ReadyWhenOpen(readiness: readiness, logger: logger))) }
        services.append(Drain(readiness: readiness, runner: runner, delay: configuration.drain, logger: logger))
        var group = ServiceGroupConfiguration(services: services, gracefulShutdownSignals: signals, logger: logger)
        group.maximumGracefulShutdownDuration = configuration.drain + configuration.grace
        do {
            try await ServiceGroup(configuration: group).run()
        } catch {
            try? await httpClient.shutdown()
            throw error
        }
    }

    private func application<Responder: HTTPResponder>(
        _ responder: Responder, host: String, port: Int, opened: @escaping @Sendable (Int) -> Void
    ) -> Application<Responder> where Responder.Context == ServiceRequestContext {
        Application(
            responder: responder,
            server: .http1(configuration: .init(additionalChannelHandlers: [DepartureHandler()], idleTimeout: .seconds(90))),
            configuration: .init(address: .hostname(host, port: port), backlog: 1024),
            onServerRunning: { opened($0.localAddress?.port ?? port) }, logger: logger)
    }
}
