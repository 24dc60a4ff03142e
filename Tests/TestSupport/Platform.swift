import Core
import Foundation
import Testing

/// The whole platform as real processes: gateway and five services on free ports of loopback, with a database of its own.
public final class Platform: Sendable {
    public static let services = ["identity", "tenant", "crm", "activity", "support"]

    public let gatewayURL: String
    public let adminURLs: [String: String]
    public let serviceURLs: [String: String]
    /// By name: the five services and `gateway`.
    public let processes: [String: ChildProcess]
    public let folder: String
    private let settings: [String: String]
    private let psql: [String]

    /// Where the executables are: beside the test bundle, or in `MARTLET_TEST_EXECUTABLES`.
    public static var executables: String {
        ProcessInfo.processInfo.environment["MARTLET_TEST_EXECUTABLES"]
            ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path
    }

    /// A Postgres server, and the superuser to sign in as.
    public struct Server: Sendable {
        public var host: String
        public var port: Int
        public var user: String

        public init(host: String = "127.0.0.1", port: Int, user: String = "postgres") {
            self.host = host
            self.port = port
            self.user = user
        }

        /// The server that the test command started (`MARTLET_TEST_POSTGRES`).
        public static func shared() throws -> Server {
            guard let text = ProcessInfo.processInfo.environment["MARTLET_TEST_POSTGRES"], let url = URLComponents(string: text),
                let port = url.port
            else { throw TimedOut(what: "MARTLET_TEST_POSTGRES names no server; run the tests with Tests/run") }
            return Server(host: url.host ?? "127.0.0.1", port: port, user: url.user ?? "postgres")
        }
    }

    /// Makes the database, migrates it, and starts everything.
    ///
    /// - Parameters:
    ///   - redisURL: the Redis that it uses.
    ///   - gateway: further settings of the gateway.
    ///   - doubled: processes that run twice, the second as `crm-2`; the gateways know both of a service.
    ///   - all: further settings of every process.
    public init(
        server: Server, redisURL: String, gateway: [String: String] = [:], identity: [String: String] = [:], doubled: [String] = [],
        all: [String: String] = [:]
    ) async throws {
        folder = NSTemporaryDirectory() + "martlet-platform-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let database = "platform_\(UUID().uuidString.prefix(8).lowercased())"
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
        let psql = ["-X", "-q", "-h", server.host, "-p", String(server.port), "-U", server.user, "-v", "ON_ERROR_STOP=1"]
        try await ChildProcess.run("/usr/bin/psql", psql + ["-d", "postgres", "-c", "create database \(database)"])
        // Roles belong to the whole server: made under the lock that all tests take for it (TestDatabase).
        let roles = Self.services.flatMap { service in ["_owner", "", "_system", "_search"].map { "'martlet_\(service)\($0)'" } }
        try await ChildProcess.run(
            "/usr/bin/psql",
            psql + [
                "-d", "postgres", "-1", "-c", "select pg_advisory_xact_lock(7264)", "-c",
                """
                do $$ declare wanted text; begin
                    foreach wanted in array array[\(roles.joined(separator: ", "))] loop
                        if not exists (select from pg_roles where rolname = wanted) then execute format('create role %I', wanted); end if;
                    end loop;
                end $$
                """,
            ])
        for service in Self.services {
            try await ChildProcess.run(
                "/usr/bin/psql",
                psql + [
                    "-d", database, "-v", "service=\(service)", "-v", "owner_password=owner", "-v", "password=runtime", "-v",
                    "system_password=system", "-f", "\(root)/compose/postgres/roles.sql",
                ])
        }
        self.psql = psql + ["-A", "-t", "-d", database]
        let names = Self.services + ["gateway"]
        let copies = doubled.map { (name: "\($0)-2", of: $0) }
        var ports = try FreePorts.take(2 * (names.count + copies.count)).makeIterator()
        var settings = [
            "MARTLET_POSTGRES_HOST": server.host, "MARTLET_POSTGRES_PORT": String(server.port), "MARTLET_POSTGRES_DATABASE": database,
            "MARTLET_POSTGRES_PASSWORD": "runtime", "MARTLET_POSTGRES_SYSTEM_PASSWORD": "system",
            "MARTLET_POSTGRES_OWNER_PASSWORD": "owner",
            "MARTLET_REDIS_URL": redisURL,
            "MARTLET_KEY_ENCRYPTION_KEY": String(repeating: "7e", count: 32), "MARTLET_DEMO": "true",
        ].merging(all) { $1 }
        var own: [String: [String: String]] = [:]
        var serviceURLs: [String: String] = [:]
        var adminURLs: [String: String] = [:]
        for name in names + copies.map(\.name) {
            // Two were taken for each.
            let port = ports.next()!
            let adminPort = ports.next()!
            own[name] = [
                "MARTLET_PORT": String(port), "MARTLET_ADMIN_PORT": String(adminPort),
                "MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: copies.first { $0.name == name }?.of ?? name),
            ]
            adminURLs[name] = "http://127.0.0.1:\(adminPort)"
            serviceURLs[name] = "http://127.0.0.1:\(port)"
            if Self.services.contains(name) { settings["MARTLET_\(name.uppercased())_URL"] = "http://127.0.0.1:\(port)" }
        }
        gatewayURL = serviceURLs["gateway"]!  // Set in the loop above.
        self.serviceURLs = serviceURLs
        self.adminURLs = adminURLs
        own["gateway"]?.merge(["MARTLET_ADDRESS_LIMIT": "100000"].merging(gateway) { $1 }) { $1 }
        own["identity"]?.merge(identity) { $1 }
        for copy in copies where copy.of != "gateway" {
            let both = "\(serviceURLs[copy.of]!),\(serviceURLs[copy.name]!)"  // Set in the loop above.
            own["gateway"]?["MARTLET_\(copy.of.uppercased())_URL"] = both
        }
        for copy in copies { own[copy.name] = (own[copy.of] ?? [:]).merging(own[copy.name] ?? [:]) { $1 } }
        self.settings = settings
        var processes: [String: ChildProcess] = [:]
        for (name, program) in names.map({ ($0, $0) }) + copies {
            processes[name] = ChildProcess(
                "\(Self.executables)/martlet-\(program)", ["serve"], environment: settings.merging(own[name] ?? [:]) { $1 },
                logFile: "\(folder)/\(name).log")
        }
        self.processes = processes
        // Without context keys: the schema's owner has no say in who calls.
        for service in Self.services {
            try await ChildProcess.run("\(Self.executables)/martlet-\(service)", ["migrate"], environment: settings)
        }
        for process in processes.values { try process.start() }
        do {
            for name in processes.keys { try await ready(name) }
        } catch {
            await stop()
            throw error
        }
    }

    /// Waits until a process says that it is ready.
    public func ready(_ name: String) async throws {
        let admin = APIClient(url: adminURLs[name] ?? "")
        try await eventually("\(name) ready; its log: \(processes[name]?.output.suffix(2000) ?? "")", within: .seconds(60)) {
            (try? await admin.send(.get, "/readyz").status) == 200
        }
    }

    /// kill -9, then start again; does not wait for readiness.
    public func kill(_ name: String) async throws {
        await processes[name]?.stop(signal: SIGKILL)
        try processes[name]?.start()
    }

    /// Runs a subcommand of a service with the platform's settings.
    @discardableResult
    public func run(_ service: String, _ arguments: [String], input: String? = nil) async throws -> String {
        try await ChildProcess.run(
            "\(Self.executables)/martlet-\(service)", arguments,
            environment: settings.merging(["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: service)]) { $1 }, input: input)
    }

    /// Runs SQL as a superuser in the platform's database, each text in a transaction of its own, all in one session.
    ///
    /// - Returns: the rows, a line each, columns between bars.
    @discardableResult
    public func psql(_ sql: String...) async throws -> String {
        try await ChildProcess.run("/usr/bin/psql", psql + sql.flatMap { ["-c", $0] })
    }

    public func stop() async {
        for name in processes.keys.sorted(by: { $0.hasPrefix("gateway") && !$1.hasPrefix("gateway") }) { await processes[name]?.stop() }
        try? FileManager.default.removeItem(atPath: folder)
    }

    public var api: APIClient { APIClient(url: gatewayURL) }
}

/// Ports of loopback that nobody listens on.
public enum FreePorts {
    /// Takes them all before any is given back, so they differ.
    public static func take(_ count: Int) throws -> [Int] {
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        return try (0..<count).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            sockets.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    bind(descriptor, pointer, length) == 0 ? getsockname(descriptor, pointer, &length) : -1
                }
            }
            guard result == 0 else { throw TimedOut(what: "no free port") }
            return Int(UInt16(bigEndian: address.sin_port))
        }
    }
}
