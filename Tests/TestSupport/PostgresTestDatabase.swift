import Core
import Foundation
import Logging
import Postgres

/// A schema of one test's own on the test server, with the roles that a service has: `martlet_<schema>_owner`, `martlet_<schema>`
/// (which serves), `martlet_<schema>_system` and `martlet_<schema>_search`.
///
/// The server is named by `MARTLET_TEST_POSTGRES`, a libpq connection string of a superuser; `Tests/run` starts one.
public struct TestPostgres: Sendable {
    public let schema: String
    /// Connects as the role that owns the schema.
    public let owner: PostgresConfiguration
    /// Connects as the role that serves requests.
    public let runtime: PostgresConfiguration
    /// Connects as the role that works for no tenant.
    public let system: PostgresConfiguration

    /// Makes a schema for the length of the closure and drops it with its roles, also when the closure throws.
    public static func run<T>(_ body: (TestPostgres) async throws -> T) async throws -> T {
        let database = try await create()
        do {
            let value = try await body(database)
            try await database.drop()
            return value
        } catch {
            try? await database.drop()
            throw error
        }
    }

    /// The test server's superuser.
    ///
    /// - Throws: ``TestPostgresMissing`` when the environment names none.
    public static func superuser() throws -> PostgresConfiguration {
        guard let text = ProcessInfo.processInfo.environment["MARTLET_TEST_POSTGRES"] else { throw TestPostgresMissing() }
        return try PostgresConfiguration(connectionString: text)
    }

    /// Makes a schema that lasts until ``drop()``.
    public static func create() async throws -> TestPostgres {
        let superuser = try superuser()
        let schema = "t_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        var statements: [SQL] = [
            // Tests that begin at the same time would make the shared things twice.
            "select pg_advisory_xact_lock(7264)",
            "create schema if not exists extensions",
            "create extension if not exists btree_gin schema extensions",
            "create extension if not exists pg_trgm schema extensions",
            "grant usage on schema extensions to public",
        ]
        for suffix in ["_owner", "", "_system"] {
            statements.append("create role martlet_\(unescaped: schema + suffix) login nosuperuser nobypassrls noinherit password 'test'")
        }
        let name: SQL = "\(unescaped: schema)"
        statements += [
            "create role martlet_\(name)_search nologin", "grant martlet_\(name)_search to martlet_\(name)_owner",
            "create schema \(name) authorization martlet_\(name)_owner",
            "grant usage on schema \(name) to martlet_\(name), martlet_\(name)_system, martlet_\(name)_search",
        ]
        try await administrate(superuser, statements)
        func configuration(_ suffix: String) -> PostgresConfiguration {
            var configuration = superuser
            configuration.user = "martlet_\(schema)\(suffix)"
            configuration.password = "test"
            configuration.schema = schema
            configuration.applicationName = schema
            // Many tests run at once, and the server has a limit.
            configuration.fastConnections = 2
            configuration.bulkConnections = 2
            return configuration
        }
        return TestPostgres(
            schema: schema, owner: configuration("_owner"), runtime: configuration(""), system: configuration("_system"))
    }

    public func drop() async throws {
        let roles = ["_owner", "", "_system", "_search"].map { "martlet_\(schema)\($0)" }.joined(separator: ", ")
        try await Self.administrate(
            Self.superuser(),
            ["drop schema \(unescaped: schema) cascade", "drop owned by \(unescaped: roles)", "drop role \(unescaped: roles)"])
    }

    /// Runs statements as the owner, in one transaction.
    public func asOwner(_ statements: [SQL]) async throws {
        try await Self.administrate(owner, statements)
    }

    /// Runs a client for the length of the closure.
    public static func withClient<T>(
        _ configuration: PostgresConfiguration, logger: Logger = TestPostgres.logger, _ body: (PostgresClient) async throws -> T
    ) async throws -> T {
        let client = PostgresClient(configuration: configuration, logger: logger)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await client.run() }
            let value: T
            do {
                value = try await body(client)
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            try await group.waitForAll()
            return value
        }
    }

    /// Runs a client in the runtime role for the length of the closure.
    public func withClient<T>(_ body: (PostgresClient) async throws -> T) async throws -> T {
        try await Self.withClient(runtime, body)
    }

    /// Says nothing.
    public static var logger: Logger { Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }) }

    private static func administrate(_ configuration: PostgresConfiguration, _ statements: [SQL]) async throws {
        var configuration = configuration
        configuration.fastConnections = 1
        configuration.bulkConnections = 0
        configuration.statementTimeout = .seconds(30)
        configuration.lockTimeout = .seconds(30)
        try await withClient(configuration) { client in
            _ = try await client.batch(as: SystemContext(service: "test", timeout: .seconds(60)), statements)
        }
    }
}

/// The environment does not name a test server.
public struct TestPostgresMissing: Error, CustomStringConvertible {
    public var description: String { "MARTLET_TEST_POSTGRES is not set; Tests/run starts a server and sets it" }
}
