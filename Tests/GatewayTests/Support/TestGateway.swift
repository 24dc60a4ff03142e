import Core
import Foundation
import Logging
import NIOCore
import Operations
import Redis
import ServiceLifecycle
import TestSupport

@testable import Gateway

/// A gateway on free ports, with one scripted upstream for all services and a real Redis.
struct TestGateway: Sendable {
    let port: Int
    /// Clear text beside TLS.
    let clearTextPort: Int?
    let adminPort: Int
    let upstream: TestUpstream
    let upstreamPort: Int
    let key: TestKey
    let gateway: Gateway
    /// Ends the gateway as SIGTERM does.
    let stop: @Sendable () async -> Void

    static var redis: RedisConfiguration {
        let url = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
        guard var configuration = RedisConfiguration(url: url) else { fatalError("MARTLET_TEST_REDIS is wrong: \(url)") }
        // On a busy machine a limit must not fall back to the local share in the middle of a test.
        configuration.commandTimeout = .seconds(10)
        return configuration
    }

    /// Runs a gateway, and the closure once the gateway is ready.
    static func with(
        key: TestKey = TestKey(), waitsForReady: Bool = true, configure: (inout GatewayConfiguration) -> Void = { _ in },
        script: @escaping @Sendable (TestUpstream.Request) -> TestUpstream.Action = { _ in .ok() },
        _ body: (TestGateway) async throws -> Void
    ) async throws {
        let upstream = TestUpstream(keys: [key], script: script)
        let upstreamPort = try await upstream.start()
        do {
            try await with(
                key: key, upstream: upstream, upstreamPort: upstreamPort, waitsForReady: waitsForReady, configure: configure, body)
        } catch {
            await upstream.stop()
            throw error
        }
        await upstream.stop()
    }

    /// Runs a gateway before an upstream that runs already.
    static func with(
        key: TestKey, upstream: TestUpstream, upstreamPort: Int, waitsForReady: Bool = true,
        configure: (inout GatewayConfiguration) -> Void = { _ in }, _ body: (TestGateway) async throws -> Void
    ) async throws {
        var configuration = GatewayConfiguration(contextKeys: TestContextKeys.keys(of: ContextPair.gateway))
        configuration.port = 0
        configuration.adminPort = 0
        configuration.redis = redis
        configuration.eventLoops = 2
        configuration.accessLog = .off
        // All tests come from one address; those of the limit itself bring their own.
        configuration.addressLimit = 1_000_000
        configuration.grace = .seconds(5)
        for service in ServiceName.allCases { configuration.upstreams[service] = [UpstreamAddress(host: "127.0.0.1", port: upstreamPort)] }
        configure(&configuration)
        let (started, start) = AsyncStream.makeStream(of: Gateway.Addresses.self)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let gateway = Gateway(configuration: configuration, logger: logger) { start.yield($0) }
        let group = ServiceGroup(services: [gateway], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = started.makeAsyncIterator()
            guard let addresses = await iterator.next() else { return }
            let running = TestGateway(
                port: addresses.port, clearTextPort: addresses.clearTextPort, adminPort: addresses.adminPort, upstream: upstream,
                upstreamPort: upstreamPort, key: key,
                gateway: gateway,
                stop: { await group.triggerGracefulShutdown() })
            do {
                if waitsForReady { try await running.becomeReady() }
                try await body(running)
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    func becomeReady() async throws {
        try await eventually("the gateway is ready", every: .milliseconds(5)) {
            try await TestClient.connect(port: adminPort, { try await $0.get("/readyz") }).status == 200
        }
    }

    /// One request on a connection of its own.
    func get(_ target: String, token: String? = nil, headers: String = "") async throws -> TestClient.Answer {
        try await TestClient.connect(port: port) { try await $0.get(target, token: token, headers: headers) }
    }

    /// What operators see.
    func admin(_ path: String) async throws -> TestClient.Answer {
        try await TestClient.connect(port: adminPort) { try await $0.get(path) }
    }

    /// Sends bytes and reads one answer.
    func send(_ text: String) async throws -> TestClient.Answer {
        try await TestClient.connect(port: port) { client in
            try await client.send(text)
            return try await client.answer()
        }
    }
}
