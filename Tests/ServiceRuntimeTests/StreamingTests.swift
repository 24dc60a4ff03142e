import CRM
import Contracts
import Core
import Crypto
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Operations
import ServiceRuntime
import TestProbes
import TestSupport
import Testing

/// Bodies that are taken as they come, and answers that go on.
@Suite struct StreamingTests {
    /// Where the handler of `POST /v1/hold` is.
    private final class Hold: Sendable {
        let pieces = NIOLockedValueBox(0)
        let ended = NIOLockedValueBox<String?>(nil)
        let mayGoOn = NIOLockedValueBox(false)
    }

    private static func run(
        _ settings: [String: String] = [:], _ body: @escaping @Sendable (RunningService, Hold) async throws -> Void
    ) async throws {
        let hold = Hold()
        var definition = CRM.definition
        definition.build = { _ in
            let operation = Operation(id: "hold", summary: "Hold", tag: "probe")
            return ServiceParts(
                routes: Probes.routes + [
                    // Takes one piece, and the others when it may.
                    .member(.post, "/v1/hold", operation, streaming: .upload(types: ["text/csv"], limit: 64 << 20)) { call, _ in
                        do {
                            var count = 0
                            for try await piece in call.upload ?? Upload(AsyncStream { nil }) {
                                hold.pieces.withLockedValue { $0 += 1 }
                                count += piece.count
                                while !hold.mayGoOn.withLockedValue({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
                            }
                            hold.ended.withLockedValue { $0 = "whole" }
                            return .json(["bytes": .number(count)])
                        } catch {
                            hold.ended.withLockedValue { $0 = error is CancellationError ? "cancelled" : "\(error)" }
                            throw error
                        }
                    }
                ])
        }
        try await TestDatabase.run([definition]) { [definition] database in
            try await RunningService.run(definition, on: database, settings: settings) { try await body($0, hold) }
        }
    }

    private static func member() -> Caller {
        .member(
            RequestContext(
                tenant: TenantID(), user: UserID(), role: "sales", permissions: PermissionSet(), scopes: RowScopes(), plan: "pro",
                edge: .test()))
    }

    /// A request with a body that is to come, written by hand so that each part of it goes when the test says.
    private static func head(
        _ method: String, _ target: String, type: String = "application/octet-stream", length: Int? = nil,
        body: ContextBody = .streamed
    ) -> String {
        let context = TestContextKeys.signer(to: ServiceName.crm.rawValue).sign(member(), method: method, target: target, body: body)
        let framing =
            method == "GET"
            ? "" : "Content-Type: \(type)\r\n" + (length.map { "Content-Length: \($0)\r\n" } ?? "Transfer-Encoding: chunked\r\n")
        return "\(method) \(target) HTTP/1.1\r\nHost: martlet\r\nMartlet-Context: \(context)\r\n\(framing)\r\n"
    }

    private static func connect<Result: Sendable>(
        to port: Int,
        _ body: @escaping @Sendable (NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, any Channel) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port) {
            channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, _ in try await body(inbound.makeAsyncIterator(), channel.channel) }
    }

    /// Reads until the text is there, or the other side has ended.
    private static func read(
        _ iterator: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, until end: String
    ) async throws -> String {
        var text = ""
        while !text.contains(end), let buffer = try await iterator.next() { text += String(buffer: buffer) }
        return text
    }

    @Test func aBodyIsCountedAndHashedHoweverItIsFramed() async throws {
        try await Self.run { service, _ in
            let piece = [UInt8](repeating: 0x5A, count: 1 << 20)
            var hash = SHA256()
            for _ in 0..<20 { hash.update(data: piece) }
            let digest = Hex.encode(hash.finalize())
            for length in [20 << 20, nil] {
                let answer = try await Self.connect(to: service.port) { iterator, channel in
                    var iterator = iterator
                    try await channel.writeAndFlush(ByteBuffer(string: Self.head("POST", "/v1/probe/upload", length: length)))
                    for _ in 0..<20 {
                        let framed = ByteBuffer(bytes: length == nil ? Array("100000\r\n".utf8) + piece + Array("\r\n".utf8) : piece)
                        try await channel.writeAndFlush(framed)
                    }
                    if length == nil { try await channel.writeAndFlush(ByteBuffer(string: "0\r\n\r\n")) }
                    return try await Self.read(&iterator, until: "}")
                }
                #expect(answer.contains(#"{"bytes":20971520,"sha256":"\#(digest)"}"#), "\(answer)")
            }
        }
    }

    /// Goal: a body in memory is as large as what lies between two reads. Method: the handler stands still after one piece, and the sender
    /// gets rid of some buffers' worth of 64 MiB, then of all.
    @Test func whoTakesSlowlySlowsTheSenderDown() async throws {
        try await Self.run { service, hold in
            let size = 64 << 20
            try await Self.connect(to: service.port) { iterator, channel in
                var iterator = iterator
                let sent = NIOLockedValueBox(0)
                try await channel.writeAndFlush(
                    ByteBuffer(string: Self.head("POST", "/v1/hold", type: "text/csv", length: size)))
                let piece = ByteBuffer(repeating: 0x61, count: 1 << 18)
                for _ in 0..<size / piece.readableBytes {
                    channel.writeAndFlush(piece).whenSuccess { sent.withLockedValue { $0 += piece.readableBytes } }
                }
                // It stands when nothing has gone for a while.
                var (last, steady) = (-1, 0)
                try await eventually("the sender stands", every: .milliseconds(20)) {
                    let now = sent.withLockedValue { $0 }
                    steady = now == last && now > 0 ? steady + 1 : 0
                    last = now
                    return steady == 10
                }
                #expect(last < 24 << 20, "\(last) bytes are gone, and one piece was taken")
                #expect(hold.pieces.withLockedValue { $0 } == 1)
                hold.mayGoOn.withLockedValue { $0 = true }
                let answer = try await Self.read(&iterator, until: "}")
                #expect(answer.contains(#"{"bytes":\#(size)}"#), "\(answer)")
            }
        }
    }

    @Test func aHandlerIsToldWhenTheSenderHasGone() async throws {
        try await Self.run { service, hold in
            for length in [1_000, nil] {
                hold.mayGoOn.withLockedValue { $0 = true }
                hold.ended.withLockedValue { $0 = nil }
                try await Self.connect(to: service.port) { _, channel in
                    let head = Self.head("POST", "/v1/hold", type: "text/csv", length: length)
                    try await channel.writeAndFlush(ByteBuffer(string: head + (length == nil ? "2\r\nab\r\n" : "ab")))
                    try await eventually("the handler reads") { hold.pieces.withLockedValue { $0 } > 0 }
                }
                try await eventually("the handler has ended") { hold.ended.withLockedValue { $0 } != nil }
                #expect(hold.ended.withLockedValue { $0 } != "whole")
                // And one that computes meanwhile is cancelled.
                hold.mayGoOn.withLockedValue { $0 = false }
                hold.pieces.withLockedValue { $0 = 0 }
                hold.ended.withLockedValue { $0 = nil }
                try await Self.connect(to: service.port) { _, channel in
                    let head = Self.head("POST", "/v1/hold", type: "text/csv", length: length)
                    try await channel.writeAndFlush(ByteBuffer(string: head + (length == nil ? "2\r\nab\r\n" : "ab")))
                    try await eventually("the handler has a piece") { hold.pieces.withLockedValue { $0 } > 0 }
                }
                try await eventually("the handler is cancelled") { hold.ended.withLockedValue { $0 } == "cancelled" }
                hold.pieces.withLockedValue { $0 = 0 }
            }
        }
    }

    @Test func aSenderThatFallsSilentIsAnswered() async throws {
        try await Self.run(["MARTLET_UPLOAD_SILENCE_SECONDS": "1"]) { service, _ in
            let answer = try await Self.connect(to: service.port) { iterator, channel in
                var iterator = iterator
                let head = Self.head("POST", "/v1/probe/upload", length: 1_000)
                try await channel.writeAndFlush(ByteBuffer(string: head + "abc"))
                return try await Self.read(&iterator, until: "}")
            }
            #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains(#""code":"invalid_request""#), "\(answer)")
        }
    }

    @Test func anUploadIsRefusedThatIsNotSignedAsOneOrOfAnotherKindOrTooLarge() async throws {
        try await Self.run { service, hold in
            hold.mayGoOn.withLockedValue { $0 = true }
            let large = 1 << 30 + 1
            for (head, rest, status) in [
                (Self.head("POST", "/v1/hold", type: "text/csv", length: 2, body: .whole(Array("ab".utf8))), "ab", 401),
                (Self.head("POST", "/v1/hold", type: "text/csv", length: 2, body: .none), "ab", 401),
                (Self.head("POST", "/v1/hold", length: 2), "ab", 415),
                (Self.head("POST", "/v1/hold", type: "text/csv", length: 64 << 20 + 1), "", 413),
                (Self.head("POST", "/v1/probe/upload", length: large), "", 413),
                (Self.head("POST", "/v1/hold", type: "TEXT/CSV; charset=utf-8", length: 2), "ab", 200),
            ] {
                let answer = try await Self.connect(to: service.port) { iterator, channel in
                    var iterator = iterator
                    try await channel.writeAndFlush(ByteBuffer(string: head + rest))
                    return try await Self.read(&iterator, until: "}")
                }
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
            }
            #expect(hold.ended.withLockedValue { $0 } == "whole" && hold.pieces.withLockedValue { $0 } == 1)
        }
    }

    @Test func aStreamEndsWithItsHandler() async throws {
        try await Self.run { service, _ in
            let answer = try await Self.connect(to: service.port) { iterator, channel in
                var iterator = iterator
                let head = Self.head("GET", "/v1/probe/ticks?milliseconds=1&count=3", body: .none)
                try await channel.writeAndFlush(ByteBuffer(string: head))
                return try await Self.read(&iterator, until: "0\r\n\r\n")
            }
            #expect(answer.contains("tick 1\n") && answer.contains("tick 3\n") && !answer.contains("tick 4"))
        }
    }

    /// Goal: a process holds as little of a large body as of a small one, and a stop waits for no stream. Method: a process of its own is sent
    /// 256 MiB, and its memory looked at; then it is told to stop while it ticks.
    @Test func aProcessStaysSmallAndEndsItsStreamsWhenItStops() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            let ports = try FreePorts.take(2)
            let log = NSTemporaryDirectory() + "martlet-streams-\(UUID().uuidString.prefix(8)).log"
            defer { try? FileManager.default.removeItem(atPath: log) }
            let process = ChildProcess(
                "\(Platform.executables)/martlet-test-worker", ["serve"],
                environment: RunningService.settings(of: .crm, on: database).merging([
                    "MARTLET_PORT": String(ports[0]), "MARTLET_ADMIN_PORT": String(ports[1]), "MARTLET_GRACE_SECONDS": "30",
                ]) { $1 },
                logFile: log)
            try process.start()
            let result: Result<Void, any Error>
            do { result = .success(try await Self.stream(from: process, at: ports[0])) } catch { result = .failure(error) }
            await process.stop(signal: SIGKILL)
            try result.get()
        }
    }

    private static func stream(from process: ChildProcess, at port: Int) async throws {
        func upload(_ count: Int) async throws {
            let answer = try await connect(to: port) { iterator, channel in
                var iterator = iterator
                let piece = ByteBuffer(repeating: 0x61, count: 1 << 20)
                try await channel.writeAndFlush(ByteBuffer(string: head("POST", "/v1/probe/upload", length: count << 20)))
                for _ in 0..<count { try await channel.writeAndFlush(piece) }
                return try await read(&iterator, until: "}")
            }
            #expect(answer.contains(#"{"bytes":\#(count << 20),"#), "\(answer)")
        }
        func kilobytes(_ name: String) throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(process.processID)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("\(name):") })
            return try #require(Int(line.filter(\.isNumber)))
        }
        try await eventually("it listens; its log: \(process.output)") { (try? await upload(16)) != nil }
        try "5".write(toFile: "/proc/\(process.processID)/clear_refs", atomically: false, encoding: .utf8)
        let before = try kilobytes("VmRSS")
        try await upload(256)
        let grown = try kilobytes("VmHWM") - before
        #expect(grown < 16 << 10, "\(grown) kB more at the most")

        try await connect(to: port) { iterator, channel in
            var iterator = iterator
            try await channel.writeAndFlush(ByteBuffer(string: head("GET", "/v1/probe/ticks?milliseconds=5", body: .none)))
            _ = try await read(&iterator, until: "tick 2\n")
            async let status = process.stop(signal: SIGTERM)
            let rest = try await read(&iterator, until: "0\r\n\r\n")
            #expect(rest.hasSuffix("0\r\n\r\n"))
            #expect(await status == 0)
        }
    }
}

@Suite struct StreamedRouteTests {
    @Test(arguments: [
        ("POST", "/v1/imports/1/file", true), ("GET", "/v1/imports/1/file", false), ("POST", "/v1/imports/file", false),
        ("POST", "/v1/imports//file", false), ("POST", "/v1/imports/1/file/", false), ("POST", "/v1/imports/1/file/2", false),
        ("POST", "/v1/imports/1", false), ("POST", "v1/imports/1/file", false), ("POST", "", false), ("POST", "/", false),
    ])
    func aRequestIsForARouteOfItsTemplate(method: String, path: String, isOne: Bool) {
        let route = StreamedRoute(.crm, .post, "/v1/imports/{id}/file", .upload(types: ["text/csv"]))
        Array(path.utf8).withUnsafeBytes { #expect(route.matches(method.utf8, $0) == isOne) }
    }

    @Test func thePublicDocumentSaysWhatIsStreamed() {
        let document = OpenAPI.document(routes: Probes.routes)
        let upload = document["paths"]?["/v1/probe/upload"]?["post"]
        #expect(upload?["x-body-limit"] == .number(1 << 30))
        #expect(upload?["requestBody"]?["content"]?["application/octet-stream"] != nil)
        #expect(upload?["responses"]?["408"] != nil && upload?["responses"]?["413"] != nil && upload?["responses"]?["415"] != nil)
        #expect(document["paths"]?["/v1/probe/ticks"]?["get"]?["x-streams"] == true)
    }
}
