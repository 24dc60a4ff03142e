import Foundation

/// A Redis of one test's own, which may be killed and started again. It keeps nothing.
public final class PrivateRedis: Sendable {
    public let port: Int
    private let process: ChildProcess
    private let logFile: String

    /// Starts a server for the length of the closure, then stops it.
    ///
    /// - Parameter settings: further lines of its configuration, such as `["maxmemory": "3mb"]`.
    public static func run<T>(settings: [String: String] = [:], _ body: (PrivateRedis) async throws -> T) async throws -> T {
        let server = try PrivateRedis(settings: settings)
        do {
            try await server.start()
            let value = try await body(server)
            await server.kill()
            try? FileManager.default.removeItem(atPath: server.logFile)
            return value
        } catch {
            await server.kill()
            throw error
        }
    }

    private init(settings: [String: String]) throws {
        port = try Self.freePort()
        logFile = NSTemporaryDirectory() + "martlet-redis-\(UUID().uuidString.prefix(8)).log"
        let all = settings.merging(["port": String(port), "bind": "127.0.0.1", "save": "", "appendonly": "no"]) { $1 }
        process = ChildProcess(
            "/usr/bin/redis-server", all.sorted { $0.key < $1.key }.flatMap { ["--\($0.key)", $0.value] }, logFile: logFile)
    }

    /// Starts the server and returns when it accepts connections.
    public func start() async throws {
        try process.start()
        try await eventually("a Redis of the test's own answers", every: .milliseconds(5)) { Self.isListening(port) }
    }

    /// Kills it, and returns when it is gone.
    public func kill() async { await process.stop(signal: SIGKILL) }

    /// A port that nobody listens on, so that the server can.
    private static func freePort() throws -> Int {
        try withSocket { descriptor, address in
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
                }
            }
            guard isBound else { throw TimedOut(what: "a free port") }
            return Int(UInt16(bigEndian: address.sin_port))
        }
    }

    private static func isListening(_ port: Int) -> Bool {
        withSocket { descriptor, address in
            address.sin_port = UInt16(port).bigEndian
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
        }
    }

    /// A socket, and an address on loopback.
    private static func withSocket<T>(_ body: (Int32, inout sockaddr_in) throws -> T) rethrows -> T {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return try body(descriptor, &address)
    }
}
