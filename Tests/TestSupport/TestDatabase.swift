import Core
import Foundation
import Logging
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
        let database = try await create(definitions)
        do {
            let value = try await body(database)
            try await database.drop()
            return value
        } catch {
            try? await database.drop()
            throw error
        }
    }

    private static func create(_ definitions: [ServiceDefinition]) async throws -> TestDatabase {
        let server = try TestPostgres.superuser()
        let name = "t_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        _ = try await TestPostgres.withClient(server) { client in
            try await client.session(as: context) { try await $0.query("create database \(unescaped: name)") }
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

    private func layOut(_ service: ServiceName) async throws {
        let owner = "martlet_\(service.rawValue)_owner"
        let roles = ["_owner", "", "_system", "_search"].map { "martlet_\(service.rawValue)\($0)" }
        // Tests that begin at the same time would make the roles twice.
        var statements: [SQL] = ["select pg_advisory_xact_lock(7264)"]
        for role in roles {
            statements.append(
                """
                do $$ begin
                    if not exists (select from pg_roles where rolname = '\(unescaped: role)') then
                        create role \(unescaped: role) login nosuperuser nobypassrls noinherit password '\(unescaped: Self.password)';
                    end if;
                end $$
                """)
        }
        statements += [
            "grant martlet_\(unescaped: service.rawValue)_search to \(unescaped: owner)",
            "create schema \(unescaped: service.rawValue) authorization \(unescaped: owner)",
            "grant usage on schema \(unescaped: service.rawValue) to \(unescaped: roles.joined(separator: ", "))",
            "create schema if not exists extensions", "create extension if not exists btree_gin schema extensions",
            "grant usage on schema extensions to public",
        ]
        _ = try await query(statements)
    }

    private func migrate(_ definition: ServiceDefinition) async throws {
        var owner = superuser
        owner.user = "martlet_\(definition.name.rawValue)_owner"
        owner.password = Self.password
        let migrator = Migrator(configuration: owner, schema: definition.name.rawValue)
        try await migrator.apply(try ServiceHost.migrations(of: definition), logger: TestPostgres.logger)
    }

    /// Runs statements as the superuser, in one transaction: to look at what no role of a service can see, or to age a row.
    @discardableResult
    public func query(_ statements: [SQL]) async throws -> [PostgresResult] {
        try await TestPostgres.withClient(superuser) { try await $0.batch(as: Self.context, statements) }
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
