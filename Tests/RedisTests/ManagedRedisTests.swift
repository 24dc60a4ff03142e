import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOPosix
import Operations
import Redis
import TestSupport
import Testing

/// Redis as others run it: encrypted, with users, behind sentinels.
@Suite struct ManagedRedisTests {
    /// A server that speaks TLS alone, to the user `martlet` alone, with a certificate for the name.
    private static func encrypted(for name: String, _ body: (_ port: Int, _ folder: String) async throws -> Void) async throws {
        let folder = NIOLockedValueBox("")
        try await RedisServer.run(1) { index, ports, own in
            folder.withLockedValue { $0 = own }
            try await RedisServer.makeCertificates(in: own, for: name)
            return (
                [
                    "port 0", "tls-port \(ports[index])", "tls-cert-file \(own)/server.pem", "tls-key-file \(own)/server.key",
                    "tls-ca-cert-file \(own)/ca.pem", "tls-auth-clients no", "user default off",
                    "user martlet on >pass@word/1 ~martlet:* &* +@all",
                ], false
            )
        } _: { servers in
            try await body(servers[0].port, folder.withLockedValue { $0 })
        }
    }

    private static func configuration(_ url: String, _ settings: [String: String]) throws -> RedisConfiguration {
        try RedisConfiguration(settings: Settings(values: settings.merging(["MARTLET_REDIS_URL": url]) { $1 })).forTests
    }

    @Test func aUserOfAnEncryptedServerIsServedAndAnotherAuthorityOrNameIsNot() async throws {
        try await Self.encrypted(for: "DNS:localhost") { port, folder in
            let roots = ["MARTLET_REDIS_TLS_ROOT_CERTIFICATES": "\(folder)/ca.pem"]
            let url = "rediss://martlet:pass@word/1@localhost:\(port)/2"
            let client = try Self.configuration(url, roots).client
            try await eventually("the server answers") { (try? await client.command(["PING"])) == .status("PONG") }
            _ = try await client.command(["SET", "martlet:a", "b"])
            #expect(try await client.command(["GET", "martlet:a"]).string == "b")
            #expect(try await client.command(["CLIENT", "INFO"]).string?.contains(" db=2 ") == true)
            await #expect(throws: RedisError.self) { try await client.command(["GET", "other:a"]) }

            // Its certificate is not of the system's authorities, and not of the address.
            let address = "rediss://martlet:pass@word/1@127.0.0.1:\(port)"
            for (url, settings, isServed) in [
                (url, [:], false), (address, roots, false), (address, roots.merging(["MARTLET_REDIS_TLS_MODE": "verify-ca"]) { $1 }, true),
                (address, ["MARTLET_REDIS_TLS_MODE": "require"], true), ("redis://martlet:pass@word/1@localhost:\(port)", [:], false),
                ("rediss://martlet:wrong@localhost:\(port)", roots, false),
            ] {
                let client = try Self.configuration(url, settings).client
                let answer = try? await client.command(["GET", "martlet:b"])
                #expect((answer == .null) == isServed, "\(url) \(settings)")
            }
        }
    }

    @Test func aCertificateMayBeForAnAddress() async throws {
        try await Self.encrypted(for: "IP:127.0.0.1") { port, folder in
            let client = try Self.configuration(
                "rediss://martlet:pass@word/1@127.0.0.1:\(port)", ["MARTLET_REDIS_TLS_ROOT_CERTIFICATES": "\(folder)/ca.pem"]
            ).client
            try await eventually("the server answers") { (try? await client.command(["PING"])) == .status("PONG") }
        }
    }

    /// The reason is told once, and again only after there was a connection.
    @Test func whyThereIsNoConnectionIsLoggedOnce() async throws {
        try await Self.encrypted(for: "DNS:localhost") { port, folder in
            let log = TestLog()
            var configuration = try Self.configuration("rediss://martlet:pass@word/1@localhost:\(port)", [:])
            configuration.logger = Logger(label: "redis") { _ in log }
            let client = configuration.client
            for _ in 0..<5 { _ = try? await client.command(["PING"]) }
            try await eventually("the reason is told") { log.lines.withLockedValue { !$0.isEmpty } }
            #expect(log.lines.withLockedValue { $0.count } == 1)
            #expect(log.lines.withLockedValue { $0.first?.contains("CERTIFICATE_VERIFY_FAILED") } == true)
        }
    }

    /// Two sentinels, of which one is not there, a master and a replica: when the master dies the replica is found, and what is published there
    /// reaches who had subscribed.
    @Test func aFailoverIsFollowed() async throws {
        let name = "main"
        try await RedisServer.run(3) { index, ports, _ in
            let data = ["port \(ports[index])", "requirepass p", "masterauth p", "repl-diskless-sync-delay 0"]
            if index == 0 { return (data, false) }
            if index == 1 { return (data + ["replicaof 127.0.0.1 \(ports[0])"], false) }
            // A sentinel asks a master for its replicas as it starts, and then every ten seconds.
            let master = RedisConfiguration(host: "127.0.0.1", port: ports[0], password: "p").client
            try await eventually("the replica is in step") {
                (try? await master.command(["INFO", "replication"]).string)?.contains("state=online") == true
            }
            return (
                [
                    "port \(ports[index])", "requirepass s", "sentinel monitor \(name) 127.0.0.1 \(ports[0]) 1",
                    "sentinel auth-pass \(name) p", "sentinel down-after-milliseconds \(name) 200",
                    "sentinel failover-timeout \(name) 1000",
                ], true
            )
        } _: { servers in
            let sentinels = [try FreePorts.take(1)[0], servers[2].port].map { "127.0.0.1:\($0)" }.joined(separator: ",")
            let configuration = try Self.configuration(
                "redis+sentinel://:p@\(sentinels)/\(name)", ["MARTLET_REDIS_SENTINEL_PASSWORD": "s"])
            let client = configuration.client
            func port() async -> Int64? {
                guard let info = try? await client.command(["INFO", "server"]).string else { return nil }
                return info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("tcp_port:") }.flatMap { Int64($0.dropFirst(9)) }
            }
            try await eventually("the master is found") { await port() == Int64(servers[0].port) }
            let sentinel = RedisConfiguration(host: "127.0.0.1", port: servers[2].port, password: "s").client
            let periods = ["info-period", "ping-period", "ask-period"].flatMap { [$0, "100"] }
            _ = try await sentinel.command(["SENTINEL", "DEBUG"] + periods)
            try await eventually("the sentinel knows the replica") {
                try await sentinel.command(["SENTINEL", "REPLICAS", name]).array?.count == 1
            }
            let (events, continuation) = AsyncStream.makeStream(of: RedisSubscriber.Event.self)
            let subscriber = RedisSubscriber(
                configuration: configuration, channels: ["news"], eventLoop: MultiThreadedEventLoopGroup.singleton.next()
            ) { continuation.yield($0) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await subscriber.run() }
                var iterator = events.makeAsyncIterator()
                #expect(await iterator.next() == .subscribed)
                await servers[0].kill()
                #expect(await iterator.next() == .disconnected)
                try await eventually("the other server is the master", within: .seconds(20)) {
                    (try? await client.command(["SET", "a", "b"])) == .status("OK")
                }
                #expect(await port() == Int64(servers[1].port))
                while let event = await iterator.next(), event != .subscribed {}
                _ = try await client.command(["PUBLISH", "news", "one"])
                #expect(await iterator.next() == .message(channel: "news", payload: Array("one".utf8)))
                group.cancelAll()
            }
        }
    }

    /// A server that was master and is none any more refuses to write: its clients look anew where the name leads.
    @Test func aServerThatIsNoLongerTheMasterIsLeft() async throws {
        try await RedisServer.run(1) { _, ports, _ in
            (["port \(ports[0])"], false)
        } _: { servers in
            let client = RedisConfiguration(host: "127.0.0.1", port: servers[0].port).client
            try await eventually("the server answers") { (try? await client.command(["PING"])) == .status("PONG") }
            let before = try await client.command(["CLIENT", "ID"]).integer
            _ = try await client.command(["REPLICAOF", "127.0.0.1", "1"])
            await #expect(throws: RedisError.self) { try await client.command(["SET", "a", "b"]) }
            try await eventually("it has connected anew") {
                guard let now = try? await client.command(["CLIENT", "ID"]).integer else { return false }
                return now != before
            }
        }
    }
}

private struct TestLog: LogHandler {
    let lines = NIOLockedValueBox<[String]>([])
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.withLockedValue { $0.append("\(event.message) \(event.metadata ?? [:])") } }
}
