import AsyncHTTPClient
import Core
import Foundation
import Logging
import NIOCore
import Operations
import Postgres
import ServiceRuntime
import Synchronization
import Testing

/// A service that runs in the test's process, with its HTTP server, on a port of its own; and the way to call it that the
/// gateway and other services have.
public struct RunningService: Sendable {
    public let name: ServiceName
    public let port: Int
    private let host: ServiceHost

    private static var logger: Logger { Logger(label: "service", factory: { _ in FaultLog() }) }

    public var url: String { "http://127.0.0.1:\(port)" }

    /// Runs the service for the length of the closure.
    ///
    /// - Parameter settings: names as in the environment, beside those of database, Redis and keys.
    public static func run<T: Sendable>(
        _ definition: ServiceDefinition, on database: TestDatabase, settings: [String: String] = [:],
        _ body: @escaping @Sendable (RunningService) async throws -> T
    ) async throws -> T {
        let host = try await ServiceHost(
            definition, settings: Settings(values: self.settings(of: definition.name, on: database).merging(settings) { $1 }),
            logger: logger)
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { continuation.finish() }
                try await host.run(signals: []) { port, _ in continuation.yield(port) }
            }
            var iterator = ports.makeAsyncIterator()
            guard let port = await iterator.next() else {
                try await group.waitForAll()
                throw ServiceDidNotStart()
            }
            let service = RunningService(name: definition.name, port: port, host: host)
            let result: Result<T, any Error>
            do { result = .success(try await body(service)) } catch { result = .failure(error) }
            group.cancelAll()
            // How the service ends when it is cancelled is no matter of the test.
            while let ended = await group.nextResult() { _ = ended }
            return try result.get()
        }
    }

    /// Does a periodic job of the service. Work in the background is not done by itself here, unless the settings say so.
    public func runJob(_ kind: String) async throws { try await host.runNow(kind) }

    /// What a service needs to be told to run on the database, on free ports and without work in the background.
    public static func settings(of service: ServiceName, on database: TestDatabase) -> [String: String] {
        [
            "MARTLET_PORT": "0", "MARTLET_ADMIN_PORT": "0", "MARTLET_WORKERS": "false",
            "MARTLET_POSTGRES_HOST": database.superuser.host, "MARTLET_POSTGRES_PORT": String(database.superuser.port),
            "MARTLET_POSTGRES_DATABASE": database.name, "MARTLET_POSTGRES_PASSWORD": TestDatabase.password,
            "MARTLET_POSTGRES_SYSTEM_PASSWORD": TestDatabase.password, "MARTLET_POSTGRES_OWNER_PASSWORD": TestDatabase.password,
            "MARTLET_POSTGRES_CONNECTIONS": "2", "MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: service.rawValue),
            "MARTLET_GRACE_SECONDS": "1",
            "MARTLET_REDIS_URL": ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379",
        ]
    }

    /// The signed context of a request: as the service signs it that calls, as the gateway does for anybody else.
    public func signed(_ caller: Caller, _ method: String, _ target: String, bytes: [UInt8] = []) -> String {
        var sender = ContextPair.gateway
        if case .service(let context) = caller { sender = context.service }
        return TestContextKeys.signer(from: sender, to: name.rawValue).sign(caller, method: method, target: target, body: .whole(bytes))
    }

    /// Sends a request in the name of a caller.
    ///
    /// - Parameter expecting: the status that the test relies on; any other is recorded with both sides of the exchange.
    @discardableResult
    public func send(
        _ method: Core.Method, _ target: String, _ body: JSON? = nil, as caller: Caller, headers: [(String, String)] = [],
        expecting: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> APIAnswer {
        let context = signed(caller, method.rawValue, target, bytes: body?.bytes ?? [])
        return try await APIClient(url: url).send(
            method, target, body, headers: [(ContextSigner.headerName, context)] + headers, expecting: expecting,
            sourceLocation: sourceLocation)
    }
}

extension Caller {
    /// Somebody who is not signed in, at an address.
    public static func anybody(at address: String = "192.0.2.1") -> Caller { .anonymous(.test(at: address)) }

    /// Another process: the gateway, which calls every service.
    public static var anotherService: Caller { .service(SystemContext(service: ContextPair.gateway, edge: .test())) }
}

extension EdgeContext {
    /// A request that has half a minute.
    public static func test(at address: String = "192.0.2.1") -> EdgeContext {
        EdgeContext(requestID: Identifier<Never>().description, deadline: Timestamp.now.advanced(by: .seconds(30)), address: address)
    }
}

/// The service ended before it opened its port, without saying why.
public struct ServiceDidNotStart: Error {}

/// Says on standard error what no test should bring about: faults of the service itself. How the server below it takes being
/// cancelled is left out.
private struct FaultLog: LogHandler {
    var logLevel: Logger.Level = .error
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        guard event.source == "ServiceRuntime" else { return }
        FileHandle.standardError.write(Data("\(event.level): \(event.message) \(event.metadata ?? [:])\n".utf8))
    }
}
