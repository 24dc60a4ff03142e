import AsyncHTTPClient
import Core
import Logging
import Operations
import Postgres
import Redis
import ServiceLifecycle
import Synchronization

/// Lets nothing begin before the database is there, is safe, and has its migrations.
struct StartGate: Sendable {
    let definition: ServiceDefinition
    let postgres: PostgresClient
    let systemPostgres: PostgresClient
    let migrations: [MigrationSet]
    let logger: Logger
    private let once = OnceLog()

    init(
        definition: ServiceDefinition, postgres: PostgresClient, systemPostgres: PostgresClient, migrations: [MigrationSet], logger: Logger
    ) {
        self.definition = definition
        self.postgres = postgres
        self.systemPostgres = systemPostgres
        self.migrations = migrations
        self.logger = logger
    }

    /// Waits for as long as it takes: start order does not matter, and a process that ended would only be started again.
    ///
    /// - Throws: ``Postgres/IsolationFault`` when a role or a table is unsafe.
    func pass() async throws {
        while true {
            do {
                try await postgres.ready()
                try await systemPostgres.ready()
                let pending = try await pendingMigrations()
                if pending.isEmpty {
                    return try await IsolationCheck(postgres, schema: definition.name.rawValue)
                        .run(as: SystemContext(service: definition.name.rawValue))
                }
                if once.isFirst("migrations") {
                    logger.notice(
                        "waiting for migrations; run the subcommand migrate",
                        metadata: [LogKey.migration: .string(pending.map(\.description).joined(separator: ", "))])
                }
            } catch let error as PostgresError where error.isOutage && !Task.isCancelled {
                if once.isFirst("database") { logger.notice("waiting for the database") }
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// What has been said already: several parts of a process wait at one gate, and one line is enough.
    private final class OnceLog: Sendable {
        private let what = Mutex<Set<String>>([])

        func isFirst(_ text: String) -> Bool { what.withLock { $0.insert(text).inserted } }
    }
}

extension StartGate {
    private func pendingMigrations() async throws -> [Migration] {
        do {
            return try await postgres.pending(
                migrations, schema: definition.name.rawValue, as: SystemContext(service: definition.name.rawValue))
        } catch let error as PostgresError where ["42P01", "3F000", "42501"].contains(error.sqlState) {
            // The schema was never migrated, or its roles are being made at this moment.
            return migrations.flatMap(\.migrations)
        }
    }
}

/// A service that begins once the gate is open.
struct AfterStart<Inner: Service>: Service {
    let gate: StartGate
    let service: Inner

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await gate.pass() }
        } catch  where Task.isShuttingDownGracefully || Task.isCancelled {
            // Whatever the wait ended with, it ended because the process stops.
            return
        }
        try await service.run()
    }
}

/// A service whose tasks run where the database's connections are: a request is read, sent to Postgres and answered without another
/// thread to wake up on the way (Shared/Decisions/0006).
struct OnReactor<Inner: Service>: Service {
    let executor: any TaskExecutor
    let service: Inner

    func run() async throws {
        try await withTaskExecutorPreference(executor) { try await service.run() }
    }
}

/// Says ready behind the gate, for a process without an API.
struct ReadyWhenOpen: Service {
    let readiness: Readiness
    let logger: Logger

    func run() async throws {
        readiness.become(.ready, logger)
        try await gracefulShutdown()
    }
}

/// Says not ready, and lets go of jobs, as the first thing of a stop: it is the last service of the group, and those are stopped in reverse
/// order.
struct Drain: Service {
    let readiness: Readiness
    let runner: JobRunner
    let delay: Duration
    let logger: Logger

    func run() async throws {
        try await gracefulShutdown()
        readiness.become(.draining, logger)
        // Requests may take all the time that is left; jobs need some of it to be handed back.
        runner.leave()
        // Time for a load balancer to see it before the port closes.
        if delay > .zero { try? await Task.sleep(for: delay) }
    }
}

/// Keeps the connection to Redis until all that may use it has ended.
struct RedisService: Service {
    let client: RedisClient

    func run() async throws {
        await cancelWhenGracefulShutdown { await client.run() }
    }
}

/// Closes the HTTP client when all that may use it has ended.
struct HTTPClientCloser: Service {
    let client: HTTPClient

    func run() async throws {
        try? await gracefulShutdown()
        try? await client.shutdown()
    }
}

/// Waits until every port is open, then tells.
final class ListeningPorts: Sendable {
    private let ports = Mutex((api: 0, admin: 0, open: 0))
    private let expected: Int
    private let listening: @Sendable (Int, Int) -> Void

    init(expected: Int, _ listening: @escaping @Sendable (Int, Int) -> Void) {
        self.expected = expected
        self.listening = listening
    }

    func opened(api port: Int) { opened { $0.api = port } }
    func opened(admin port: Int) { opened { $0.admin = port } }

    private func opened(_ set: (inout (api: Int, admin: Int, open: Int)) -> Void) {
        let now = ports.withLock { ports in
            set(&ports)
            ports.open += 1
            return ports
        }
        if now.open == expected { listening(now.api, now.admin) }
    }
}
