import Core
import Foundation
import Logging
import Operations
import Postgres
import ServiceRuntime

/// A database of one test's own on the test server, laid out as the platform's: a schema and four roles for each service.
///
/// The server is named by `MARTLET_TEST_POSTGRES`. Roles belong to the whole server, so all tests share them.
public struct TestDatabase: Sendable {
    public let name: String
    /// Connects to the database as the server's superuser.
    public let superuser: PostgresConfiguration

    static let password = "test"

    /// Makes a database with the schemas of the services, migrated, for the length of the closure.
    public static func run<T>(_ definitions: [ServiceDefinition], _ body: (TestDatabase) async throws -> T) async throws -> T {
        await places.take()
        let outcome: Result<T, any Error>
        do {
            let database = try await create(definitions)
            let result: Result<T, any Error>
            do { result = .success(try await body(database)) } catch { result = .failure(error) }
            try await database.drop()
            outcome = result
        } catch {
            outcome = .failure(error)
        }
        await places.giveBack()
        return try outcome.get()
    }

    /// The test runner starts all tests at once; so many databases, each with services on it, are used at the same time.
    private static let places = Places(4)

    private static func create(_ definitions: [ServiceDefinition]) async throws -> TestDatabase {
        var server = try TestPostgres.superuser()
        // Suites that begin at the same moment wait for each other's roles.
        server.fastLockTimeout = .seconds(60)
        server.lockTimeout = .seconds(60)
        server.fastStatementTimeout = .seconds(60)
        let name = "t_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        _ = try await TestPostgres.withClient(server) { client in
            _ = try await client.batch(as: context, roles(of: definitions.map(\.name)))
            return try await client.session(as: context) { try await $0.query("create database \(unescaped: name)") }
        }
        var superuser = server
        superuser.database = name
        superuser.fastConnections = 1
        superuser.bulkConnections = 0
        let database = TestDatabase(name: name, superuser: superuser)
        for definition in definitions {
            try await database.layOut(definition.name)
            try await database.migrate(definition)
        }
        return database
    }

    private static var context: SystemContext { SystemContext(service: "test", timeout: .seconds(60)) }

    private static let roleSuffixes = ["_owner", "", "_system", "_search"]

    /// Makes the roles that are missing, in the server's own database: there one lock serves all tests, which all need the same.
    private static func roles(of services: [ServiceName]) -> [SQL] {
        var statements: [SQL] = ["select pg_advisory_xact_lock(7264)"]
        for service in services {
            for role in roleSuffixes.map({ "martlet_\(service.rawValue)\($0)" }) {
                statements.append(
                    """
                    do $$ begin
                        if not exists (select from pg_roles where rolname = '\(unescaped: role)') then
                            create role \(unescaped: role) login nosuperuser nobypassrls noinherit password '\(unescaped: password)';
                        end if;
                    end $$
                    """)
            }
            let name: SQL = "\(unescaped: service.rawValue)"
            statements.append("grant martlet_\(name)_search to martlet_\(name)_owner")
        }
        return statements
    }

    private func layOut(_ service: ServiceName) async throws {
        let roles = Self.roleSuffixes.map { "martlet_\(service.rawValue)\($0)" }
        _ = try await query([
            "create schema \(unescaped: service.rawValue) authorization \(unescaped: roles[0])",
            "grant usage on schema \(unescaped: service.rawValue) to \(unescaped: roles.joined(separator: ", "))",
            "create schema if not exists extensions", "create extension if not exists btree_gin schema extensions",
            "create extension if not exists pg_trgm schema extensions",
            "grant usage on schema extensions to public",
        ])
    }

    private func migrate(_ definition: ServiceDefinition) async throws {
        let migrator = Migrator(configuration: owner(of: definition.name), schema: definition.name.rawValue)
        try await migrator.apply(try ServiceHost.migrations(of: definition), logger: TestPostgres.logger)
    }

    /// Connects as the role that owns the service's schema.
    public func owner(of service: ServiceName) -> PostgresConfiguration {
        var owner = superuser
        owner.user = "martlet_\(service.rawValue)_owner"
        owner.password = Self.password
        return owner
    }

    /// Runs statements as the superuser, in one transaction: to look at what no role of a service can see, or to age a row.
    ///
    /// - Parameter service: whose schema is searched, so that triggers find what they need.
    @discardableResult
    public func query(in service: ServiceName? = nil, _ statements: [SQL]) async throws -> [PostgresResult] {
        let path = service?.rawValue ?? "public"
        let results = try await TestPostgres.withClient(superuser) { client in
            try await client.batch(as: Self.context, ["select set_config('search_path', \(path), true)"] + statements)
        }
        return Array(results.dropFirst())
    }

    private func drop() async throws {
        var server = superuser
        server.database = try TestPostgres.superuser().database
        server.bulkConnections = 1
        _ = try await TestPostgres.withClient(server) { client in
            try await client.session(as: Self.context) { try await $0.query("drop database \(unescaped: name) with (force)") }
        }
    }
}

/// Lets in so many at a time; the others wait in the order they came.
private actor Places {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { free = count }

    func take() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    func giveBack() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}
