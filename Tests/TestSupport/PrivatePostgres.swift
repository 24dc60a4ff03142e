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
        try await command("initdb", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-U", "postgres", "-D", "\(folder)/data")
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
    public func kill() async throws {
        let file = try String(contentsOfFile: "\(folder)/data/postmaster.pid", encoding: .utf8)
        guard let line = file.split(separator: "\n").first, let server = pid_t(line) else { throw PrivatePostgresError(reason: file) }
        // Stopped first, so that it starts no process while its children are listed.
        Glibc.kill(server, SIGSTOP)
        let list = try String(contentsOfFile: "/proc/\(server)/task/\(server)/children", encoding: .utf8)
        let processes = list.split(separator: " ").compactMap { pid_t($0) } + [server]
        for process in processes { Glibc.kill(process, SIGKILL) }
        while processes.contains(where: Self.isRunning) { try await Task.sleep(for: .milliseconds(2)) }
        // Where nobody has collected the dead server yet, the next one would take it for running.
        for file in ["data/postmaster.pid", ".s.PGSQL.5432.lock"] { try? FileManager.default.removeItem(atPath: "\(folder)/\(file)") }
    }

    private static func isRunning(_ process: pid_t) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8), let name = stat.lastIndex(of: ")") else {
            return false
        }
        return !stat[name...].hasPrefix(") Z")
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
        let path = geteuid() == 0 ? "/usr/bin/setpriv" : "\(binaries)/\(name)"
        let prefix = geteuid() == 0 ? [path, "--reuid=postgres", "--regid=postgres", "--clear-groups", "\(binaries)/\(name)"] : [path]
        let line = prefix + arguments
        let status = await withCheckedContinuation { continuation in
            // Waits for the program on a thread of its own. Foundation's Process would wait for the server that pg_ctl leaves, too.
            Thread.detachNewThread { continuation.resume(returning: Self.spawn(path, line)) }
        }
        if status != 0 { throw PrivatePostgresError(reason: "\(name) \(arguments) ended with \(status)") }
    }

    /// Runs a program without input and output; gives its wait status, -1 when it could not be started.
    private static func spawn(_ path: String, _ arguments: [String]) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0) }
        var strings = arguments.map { strdup($0) } + [nil]
        defer { for string in strings { free(string) } }
        var process = pid_t()
        guard posix_spawn(&process, path, &actions, nil, &strings, environ) == 0 else { return -1 }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status
    }
}

public struct PrivatePostgresError: Error, CustomStringConvertible {
    public var reason: String
    public var description: String { "private postgres: \(reason)" }
}
