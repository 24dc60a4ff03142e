import Core
import Foundation
import Logging
import Operations
import Postgres
import Redis

/// A service, described once: ``ServiceMain`` runs it, tests build it.
public struct ServiceDefinition: Sendable {
    public var name: ServiceName
    /// The folder of the service's own migrations.
    public var migrations: URL
    /// The service's own settings, beside ``RuntimeConfiguration/settings``.
    public var settings: [Setting]
    /// What the service follows the log of events for, each of another kind of records; empty when it needs nothing of others. One whose resources refer
    /// to members needs ``LogCopy/members``.
    public var copies: [LogCopy]
    /// Makes the routes and jobs. Called once, before the first connection is made.
    public var build: @Sendable (ServiceDependencies) async throws -> ServiceParts

    public init(
        name: ServiceName, migrations: URL, settings: [Setting] = [], copies: [LogCopy] = [],
        build: @escaping @Sendable (ServiceDependencies) async throws -> ServiceParts
    ) {
        self.name = name
        self.migrations = migrations
        self.settings = settings
        self.copies = copies
        self.build = build
    }
}

/// What a service is built from.
public struct ServiceDependencies: Sendable {
    /// For the service's own settings.
    public var settings: Settings
    /// As the role that serves requests.
    public var postgres: PostgresClient
    /// As the role that works for no tenant.
    public var systemPostgres: PostgresClient
    public var redis: RedisClient
    public var cursors: CursorSigner
    public var services: ServiceClient
    public var logger: Logger
}

/// What a service consists of.
public struct ServiceParts: Sendable {
    public var routes: [Route]
    /// Schemas that the operations refer to, for OpenAPI.
    public var schemas: [(name: String, schema: JSON)]
    /// The work in the background, beside what every service has.
    public var jobs: [Job]

    public init(routes: [Route], schemas: [(name: String, schema: JSON)] = [], jobs: [Job] = []) {
        self.routes = routes
        self.schemas = schemas
        self.jobs = jobs
    }
}
