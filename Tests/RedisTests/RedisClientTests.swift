import NIOCore
import NIOPosix
import Redis
import TestSupport
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

private var configuration: RedisConfiguration {
    let url = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
    guard var configuration = RedisConfiguration(url: url) else { fatalError("MARTLET_TEST_REDIS is wrong: \(url)") }
    // Tests run on busy machines; those of the limit set their own.
    configuration.commandTimeout = .seconds(10)
    return configuration
}

@Suite struct RedisClientTests {
    private let client = RedisClient(configuration: configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next())

    @Test func pipelinedCommandsGetTheirOwnReplies() async throws {
        let replies = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
            for index in 0..<500 { group.addTask { (index, try await client.command(["ECHO", "value \(index)"]).string) } }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        #expect(replies.count == 500)
        #expect(replies.allSatisfy { $0.value == "value \($0.key)" })
    }

    @Test func repliesOfAllKindsAreRead() async throws {
        let script = "return {1, 'text', false, {2, {3}}, redis.status_reply('FINE'), redis.error_reply('BAD luck')}"
        let value = try await client.command(["EVAL", script, "0"])
        #expect(
            value
                == .array([
                    .integer(1), .bytes(Array("text".utf8)), .null, .array([.integer(2), .array([.integer(3)])]), .status("FINE"),
                    .error("BAD luck"),
                ]))
    }

    @Test func anErrorOfTheServerIsThrownAndLeavesTheConnectionInOrder() async throws {
        await #expect(throws: RedisError.self) { try await client.command(["NOSUCHCOMMAND"]) }
        #expect(try await client.command(["PING"]).string == "PONG")
    }

    @Test func aCommandThatTakesTooLongFailsAndItsLateReplyGoesToNobodyElse() async throws {
        var configuration = configuration
        configuration.commandTimeout = .milliseconds(50)
        let client = RedisClient(configuration: configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
        #expect(try await client.command(["PING"]).string == "PONG")
        await #expect(throws: RedisError.timeout) { try await client.command(["BLPOP", "martlet.test.no.such.list", "0.2"]) }
        // Behind the blocked command these time out too, until Redis answers again; none gets a reply that is not its own.
        var attempt = 0
        try await eventually("the client recovers", within: .seconds(5)) { () async throws -> Bool in
            attempt += 1
            do {
                #expect(try await client.command(["ECHO", "number \(attempt)"]).string == "number \(attempt)")
                return true
            } catch let error as RedisError where error == .timeout || error == .unavailable || error == .connectionLost {
                return false
            }
        }
    }

    @Test func withoutAServerCommandsFailAtOnce() async throws {
        var configuration = RedisConfiguration(host: "127.0.0.1", port: 1)
        configuration.commandTimeout = .milliseconds(250)
        let client = RedisClient(configuration: configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
        await #expect(throws: RedisError.self) { try await client.command(["PING"]) }
        let clock = ContinuousClock()
        let elapsed = await clock.measure {
            for _ in 0..<100 { _ = try? await client.command(["PING"]) }
        }
        // Each waiting for its time limit would be 25 s.
        #expect(elapsed < .seconds(10))
    }

    @Test func aKilledConnectionIsReplaced() async throws {
        let id = try await client.command(["CLIENT", "ID"]).integer ?? 0
        let other = RedisClient(configuration: configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
        #expect(try await other.command(["CLIENT", "KILL", "ID", String(id)]).integer == 1)
        try await eventually("the client has another connection", within: .seconds(5)) {
            guard let present = try? await client.command(["CLIENT", "ID"]).integer else { return false }
            return present != id
        }
    }

    @Test func aSubscriberHearsMessagesAndSubscribesAgainAfterItsConnectionIsKilled() async throws {
        let channel = "martlet.test.\(UInt64.random(in: 0...UInt64.max))"
        let (events, continuation) = AsyncStream.makeStream(of: RedisSubscriber.Event.self)
        let subscriber = RedisSubscriber(
            configuration: configuration, channels: [channel], eventLoop: MultiThreadedEventLoopGroup.singleton.next()
        ) { continuation.yield($0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await subscriber.run() }
            var iterator = events.makeAsyncIterator()
            #expect(await iterator.next() == .subscribed)
            _ = try await client.command(["PUBLISH", channel, "one"])
            #expect(await iterator.next() == .message(channel: channel, payload: Array("one".utf8)))
            _ = try await client.command(["CLIENT", "KILL", "TYPE", "pubsub"])
            #expect(await iterator.next() == .disconnected)
            #expect(await iterator.next() == .subscribed)
            group.cancelAll()
        }
    }
}
