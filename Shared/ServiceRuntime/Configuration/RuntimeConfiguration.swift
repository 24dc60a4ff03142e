import Core
import Logging
import Postgres
import Redis

/// The services, as they address each other.
public enum ServiceName: String, Sendable, CaseIterable {
    case identity, tenant, crm, activity, support

    /// The port of the API; metrics and health are 100 above.
    public var defaultPort: Int {
        switch self {
        case .identity: 8101
        case .tenant: 8102
        case .crm: 8103
        case .activity: 8104
        case .support: 8105
        }
    }
}

/// The settings that every service has. Environment names in capitals.
///
/// | name | default | meaning |
/// |---|---|---|
/// | MARTLET_HOST | 127.0.0.1 | address to listen on |
/// | MARTLET_PORT | by service, 8101…8105 | port of the API |
/// | MARTLET_ADMIN_PORT | port + 100 | port of /livez, /readyz, /metrics |
/// | MARTLET_POSTGRES_HOST | 127.0.0.1 | host name, address or socket directory |
/// | MARTLET_POSTGRES_PORT | 5432 | |
/// | MARTLET_POSTGRES_DATABASE | martlet | |
/// | MARTLET_POSTGRES_PASSWORD | required, secret | of the role martlet_<service> |
/// | MARTLET_POSTGRES_SYSTEM_PASSWORD | required, secret | of the role martlet_<service>_system |
/// | MARTLET_POSTGRES_OWNER_PASSWORD | required by `migrate`, secret | of the role martlet_<service>_owner |
/// | MARTLET_POSTGRES_CONNECTIONS | 8 | connections of the fast lane |
/// | MARTLET_POSTGRES_LOCK_MILLISECONDS | 200 | longest wait for a lock on a shared connection, 10…2000; the batch is then repeated by itself, with up to 2 s a lock |
/// | MARTLET_POSTGRES_TLS_MODE | prefer | libpq's sslmode: disable, allow, prefer, require, verify-ca, verify-full; with the first three a connection may go in the clear |
/// | MARTLET_POSTGRES_TLS_ROOT_CERTIFICATES | libpq's own | file of the certificates to trust, for verify-ca and verify-full |
/// | MARTLET_REDIS_URL | redis://127.0.0.1:6379 | |
/// | MARTLET_CONTEXT_KEYS | required, secret | `id:hex[,id:hex…]`; the first signs, all verify |
/// | MARTLET_<SERVICE>_URL | http://127.0.0.1:<port> | of each other service |
/// | MARTLET_LOG_LEVEL | info | trace, debug, info, notice, warning, error |
/// | MARTLET_GRACE_SECONDS | 20 | longest wait for running requests at a stop, 1…300 |
/// | MARTLET_DRAIN_SECONDS | 0 | time between not ready and the stop of accepting, 0…60 |
/// | MARTLET_WORKERS | true | whether `serve` runs the background work too |
public struct RuntimeConfiguration: Sendable {
    public var service: ServiceName
    public var host: String
    public var port: Int
    public var adminPort: Int
    public var postgresHost: String
    public var postgresPort: Int
    public var postgresDatabase: String
    public var postgresConnections: Int
    public var postgresFastLockTimeout: Duration
    public var postgresTLSMode: String
    public var postgresTLSRootCertificates: String?
    public var redis: RedisConfiguration
    public var signer: ContextSigner
    public var urls: [ServiceName: String]
    public var logLevel: Logger.Level
    public var grace: Duration
    public var drain: Duration
    public var runsWorkers: Bool
    private let settings: Settings

    public init(service: ServiceName, settings: Settings) throws {
        self.service = service
        self.settings = settings
        host = settings.string("host", default: "127.0.0.1")
        port = try settings.integer("port", default: service.defaultPort, in: 0...65535)
        adminPort = try settings.integer("admin.port", default: port == 0 ? 0 : port + 100, in: 0...65535)
        postgresHost = settings.string("postgres.host", default: "127.0.0.1")
        postgresPort = try settings.integer("postgres.port", default: 5432, in: 1...65535)
        postgresDatabase = settings.string("postgres.database", default: "martlet")
        postgresConnections = try settings.integer("postgres.connections", default: 8, in: 1...64)
        postgresFastLockTimeout = .milliseconds(try settings.integer("postgres.lock.milliseconds", default: 200, in: 10...2000))
        postgresTLSMode = try settings.parsed("postgres.tls.mode", default: "prefer", Self.tlsModes.joined(separator: ", ")) {
            Self.tlsModes.contains($0) ? $0 : nil
        }
        postgresTLSRootCertificates = settings.optional("postgres.tls.root.certificates")
        redis = try settings.parsed(
            "redis.url", default: RedisConfiguration(), "redis://[:password@]host[:port][/database]", isSecret: true
        ) {
            RedisConfiguration(url: $0)
        }
        signer = try settings.parsed(
            "context.keys", default: nil, "id:hex[,id:hex…] with at least 64 hexadecimal digits a key", isSecret: true
        ) { try ContextSigner(keys: $0) }
        urls = try Dictionary(
            uniqueKeysWithValues: ServiceName.allCases.map { name in
                (
                    name,
                    try settings.parsed(
                        "\(name.rawValue).url", default: "http://127.0.0.1:\(name.defaultPort)", "a URL such as http://host:8101"
                    ) { $0.hasPrefix("http://") || $0.hasPrefix("https://") ? $0 : nil }
                )
            })
        logLevel = try settings.parsed("log.level", default: .info, "trace, debug, info, notice, warning or error") {
            Logger.Level(rawValue: $0)
        }
        grace = .seconds(try settings.integer("grace.seconds", default: 20, in: 1...300))
        drain = .seconds(try settings.integer("drain.seconds", default: 0, in: 0...60))
        runsWorkers = try settings.flag("workers", default: true)
    }

    private static let tlsModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

    /// Which of a service's roles a connection is for.
    public enum Role: String, Sendable {
        /// Serves requests, bound to one tenant a transaction.
        case runtime = "password"
        /// Works for no tenant.
        case system = "system.password"
        /// Owns the schema; only `migrate` uses it.
        case owner = "owner.password"

        var suffix: String {
            switch self {
            case .runtime: ""
            case .system: "_system"
            case .owner: "_owner"
            }
        }
    }

    /// How to connect as one of the service's roles.
    public func postgres(as role: Role) throws -> PostgresConfiguration {
        var configuration = PostgresConfiguration(
            host: postgresHost, port: postgresPort, database: postgresDatabase, user: "martlet_\(service.rawValue)\(role.suffix)",
            password: try settings.required(
                "postgres.\(role.rawValue)", "the password of martlet_\(service.rawValue)\(role.suffix)", isSecret: true),
            schema: service.rawValue)
        configuration.applicationName = "martlet-\(service.rawValue)"
        configuration.fastLockTimeout = postgresFastLockTimeout
        configuration.tlsMode = postgresTLSMode
        configuration.tlsRootCertificates = postgresTLSRootCertificates
        if role == .runtime {
            configuration.fastConnections = postgresConnections
        } else {
            // The relay keeps one of the bulk connections for itself.
            configuration.fastConnections = 1
        }
        return configuration
    }
}
