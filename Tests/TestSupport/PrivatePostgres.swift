import Foundation
import Postgres

/// A Postgres server of one test's own, which may be killed and started again. Needs `initdb` and `pg_ctl` on the machine.
public final class PrivatePostgres: Sendable {
    /// How to connect as its superuser.
    public let superuser: PostgresConfiguration
    private let folder: String
    private let binaries: String
    private let options: String

    /// Starts a server for the length of the closure, then stops it and removes its files, also when the closure throws.
    ///
    /// - Parameter connections: `max_connections` of the server.
    public static func run<T>(connections: Int = 60, _ body: (PrivatePostgres) async throws -> T) async throws -> T {
        let server = try await PrivatePostgres(connections: connections)
        do {
            let value = try await body(server)
            await server.remove()
            return value
        } catch {
            await server.remove()
            throw error
        }
    }

    private init(connections: Int) async throws {
        folder = "/tmp/martlet-\(UUID().uuidString.prefix(8))"
        binaries = try Self.findBinaries()
        // The port only names the socket file in the server's own folder; no network is used, so none can be taken.
        options = "-c listen_addresses= -c unix_socket_directories=\(folder) -c fsync=off -c max_connections=\(connections)"
        superuser = PostgresConfiguration(host: folder, database: "postgres", user: "postgres")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if geteuid() == 0, let user = getpwnam("postgres") { chown(folder, user.pointee.pw_uid, user.pointee.pw_gid) }
        try await command("initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-D", "\(folder)/data")
        try await start()
    }

    /// Starts the server and returns when it accepts connections.
    public func start() async throws {
        try await command("pg_ctl", "-D", "\(folder)/data", "-w", "-t", "60", "-l", "\(folder)/log", "-o", options, "start")
    }

    /// Stops the server in an orderly way, ending its connections.
    public func stop() async throws {
        try await command("pg_ctl", "-D", "\(folder)/data", "-w", "-m", "fast", "stop")
    }

    /// Kills all of the server's processes with SIGKILL and returns when they are gone.
    public func kill() throws {
        let file = try String(contentsOfFile: "\(folder)/data/postmaster.pid", encoding: .utf8)
        guard let line = file.split(separator: "\n").first, let server = pid_t(line) else { throw PrivatePostgresError(reason: file) }
        // Stopped first, so that it starts no process while its children are listed.
        Glibc.kill(server, SIGSTOP)
        let list = try String(contentsOfFile: "/proc/\(server)/task/\(server)/children", encoding: .utf8)
        let processes = list.split(separator: " ").compactMap { pid_t($0) } + [server]
        for process in processes { Glibc.kill(process, SIGKILL) }
    }

    private func remove() async {
        // A server that a test has killed is no failure here.
        try? await command("pg_ctl", "-D", "\(folder)/data", "-w", "-m", "immediate", "stop")
        try? FileManager.default.removeItem(atPath: folder)
    }

    private static func findBinaries() throws -> String {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let folders = versions.sorted().reversed().map { "/usr/lib/postgresql/\($0)/bin" } + ["/usr/local/bin", "/usr/bin"]
        guard let folder = folders.first(where: { FileManager.default.isExecutableFile(atPath: "\($0)/initdb") }) else {
            throw PrivatePostgresError(reason: "no initdb found in \(folders.joined(separator: ", "))")
        }
        return folder
    }

    /// Runs one of Postgres's programs, as the user postgres when the tests run as root, which Postgres refuses.
    private func command(_ name: String, _ arguments: String...) async throws {
        let process = Process()
        let isRoot = geteuid() == 0
        process.executableURL = URL(fileURLWithPath: isRoot ? "/usr/bin/setpriv" : "\(binaries)/\(name)")
        process.arguments =
            (isRoot ? ["--reuid=postgres", "--regid=postgres", "--clear-groups", "\(binaries)/\(name)"] : []) + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        if status != 0 { throw PrivatePostgresError(reason: "\(name) \(arguments) ended with \(status)") }
    }
}

public struct PrivatePostgresError: Error, CustomStringConvertible {
    public var reason: String
    public var description: String { "private postgres: \(reason)" }
}
