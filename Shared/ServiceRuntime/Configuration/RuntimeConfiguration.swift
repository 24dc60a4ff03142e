import Core
import Foundation
import Logging
import NIOCore
import Operations
import Postgres
import Redis

/// The settings that every service has; ``settings`` lists them.
public struct RuntimeConfiguration: Sendable {
    public var service: ServiceName
    public var host: String
    public var port: Int
    public var adminHost: String
    public var adminPort: Int
    public var postgresHost: String
    public var postgresPort: Int
    public var postgresDatabase: String
    public var postgresConnections: Int
    public var postgresThreads: Int
    public var postgresFastLockTimeout: Duration
    public var postgresTLSMode: String
    public var postgresTLSRootCertificates: String?
    public var redis: RedisConfiguration
    public var urls: [ServiceName: String]
    public var logLevel: Logger.Level
    public var grace: Duration
    public var drain: Duration
    public var runsWorkers: Bool
    public var jobConcurrency: Int
    public var uploadSilence: Duration
    private let settings: Settings

    /// In the order in which an operator reads them.
    public static let settings: [Setting] =
        [
            Setting("host", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container."),
            Setting("port", "8101 identity, 8102 tenant, 8103 crm, 8104 activity, 8105 support", "Port of the API; 0 takes a free one."),
            Setting("admin.host", "127.0.0.1", "Address of /livez, /readyz and /metrics."),
            Setting("admin.port", "MARTLET_PORT + 100", "Port of /livez, /readyz and /metrics."),
            Setting(
                "postgres.host", "127.0.0.1",
                "Host name, address or socket directory; several with commas, of which the one that takes writes is used."),
            Setting("postgres.port", "5432", "Port of Postgres."),
            Setting("postgres.database", "martlet", "Name of the database."),
            Setting("postgres.password", isSecret: true, isRequired: true, "Password of the role martlet_<service>."),
            Setting("postgres.system.password", isSecret: true, isRequired: true, "Password of the role martlet_<service>_system."),
            Setting(
                "postgres.owner.password", isSecret: true,
                "Password of the role martlet_<service>_owner; required by migrate, and used by nothing else."),
            Setting(
                "postgres.connections", "8",
                "Connections shared by all requests, 1 to 64; each process has 9 more for transactions and its own work, crm 10."),
            Setting(
                "postgres.threads", "half of the cores, 1 to 4",
                "Threads that hold the connections and answer requests, 1 to 16; each has its share of the connections."),
            Setting(
                "postgres.lock.milliseconds", "50",
                "Longest wait for a lock on a shared connection, 10 to 2000; the batch is then repeated by itself, with up to 2 s a lock."),
            Setting(
                "postgres.tls.mode", "prefer",
                "libpq's sslmode: disable, allow, prefer, require, verify-ca or verify-full; with the first three a connection may go in the clear."
            ),
            Setting("postgres.tls.root.certificates", "libpq's own", "File of the certificates to trust, for verify-ca and verify-full."),
        ] + RedisConfiguration.settings + [
            ContextKeys.setting
        ]
        + ServiceName.allCases.map {
            Setting("\($0.rawValue).url", "http://127.0.0.1:\($0.defaultPort)", "URL of the \($0.rawValue) service.")
        } + [
            Setting("log.level", "info", "trace, debug, info, notice, warning or error."),
            Setting(
                "drain.seconds", "0",
                "Between saying not ready and accepting no more at a stop, 0 to 60; as long as a balancer takes to notice."),
            Setting("grace.seconds", "20", "Longest wait for running requests at a stop, after the drain, 1 to 300."),
            Setting(
                "upload.silence.seconds", "60",
                "Longest wait for more of a body that is taken as it comes, 1 to 600; the gateway is sooner."),
            Setting("workers", "true", "Whether serve does the background work too; false where workers run apart."),
            Setting("jobs.concurrency", "8", "Jobs at the same time in a process, 1 to 64; one tenant has half at most, and at least one."),
        ]

    public init(service: ServiceName, settings: Settings) throws {
        self.service = service
        self.settings = settings
        host = try settings.string("host", default: "127.0.0.1")
        port = try settings.integer("port", default: service.defaultPort, in: 0...65535)
        adminHost = try settings.string("admin.host", default: "127.0.0.1")
        adminPort = try settings.integer("admin.port", default: port == 0 ? 0 : port + 100, in: 0...65535)
        postgresHost = try settings.string("postgres.host", default: "127.0.0.1")
        postgresPort = try settings.integer("postgres.port", default: 5432, in: 1...65535)
        postgresDatabase = try settings.string("postgres.database", default: "martlet")
        postgresConnections = try settings.integer("postgres.connections", default: 8, in: 1...64)
        postgresThreads = try settings.integer("postgres.threads", default: min(max(System.coreCount / 2, 1), 4), in: 1...16)
        postgresFastLockTimeout = .milliseconds(try settings.integer("postgres.lock.milliseconds", default: 50, in: 10...2000))
        postgresTLSMode = try settings.parsed("postgres.tls.mode", default: "prefer", Self.tlsModes.joined(separator: ", ")) {
            Self.tlsModes.contains($0) ? $0 : nil
        }
        postgresTLSRootCertificates = try settings.optional("postgres.tls.root.certificates")
        redis = try RedisConfiguration(settings: settings)
        urls = try Dictionary(
            uniqueKeysWithValues: ServiceName.allCases.map { name in
                (
                    name,
                    try settings.parsed(
                        "\(name.rawValue).url", default: "http://127.0.0.1:\(name.defaultPort)", "one URL such as http://host:8101"
                    ) { Self.isAddress($0) ? $0 : nil }
                )
            })
        logLevel = try settings.parsed("log.level", default: .info, "trace, debug, info, notice, warning or error") {
            Logger.Level(rawValue: $0)
        }
        grace = .seconds(try settings.integer("grace.seconds", default: 20, in: 1...300))
        drain = .seconds(try settings.integer("drain.seconds", default: 0, in: 0...60))
        uploadSilence = .seconds(try settings.integer("upload.silence.seconds", default: 60, in: 1...600))
        runsWorkers = try settings.flag("workers", default: true)
        jobConcurrency = try settings.integer("jobs.concurrency", default: 8, in: 1...64)
    }

    /// Scheme, host and port, and nothing else; one address, where the gateway takes several.
    private static func isAddress(_ text: String) -> Bool {
        guard let url = URLComponents(string: text), let scheme = url.scheme, let host = url.host else { return false }
        return ["http", "https"].contains(scheme) && !host.isEmpty && !host.contains(",") && url.path.isEmpty && url.query == nil
            && url.user == nil
    }

    /// The keys of the service. Whoever serves or asks others needs them; `migrate` and `health` do not.
    ///
    /// - Throws: ``Operations/SettingError``.
    public func contextKeys() throws -> ContextKeys { try ContextKeys(settings, of: service.rawValue) }

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
    ///
    /// - Parameter copies: how many kinds of records of other services it follows.
    public func postgres(as role: Role, copies: Int = 0) throws -> PostgresConfiguration {
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
            configuration.reactorThreads = postgresThreads
        } else {
            configuration.fastConnections = 1
            // The relay and the follower of each copy keep a bulk connection for themselves: beside one copy two are left, and each further copy has its own.
            configuration.bulkConnections += max(0, copies - 1)
        }
        return configuration
    }
}
