import CRM
import Contracts
import Core
import Crypto
import NIOCore
import Operations
import ServiceRuntime
import TestProbes
import TestSupport
import Testing

@testable import Gateway

/// Bodies that go on to their service as they come.
@Suite struct UploadTests {
    private static let routes = RouteTable(streamed: [
        StreamedRoute(.crm, .post, "/v1/imports/{id}/file", .upload(types: ["text/csv"])),
        StreamedRoute(.crm, .post, "/v1/imports/{id}/small", .upload(types: ["text/csv"], limit: 200_000)),
    ])

    /// A gateway before a crm that the test plays.
    private static func run(
        pauses: Bool = false, configure: (inout GatewayConfiguration) -> Void = { _ in },
        _ body: (TestGateway, StreamUpstream) async throws -> Void
    ) async throws {
        let crm = StreamUpstream(pauses: pauses)
        let port = try await crm.start()
        let result: Result<Void, any Error>
        do {
            try await TestGateway.with(configure: {
                $0.eventLoops = 1
                $0.routes = routes
                $0.upstreams[.crm] = [UpstreamAddress(host: "127.0.0.1", port: port)]
                configure(&$0)
            }) { try await body($0, crm) }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await crm.stop()
        try result.get()
    }

    /// - Parameter length: `nil` for chunks.
    private static func head(_ gateway: TestGateway, length: Int?, path: String = "/v1/imports/1/file", fields: String = "") -> String {
        let framing = length.map { "Content-Length: \($0)" } ?? "Transfer-Encoding: chunked"
        return "POST \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n\(fields)\(framing)\r\n\r\n"
    }

    private static func heldBytes(_ gateway: TestGateway) async throws -> Int {
        let line = try await gateway.admin("/metrics").body.split(separator: "\n").first { $0.hasPrefix("martlet_gateway_bodies_bytes ") }
        return Int(line?.split(separator: " ").last ?? "") ?? -1
    }

    /// Waits until nothing more goes out.
    ///
    /// - Returns: Bytes that are still with the client.
    private static func standing(_ client: TestClient) async throws -> Int {
        var (last, steady) = (0, 0)
        try await eventually("the client stands", every: .milliseconds(10)) {
            let unsent = try await client.unsentBytes
            steady = unsent == last && unsent > 0 ? steady + 1 : 0
            last = unsent
            return steady == 10
        }
        return last
    }

    private static let large = String(repeating: "x", count: 100_000)

    /// Goal: a large body is in memory only in part, and its client is as fast as its service. Method: a service that reads nothing at first;
    /// what is sent stays with the client.
    @Test(arguments: [true, false]) func aServiceThatTakesSlowlySlowsTheClientDown(hasLength: Bool) async throws {
        try await Self.run(pauses: true) { gateway, crm async throws in
            let (size, count) = (1 << 18, 256)
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: hasLength ? size * count : nil))
                let part = [UInt8](repeating: 0x61, count: size)
                let framed = ByteBuffer(bytes: hasLength ? part : Array("40000\r\n".utf8) + part + Array("\r\n".utf8))
                client.push(framed, times: count)
                if !hasLength { client.push(ByteBuffer(string: "0\r\n\r\n"), times: 1) }
                let peer = try await crm.next()
                #expect(peer.head.contains(hasLength ? "\r\nContent-Length: \(size * count)" : "\r\nTransfer-Encoding: chunked"))
                #expect(try await Self.standing(client) > 32 << 20)
                let held = try await Self.heldBytes(gateway)
                #expect(held > 0 && held < 1 << 19)
                try await peer.resume()
                try await eventually("all has come", every: .milliseconds(5)) { peer.bodyBytes >= size * count }
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                #expect(try await client.answer().body == "{}")
                #expect(try await Self.heldBytes(gateway) == 0)
                // The connection serves on.
                #expect(try await client.get("/v1/plans").status == 200)
            }
        }
    }

    @Test func aSmallUploadGoesAsOnePieceAndIsSignedAsAStream() async throws {
        try await Self.run { gateway, crm async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: nil) + "3\r\nabc\r\n")
                try await client.send("2\r\nde\r\n0\r\n\r\n")
                let peer = try await crm.next()
                try await eventually("the body is there", every: .milliseconds(2)) { peer.bodyBytes == 5 }
                #expect(peer.head.contains("\r\nContent-Length: 5"))
                let context = try #require(peer.head.split(separator: "\r\n").first { $0.hasPrefix("Martlet-Context: ") })
                #expect(context.split(separator: ";", omittingEmptySubsequences: false).dropLast().last == "-")
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                #expect(try await client.answer().status == 200)
            }
        }
    }

    @Test func aBodyBeyondTheRoutesLimitIsRefusedByItsLengthAndWhileItComes() async throws {
        try await Self.run { gateway, crm async throws in
            #expect(try await gateway.send(Self.head(gateway, length: 200_001, path: "/v1/imports/1/small")).status == 413)
            // The limit of other bodies is not that of the route.
            #expect(try await gateway.send(Self.head(gateway, length: 2 << 20, path: "/v1/imports/1/other")).status == 413)
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: nil, path: "/v1/imports/1/small"))
                try await client.send("186a0\r\n\(Self.large)\r\n")
                let peer = try await crm.next()
                try await client.send("186a1\r\n\(Self.large)x\r\n0\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 413 && answer.body.contains("200000 bytes"))
                try await eventually("the service is told", every: .milliseconds(2)) { peer.isClosed }
            }
        }
    }

    /// Goal: a client below the floor holds neither memory nor a place for long. Method: one that stops before its place is taken, and one that
    /// stops afterwards.
    @Test(arguments: [10, 100_000]) func aClientThatIsTooSlowIsToldSo(sent: Int) async throws {
        try await Self.run(configure: {
            $0.uploadFloor = 1 << 30
            $0.uploadPatience = .milliseconds(500)
        }) { gateway, crm async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: 1_000_000) + String(repeating: "x", count: sent))
                let answer = try await client.answer()
                #expect(answer.status == 408 && answer.body.contains("request_timeout") && answer.header("connection") == "close")
            }
            if sent > StreamedBody.enough {
                let peer = try await crm.next()
                try await eventually("the service is told", every: .milliseconds(2)) { peer.isClosed }
            }
            #expect(try await Self.heldBytes(gateway) == 0)
        }
    }

    @Test func anAnswerThatComesEarlyIsRelayed() async throws {
        try await Self.run { gateway, crm async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: 64 << 20) + Self.large)
                let peer = try await crm.next()
                peer.write("HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
                let answer = try await client.answer()
                #expect(answer.status == 422 && answer.body == "no" && answer.header("connection") == "close")
                // Its request is not whole, so the connection serves no other.
                try await eventually("the connection to the service ends", every: .milliseconds(2)) { peer.isClosed }
            }
        }
    }

    /// A client that writes all before it reads would wait for ever, if nobody took what is no longer wanted.
    @Test func whileAnEarlyAnswerComesTheRestOfTheBodyIsDropped() async throws {
        try await Self.run(pauses: true) { gateway, crm async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: 64 << 20))
                client.push(ByteBuffer(repeating: 0x61, count: 1 << 18), times: 200)
                let peer = try await crm.next()
                // The service reads nothing, so the client is held back when the answer comes.
                _ = try await Self.standing(client)
                peer.write("HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nn\r\n")
                try await eventually("the rest is read", every: .milliseconds(5)) { try await client.unsentBytes == 0 }
                peer.write("1\r\no\r\n0\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 422 && answer.body == "no" && answer.header("connection") == "close")
            }
        }
    }

    @Test func aClientThatGoesEndsItsUpload() async throws {
        try await Self.run { gateway, crm async throws in
            let peer = try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: 1_000_000) + Self.large)
                return try await crm.next()
            }
            try await eventually("the service is told", every: .milliseconds(2)) { peer.isClosed }
            #expect(try await Self.heldBytes(gateway) == 0)
        }
    }

    /// Nothing of what has gone on is kept, so whatever the client allows it is not sent again.
    @Test func aServiceThatGoesIsAnErrorAndNoSecondAttempt() async throws {
        try await Self.run { gateway, crm async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(gateway, length: 1_000_000, fields: "Idempotency-Key: \"1\"\r\n") + Self.large)
                try await crm.next().close()
                let answer = try await client.answer()
                #expect(answer.status == 503 && answer.body.contains("upstream_unavailable") && answer.header("connection") == "close")
            }
            #expect(try await gateway.admin("/metrics").body.contains("\nmartlet_gateway_retries_total 0\n"))
        }
    }

    /// Goal: nobody sends a gigabyte for nothing. Method: a service that is there, one that is not, and a tenant that has all its places.
    @Test func aClientThatWaitsIsAskedForItsBodyOnlyWhenThePlaceIsInHand() async throws {
        try await Self.run { gateway, crm async throws in
            let token = gateway.key.token()
            let head = "POST /v1/imports/1/file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nExpect: 100-continue\r\n"
            try await TestClient.connect(port: gateway.port) { first async throws in
                try await first.send(head + "Content-Length: 3\r\n\r\n")
                let peer = try await crm.next()
                #expect(try await first.answer().status == 100)
                try await first.send("abc")
                try await eventually("the body goes on", every: .milliseconds(2)) { peer.bodyBytes == 3 }
                try await TestClient.connect(port: gateway.port) { second async throws in
                    try await second.send(head + "Transfer-Encoding: chunked\r\n\r\n")
                    _ = try await crm.next()
                    #expect(try await second.answer().status == 100)
                    #expect(try await gateway.send(head + "Content-Length: 3\r\n\r\n").status == 429)
                }
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                #expect(try await first.answer().status == 200)
            }
        }
        try await Self.run(configure: { $0.upstreams[.crm] = [UpstreamAddress(host: "127.0.0.1", port: 1)] }) { gateway, _ async throws in
            let head = Self.head(gateway, length: 3, fields: "Expect: 100-continue\r\n")
            #expect(try await gateway.send(head).status == 503)
        }
    }

    /// Goal: what a service gets is what was sent, and it believes the context. Method: a real service that counts and hashes, and each
    /// protocol's framing; then a stream of it.
    @Test func aRealServiceTakesUploadsOfAllFramings() async throws {
        var definition = CRM.definition
        definition.build = { _ in ServiceParts(routes: Probes.routes) }
        try await TestDatabase.run([definition]) { [definition] database in
            try await RunningService.run(definition, on: database) { service in
                try await TestGateway.with(configure: {
                    $0.routes = RouteTable(adding: [(.crm, ["/v1/probe"])], streamed: Probes.streamedRoutes(of: .crm))
                    $0.upstreams[.crm] = [UpstreamAddress(host: "127.0.0.1", port: service.port)]
                }) { try await Self.upload(to: $0) }
            }
        }
    }

    private static func upload(to gateway: TestGateway) async throws {
        let (size, count) = (1 << 18, 16)
        let part = (0..<size).map { UInt8(truncatingIfNeeded: $0 / 7) }
        var hash = SHA256()
        for _ in 0..<count { hash.update(data: part) }
        let expected = #"{"bytes":\#(size * count),"sha256":"\#(Hex.encode(hash.finalize()))"}"#
        let type = "Content-Type: application/octet-stream\r\n"
        try await TestClient.connect(port: gateway.port) { client async throws in
            for hasLength in [true, false] {
                try await client.send(head(gateway, length: hasLength ? size * count : nil, path: "/v1/probe/upload", fields: type))
                let framed = ByteBuffer(bytes: hasLength ? part : Array("40000\r\n".utf8) + part + Array("\r\n".utf8))
                client.push(framed, times: count)
                if !hasLength { client.push(ByteBuffer(string: "0\r\n\r\n"), times: 1) }
                #expect(try await client.answer().body == expected)
            }
            let ticks = try await client.get("/v1/probe/ticks?milliseconds=1&count=3", token: gateway.key.token())
            #expect(ticks.body == "tick 1\ntick 2\ntick 3\n")
        }
        try await HTTP2Client.connect(port: gateway.port) { client async throws in
            let fields = [
                (":method", "POST"), (":scheme", "http"), (":path", "/v1/probe/upload"), (":authority", "test"),
                ("authorization", "Bearer \(gateway.key.token())"), ("content-type", "application/octet-stream"),
            ]
            try await client.send(Frame.headers(1, fields, ends: false))
            var sent = 0
            while sent < size * count {
                let length = 1 << 14
                try await client.waitForRoom(of: 1, sent: sent + length)
                let start = sent % size
                sent += length
                try await client.send(Frame.data(1, Array(part[start..<start + length]), ends: sent == size * count))
            }
            #expect(try await client.answer(on: 1).text == expected)
        }
    }
}

/// Answers that go on for as long as somebody takes them.
@Suite struct OpenAnswerTests {
    private static let routes = RouteTable(streamed: [StreamedRoute(.activity, .get, "/v1/stream", .answer)])
    private static let begin = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n"

    private static func run(
        configure: @escaping (inout GatewayConfiguration) -> Void = { _ in }, _ body: (TestGateway) async throws -> Void
    ) async throws {
        try await TestGateway.with(
            configure: {
                $0.eventLoops = 1
                $0.routes = routes
                configure(&$0)
            }, script: { $0.target.hasPrefix("/v1/stream") ? .write(begin) : .ok() }, body)
    }

    private static func head(_ token: String, method: String = "GET", version: String = "1.1", fields: String = "") -> String {
        "\(method) /v1/stream HTTP/\(version)\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\(fields)\r\n"
    }

    /// Goal: who only listens keeps nobody from working. Method: two places for ordinary requests, and as many streams as a tenant may have.
    @Test func openStreamsTakeNoPlaceOfOtherRequestsAndATenantHasOnlySoMany() async throws {
        try await Self.run(configure: {
            $0.upstreamConnectionLimit = 2
            $0.inFlightLimit = 4
        }) { gateway async throws in
            let token = gateway.key.token()
            let count = 32
            let (begun, beginning) = AsyncStream<Void>.makeStream()
            let (end, ending) = AsyncStream<Void>.makeStream()
            var waiting = begun.makeAsyncIterator()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<count {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send(Self.head(token))
                            var text = ""
                            while !text.hasSuffix("6\r\n: hi\n\n\r\n") { text += try await client.text(of: 1) }
                            beginning.yield()
                            for await _ in end {}
                        }
                    }
                    _ = await waiting.next()
                }
                #expect(try await gateway.send(Self.head(token)).status == 429)
                #expect(try await gateway.get("/v1/activities", token: token).status == 200)
                let metrics = try await gateway.admin("/metrics").body
                #expect(metrics.contains("\nmartlet_gateway_open_streams \(count)\n"))
                #expect(metrics.contains("lane=\"stream\"} \(count)\n"))
                ending.finish()
                try await group.waitForAll()
            }
            try await eventually("they have ended", every: .milliseconds(5)) {
                try await gateway.admin("/metrics").body.contains("\nmartlet_gateway_open_streams 0\n")
            }
        }
    }

    /// A client that asks for compression gets each event as it is: in a compressor it would wait for more.
    @Test func aStreamIsNotCompressedAndItsHeadAloneEnds() async throws {
        try await Self.run { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(Self.head(token, method: "HEAD"))
                #expect(try await client.answer(hasBody: false).status == 200)
                try await client.send(Self.head(token, fields: "Accept-Encoding: gzip\r\n"))
                let answer = try await client.answer(hasBody: false)
                #expect(answer.status == 200 && answer.header("content-encoding") == nil)
                #expect(try await client.text(of: 11) == "6\r\n: hi\n\n\r\n")
            }
        }
    }

    /// Goal: a stop waits for no stream, and none looks broken off. Method: one of each protocol is open at a stop; then each ends as if it
    /// were whole, long before the grace is over.
    @Test func aStopEndsStreamsAsWholeOnes() async throws {
        try await Self.run(configure: { $0.grace = .seconds(60) }) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { newer async throws in
                try await newer.send(Self.head(token))
                _ = try await newer.answer(hasBody: false)
                try await TestClient.connect(port: gateway.port) { older async throws in
                    try await older.send(Self.head(token, version: "1.0"))
                    _ = try await older.answer(hasBody: false)
                    try await HTTP2Client.connect(port: gateway.port) { second async throws in
                        let fields = [
                            (":method", "GET"), (":scheme", "http"), (":path", "/v1/stream"), (":authority", "test"),
                            ("authorization", "Bearer \(token)"),
                        ]
                        try await second.send(Frame.headers(1, fields))
                        _ = try await second.first { $0.kind == 0 }
                        await gateway.stop()
                        #expect(try await second.answer(on: 1).text == ": hi\n\n")
                        #expect(try await newer.rest().hasSuffix("6\r\n: hi\n\n\r\n0\r\n\r\n"))
                        #expect(try await older.rest().hasSuffix(": hi\n\n"))
                    }
                }
            }
        }
    }
}

@Suite struct SpeedFloorTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test func whoeverIsFasterIsNeverLate() {
        var floor = SpeedFloor(bytesPerSecond: 1000, patience: .seconds(10))
        floor.goOn(now: start)
        for second in 1...100 {
            let now = start + .seconds(Int64(second))
            floor.received(1100, now: now)
            #expect(floor.deadline == now + .seconds(10))
        }
        // What came faster before is no credit.
        #expect(floor.deadline == start + .seconds(110))
    }

    @Test func whoeverIsSlowerIsLateSooner() {
        var floor = SpeedFloor(bytesPerSecond: 16_384, patience: .seconds(10))
        floor.goOn(now: start)
        var now = start
        while now < floor.deadline {
            now = now + .seconds(1)
            floor.received(1024, now: now)
        }
        // 10 s, and a sixteenth of each second that it took.
        #expect(now - start == .seconds(11))
    }

    @Test func timeInWhichTheBodyIsHeldBackDoesNotCount() {
        var floor = SpeedFloor(bytesPerSecond: 1000, patience: .seconds(10))
        #expect(floor.deadline == .distantFuture)
        floor.goOn(now: start)
        floor.hold(now: start + .seconds(4))
        floor.hold(now: start + .seconds(5))
        #expect(floor.deadline == .distantFuture)
        // What is on its way still counts.
        floor.received(1000, now: start + .seconds(60))
        floor.goOn(now: start + .seconds(100))
        #expect(floor.deadline == start + .seconds(107))
    }
}
