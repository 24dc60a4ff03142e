import Core
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import Gateway

/// HTTP/2 through a whole gateway, on real sockets.
@Suite struct HTTP2ConnectionTests {
    private func get(_ path: String, token: String? = nil) -> [(String, String)] {
        [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "test")]
            + (token.map { [("authorization", "Bearer \($0)")] } ?? [])
    }

    private func post(_ path: String, token: String) -> [(String, String)] {
        [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"), ("authorization", "Bearer \(token)")]
    }

    private func metric(_ line: String, _ gateway: TestGateway) async throws -> Int {
        let text = try await gateway.admin("/metrics").body
        return Int(text.split(separator: "\n").first { $0.hasPrefix(line + " ") }?.split(separator: " ").last ?? "") ?? -1
    }

    @Test func aRequestGoesToItsServiceAndBack() async throws {
        try await TestGateway.with(script: { _ in .ok("{\"a\":1}", headers: "ETag: \"1\"\r\nX-Request-Id: no\r\n") }) {
            gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                try await client.send(Frame.headers(1, get("/v1/leads?limit=2", token: gateway.key.token()) + [("accept", "*/*")]))
                let answer = try await client.answer(on: 1)
                #expect(answer.status == "200" && answer.text == "{\"a\":1}" && answer.field("etag") == "\"1\"")
                #expect(answer.field("content-length") == "7" && answer.field("x-request-id") != "no")
                #expect(answer.field("transfer-encoding") == nil && answer.field("connection") == nil)
            }
            let request = try #require(gateway.upstream.requests.first)
            #expect(request.method == "GET" && request.target == "/v1/leads?limit=2" && request.header("accept") == "*/*")
            #expect(request.header("martlet-context") != nil && request.header("authorization") == nil)
            // The same port speaks HTTP/1.
            #expect(try await gateway.get("/v1/plans").status == 200)
        }
    }

    @Test func aPrefaceMayComeInPieces() async throws {
        try await TestGateway.with { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                for byte in Frame.preface + Frame.settings() + Frame.ping() { try await client.send(bytes: [byte]) }
                try await client.send(bytes: Frame.goAway())
                #expect(try await client.rest().contains("12345678"))
            }
            // Nor is what begins like it, and goes on otherwise.
            #expect(try await gateway.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").status == 400)
        }
    }

    @Test func aBodyComesWholeAndWithItsLength() async throws {
        try await TestGateway.with(script: { .ok("\($0.body.count)") }) { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                let token = gateway.key.token()
                try await client.send(Frame.headers(1, post("/v1/leads", token: token), ends: false))
                for sent in 1...60 {
                    try await client.waitForRoom(of: 1, sent: sent * 10_000)
                    try await client.send(Frame.data(1, [UInt8](repeating: 0x61, count: 10_000), ends: sent == 60))
                }
                #expect(try await client.answer(on: 1).text == "600000")
            }
            #expect(gateway.upstream.requests.first?.header("content-length") == "600000")
        }
    }

    @Test func streamsAreServedSideBySide() async throws {
        try await TestGateway.with(script: { $0.target == "/v1/leads" ? .hold : .ok("quick") }) { gateway async throws in
            let token = gateway.key.token()
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                for index in 0..<20 { try await client.send(Frame.headers(UInt32(2 * index + 1), get("/v1/leads", token: token))) }
                var holds = gateway.upstream.holds.makeAsyncIterator()
                for _ in 0..<20 { await holds.next() }
                try await client.send(Frame.headers(41, get("/v1/plans")))
                #expect(try await client.answer(on: 41).text == "quick")
                gateway.upstream.answerHeld("slow")
                for index in 0..<20 { #expect(try await client.answer(on: UInt32(2 * index + 1)).text == "slow") }
            }
        }
    }

    @Test func refusedRequestsEndNoOther() async throws {
        try await TestGateway.with { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                try await client.send(Frame.headers(1, get("/v1/../x")))
                let refused = try await client.answer(on: 1)
                #expect(refused.status == "400" && refused.field("content-type") == "application/problem+json")
                try await client.send(Frame.headers(3, get("/v1/plans") + [("connection", "close")]))
                let reset = try await client.first { $0.kind == 3 && $0.stream == 3 }
                #expect(reset.number(at: 0) == HTTP2ErrorCode.protocolError.rawValue)
                // Answered by its head; the body that follows is dropped.
                try await client.send(Frame.headers(5, post("/v1/leads", token: "wrong"), ends: false))
                #expect(try await client.answer(on: 5).status == "401")
                try await client.send(Frame.data(5, "{}", ends: true) + Frame.headers(7, get("/v1/plans")))
                #expect(try await client.answer(on: 7).status == "200")
                #expect(!client.frames.contains { $0.kind == 3 && $0.stream == 5 })
            }
            #expect(gateway.upstream.requests.map(\.target) == ["/v1/plans"])
        }
    }

    /// Goal: a large answer takes no more memory than the client leaves room for. Method: a window that is opened late.
    @Test func anAnswerComesAsFastAsTheClientTakesIt() async throws {
        let body = String(repeating: "0123456789abcdef", count: 200_000)
        try await TestGateway.with(script: { _ in .ok(body) }) { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port, settings: [(1, 0), (4, 1000)]) { client async throws in
                try await client.send(Frame.headers(1, get("/v1/plans")))
                _ = try await client.first { $0.kind == 0 }
                // The rest is with the service still, but for what lies in buffers.
                #expect(try await metric("martlet_gateway_answers_bytes", gateway) < 1_000_000)
                try await client.send(Frame.windowUpdate(1, 10_000_000) + Frame.windowUpdate(0, 10_000_000))
                let answer = try await client.answer(on: 1)
                #expect(answer.text == body)
            }
            try await eventually("nothing is held") { try await metric("martlet_gateway_answers_bytes", gateway) == 0 }
        }
    }

    @Test func anAnswerThatBreaksOffDoesNotLookWhole() async throws {
        try await TestGateway.with(script: { _ in .writeAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }) {
            gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                try await client.send(Frame.headers(1, get("/v1/plans")))
                let reset = try await client.first { $0.kind == 3 && $0.stream == 1 }
                #expect(reset.number(at: 0) == HTTP2ErrorCode.internalError.rawValue)
                #expect(!client.frames.contains { $0.endsStream })
            }
        }
    }

    /// Goal: a stop loses nothing. Method: a request before, one that was on its way when the client was told, and one after.
    @Test func aStopServesWhatTheClientBegan() async throws {
        try await TestGateway.with(script: { _ in .hold }) { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                var holds = gateway.upstream.holds.makeAsyncIterator()
                try await client.send(Frame.headers(1, get("/v1/plans")))
                await holds.next()
                await gateway.stop()
                let notice = try await client.first { $0.kind == 7 }
                #expect(notice.number(at: 0) == 0x7FFF_FFFF && notice.number(at: 4) == 0)
                try await client.send(Frame.headers(3, get("/v1/plans")))
                await holds.next()
                let ping = try await client.first { $0.kind == 6 && $0.flags == 0 }
                try await client.send(Frame.raw(6, flags: 1, stream: 0, ping.payload))
                let last = try await client.first { $0.kind == 7 && $0.number(at: 0) != 0x7FFF_FFFF }
                #expect(last.number(at: 0) == 3)
                gateway.upstream.answerHeld("whole")
                #expect(try await client.answer(on: 1).text == "whole")
                #expect(try await client.answer(on: 3).text == "whole")
                try await client.end()
            }
        }
    }

    @Test func anIdleConnectionIsToldAndEnds() async throws {
        try await TestGateway.with(configure: { $0.keepAlive = .milliseconds(100) }) { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                try await client.send(Frame.headers(1, get("/v1/plans")))
                #expect(try await client.answer(on: 1).status == "200")
                try await client.end()
                #expect(client.frames.last { $0.kind == 7 }?.number(at: 0) == 1)
            }
        }
    }

    @Test func aRequestThatIsTakenBackIsTakenBackFromTheService() async throws {
        try await TestGateway.with(script: { _ in .hold }) { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { client async throws in
                var holds = gateway.upstream.holds.makeAsyncIterator()
                try await client.send(Frame.headers(1, get("/v1/plans")))
                await holds.next()
                try await client.send(Frame.reset(1))
                try await eventually("nothing is under way") { try await metric("martlet_gateway_in_flight", gateway) == 0 }
            }
        }
    }

    /// Goal: an attacker loses the connection, and nobody else anything.
    @Test func anAttackEndsItsConnectionAndIsCounted() async throws {
        try await TestGateway.with { gateway async throws in
            try await HTTP2Client.connect(port: gateway.port) { other async throws in
                try await HTTP2Client.connect(port: gateway.port) { client async throws in
                    var rapid: [UInt8] = []
                    for stream in stride(from: UInt32(1), to: 1000, by: 2) {
                        rapid += Frame.headers(stream, get("/v1/plans")) + Frame.reset(stream)
                    }
                    try await client.send(rapid)
                    let end = try await client.first { $0.kind == 7 }
                    #expect(end.number(at: 4) == HTTP2ErrorCode.enhanceYourCalm.rawValue)
                    try await client.end()
                }
                #expect(try await metric("martlet_gateway_http2_ended_total{reason=\"resets\"}", gateway) == 1)
                try await other.send(Frame.headers(1, get("/v1/plans")))
                #expect(try await other.answer(on: 1).status == "200")
            }
        }
    }

    // MARK: Clients that others wrote

    @Test func curlSpeaksWithIt() async throws {
        try await TestGateway.with(script: { .ok("\($0.method) \($0.body.count)") }) { gateway async throws in
            let token = gateway.key.token()
            func curl(_ arguments: String...) async throws -> String {
                try await ChildProcess.run(
                    "/usr/bin/curl",
                    [
                        "--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "20", "--write-out",
                        " %{http_version} %{http_code}",
                        "--header", "Authorization: Bearer \(token)",
                    ] + arguments)
            }
            let url = "http://127.0.0.1:\(gateway.port)/v1/leads"
            #expect(try await curl(url) == "GET 0 2 200")
            #expect(
                try await curl("--request", "PATCH", "--data-binary", String(repeating: "a", count: 100_000), url) == "PATCH 100000 2 200")
            #expect(
                try await curl("--header", "Expect: 100-continue", "--expect100-timeout", "20", "--data-binary", "ab", url)
                    == "POST 2 2 200")
            #expect(try await curl("--head", url).hasSuffix(" 2 200"))
            #expect(try await curl("http://127.0.0.1:\(gateway.port)/v1/nothing").hasSuffix(" 2 404"))
        }
    }

    @Test func h2loadLosesNothing() async throws {
        try await TestGateway.with(script: { _ in .ok(String(repeating: "a", count: 20_000)) }) { gateway async throws in
            let output = try await ChildProcess.run(
                "/usr/bin/h2load",
                [
                    "--requests=1000", "--clients=4", "--max-concurrent-streams=20",
                    "--header=authorization: Bearer \(gateway.key.token())",
                    "http://127.0.0.1:\(gateway.port)/v1/leads",
                ])
            #expect(output.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"))
            #expect(output.contains("1000 2xx"))
        }
    }

    @Test func whoeverAgreesOnItInTLSSpeaksIt() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: { $0.certificateFiles = certificate.files }) { gateway async throws in
                for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                    let output = try await ChildProcess.run(
                        "/usr/bin/curl",
                        [
                            "--silent", "--show-error", option, "--max-time", "20", "--cacert", certificate.files.certificate,
                            "--write-out",
                            " %{http_version} %{http_code}", "https://localhost:\(gateway.port)/v1/plans",
                        ])
                    #expect(output == "{} \(version) 200")
                }
                // In TLS the protocol is agreed on before; a preface is no request.
                let tls = try certificate.client(protocols: ["http/1.1"])
                try await TestClient.connect(port: gateway.port, tls: tls) { client async throws in
                    try await client.send(bytes: Frame.preface)
                    #expect(try await client.answer().status == 400)
                }
            }
        }
    }
}
