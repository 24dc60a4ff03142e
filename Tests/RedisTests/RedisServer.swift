import Foundation
import NIOCore
import NIOPosix
import Redis
import TestSupport

/// A `redis-server`, or a sentinel, of a test's own, with a folder that goes with it.
final class RedisServer: Sendable {
    let port: Int
    private let folder: String
    private let process: ChildProcess
    private let arguments: [String]

    /// - Parameter settings: lines of its configuration. The folder, in which they may name files, is made and given to `prepare` before.
    private init(port: Int, folder: String, settings: [String], mode: [String]) throws {
        self.port = port
        self.folder = folder
        arguments = ["\(folder)/redis.conf"] + mode
        try (["bind 127.0.0.1", "dir \(folder)", "daemonize no", "protected-mode no"] + settings).joined(separator: "\n")
            .write(toFile: "\(folder)/redis.conf", atomically: true, encoding: .utf8)
        process = ChildProcess("/usr/bin/redis-server", arguments, logFile: "\(folder)/log")
        try process.start()
    }

    /// Runs servers and stops them, however the body ends.
    ///
    /// - Parameter make: makes the settings of each from the ports that are free and the folder.
    static func run(
        _ count: Int, settings make: (_ index: Int, _ ports: [Int], _ folder: String) async throws -> (lines: [String], isSentinel: Bool),
        _ body: ([RedisServer]) async throws -> Void
    ) async throws {
        let ports = try FreePorts.take(count)
        var servers: [RedisServer] = []
        var failure: (any Error)?
        do {
            for index in 0..<count {
                let folder = NSTemporaryDirectory() + "martlet-redis-\(UUID().uuidString)"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let (lines, isSentinel) = try await make(index, ports, folder)
                servers.append(try RedisServer(port: ports[index], folder: folder, settings: lines, mode: isSentinel ? ["--sentinel"] : []))
            }
            try await body(servers)
        } catch {
            failure = error
        }
        for server in servers { await server.end() }
        if let failure { throw failure }
    }

    /// Ends it at once, as a crash does.
    func kill() async { await process.stop(signal: SIGKILL) }

    private func end() async {
        await kill()
        try? FileManager.default.removeItem(atPath: folder)
    }

    var output: String { process.output }

    /// Makes an authority in the folder, `ca.pem`, and a certificate of it, `server.pem` with `server.key`.
    ///
    /// - Parameter name: as in a certificate's alternative names: `DNS:localhost`.
    static func makeCertificates(in folder: String, for name: String) async throws {
        func openssl(_ arguments: String) async throws {
            try await ChildProcess.run("/usr/bin/openssl", arguments.split(separator: " ").map(String.init))
        }
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        try await openssl(
            "req -x509 \(key) -keyout \(folder)/ca.key -out \(folder)/ca.pem -days 2 -subj /CN=test-authority")
        try await openssl("req \(key) -keyout \(folder)/server.key -out \(folder)/server.csr -subj /CN=redis")
        try "subjectAltName=\(name)".write(toFile: "\(folder)/extensions", atomically: true, encoding: .utf8)
        try await openssl(
            "x509 -req -in \(folder)/server.csr -CA \(folder)/ca.pem -CAkey \(folder)/ca.key -CAcreateserial -out \(folder)/server.pem -days 2 -extfile \(folder)/extensions"
        )
    }
}

extension RedisConfiguration {
    /// Patient enough for a busy machine, and soon back.
    var forTests: RedisConfiguration {
        var configuration = self
        configuration.commandTimeout = .seconds(5)
        configuration.connectTimeout = .seconds(5)
        configuration.breakerPause = .milliseconds(50)
        return configuration
    }

    var client: RedisClient { RedisClient(configuration: forTests, eventLoop: MultiThreadedEventLoopGroup.singleton.next()) }
}
