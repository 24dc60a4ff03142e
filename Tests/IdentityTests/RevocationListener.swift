import Contracts
import Core
import Foundation
import NIOPosix
import Redis
import TestSupport
import Testing

/// Hears what gateways hear over Redis, as long as a closure runs.
struct RevocationListener: Sendable {
    let messages: AsyncStream<Revocation>

    static func run(_ body: (RevocationListener) async throws -> Void) async throws {
        let (messages, continuation) = AsyncStream.makeStream(of: Revocation.self)
        let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
        let url = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
        let subscriber = RedisSubscriber(
            configuration: try #require(RedisConfiguration(url: url)), channels: [Revocation.channel],
            eventLoop: MultiThreadedEventLoopGroup.singleton.next()
        ) { event in
            switch event {
            case .subscribed: isReady.yield()
            case .message(_, let payload):
                if let json = try? JSONParser.parse(payload), let revocation = Revocation(json: json) { continuation.yield(revocation) }
            case .disconnected: break
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await subscriber.run() }
            for await _ in ready { break }
            try await body(RevocationListener(messages: messages))
            group.cancelAll()
        }
    }

    /// Waits for one message, past those of tests that run at the same time.
    func expect(_ wanted: Revocation) async {
        for await message in messages where message == wanted { return }
    }
}
