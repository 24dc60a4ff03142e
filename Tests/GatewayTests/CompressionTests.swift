import Foundation
import NIOCore
import Testing

@testable import Gateway

@Suite struct CompressionTests {
    // MARK: What is compressed

    @Test func gzipIsTakenFromThoseWhoPreferItToNone() {
        let cases: [(fields: [String], isTaken: Bool)] = [
            ([], false), ([""], false), (["gzip"], true), (["GZIP"], true), (["x-gzip"], true), (["gzip, deflate, br"], true),
            (["br, gzip;q=0.1"], true), (["deflate, br"], false), (["*"], true), (["*;q=0"], false), (["gzip;q=0"], false),
            (["gzip;q=0.000"], false), (["gzip;q=0, *"], false), (["*;q=0, gzip"], true), (["identity"], false), (["identity, gzip"], true),
            (["identity;q=1, gzip;q=0.5"], false), (["identity;q=0.5, gzip;q=0.5"], true), (["identity;q=0"], false),
            (["gzip;q=0.2, *;q=0.8"], false), (["gzip ; q=0.5"], true), (["gzip;Q=1.000"], true), (["deflate", "gzip"], true),
            // What is malformed does not count.
            (["gzip;q=2"], false), (["gzip;q=1.001"], false), (["gzip;q="], false), (["gzip;q=0.1234"], false), (["gzip;level=1"], false),
            (["gzip;q=a"], false), (["gzipped"], false), (["gzip;q=1;q=0"], false), ([",,gzip,"], true),
        ]
        for (fields, isTaken) in cases { #expect(accepted(fields).prefersGzip == isTaken, "\(fields)") }
    }

    @Test func onlyLongTextThatNobodyHasPromisedToLeaveAloneIsCompressed() {
        let json = [("Content-Type", "application/json")]
        let decisions: [(decision: AnswerCompression.Decision, compresses: Bool, varies: Bool)] = [
            (decide(json), true, true),
            (decide(json, length: 1024), true, true),
            (decide(json, length: 1023), false, true),
            (decide(json, length: nil), true, true),
            (decide(json, accept: ["br"]), false, true),
            (decide(json, status: 422), true, true),
            (decide(json, status: 204), false, false),
            (decide(json, status: 206), false, false),
            (decide(json, status: 304), false, false),
            (decide(json, isSecret: true), false, false),
            (decide(json + [("Content-Encoding", "br")]), false, false),
            (decide(json + [("Cache-Control", "private, No-Transform")]), false, false),
            (decide(json + [("Cache-Control", "private, no-cache")]), true, true),
            (decide(json + [("Content-Range", "bytes 0-1/2")]), false, false),
            (decide(json + [("ETag", "\"7\"")]), false, false),
            (decide(json + [("ETag", "W/\"7\"")]), true, true),
            (decide([]), false, false),
        ]
        for (index, (decision, compresses, varies)) in decisions.enumerated() {
            #expect(decision == .init(compresses: compresses, varies: varies), "\(index)")
        }
        for type in [
            "application/problem+json", "text/html; charset=utf-8", "Text/Plain", "text/csv;header=present", "Application/JSON ;a=b",
        ] {
            #expect(decide([("Content-Type", type)]).compresses, "\(type)")
        }
        for type in [
            "text/event-stream", "application/octet-stream", "image/png", "application/gzip", "application/jsonx", "text/cs\u{16}",
        ] {
            #expect(decide([("Content-Type", type)]).compresses == false, "\(type)")
        }
    }

    // MARK: The bytes

    @Test func whatWasCompressedIsWhatGunzipReads() async throws {
        let compression = AnswerCompression()
        let sizes = [[0], [1], [1024], [50_000], [0, 0, 3], [16_384, 16_384, 7], Array(repeating: 1000, count: 40), [2_000_000]]
        for length in [100, nil] {
            for sizes in sizes {
                let content = try #require(compression.begin(length: length))
                var input: [UInt8] = []
                var output = ByteBuffer()
                for (index, size) in sizes.enumerated() {
                    let part = Self.text(size)
                    input += part
                    output.writeImmutableBuffer(part.withUnsafeBytes { content.compress($0, isLast: index == sizes.count - 1) })
                }
                #expect(try await Self.gunzip(output) == input, "\(sizes)")
                if input.count >= 1024 { #expect(output.readableBytes < input.count / 2) }
            }
        }
        // Bytes that cannot be made fewer come through as well.
        var random = SystemRandomNumberGenerator()
        let noise = (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        #expect(try await Self.gunzip(AnswerCompression.compressed(ByteBuffer(bytes: noise))) == noise)
    }

    @Test func aPartOfAnAnswerOfUnknownLengthCanBeReadAtOnce() async throws {
        let compression = AnswerCompression()
        let streamed = try #require(compression.begin(length: nil))
        let first = Self.text(500)
        let output = first.withUnsafeBytes { streamed.compress($0, isLast: false) }
        #expect(try await Self.gunzip(output, isWhole: false) == first)
        // Where all of it comes anyway, small parts wait for one another.
        let counted = try #require(compression.begin(length: 1000))
        #expect(first.withUnsafeBytes { counted.compress($0, isLast: false) }.readableBytes <= 10)
    }

    @Test func compressorsAreLimitedAndComeBackFromAnswersThatEndOrBreakOff() async throws {
        let compression = AnswerCompression()
        let text = Self.text(3000)
        var under: [CompressedContent] = []
        while let content = compression.begin(length: nil) { under.append(content) }
        #expect(under.count == 16)
        // One ends, one breaks off in its middle.
        _ = text.withUnsafeBytes { under[0].compress($0, isLast: true) }
        _ = text.withUnsafeBytes { under[1].compress($0, isLast: false) }
        under.removeSubrange(0...1)
        for _ in 0..<2 {
            let content = try #require(compression.begin(length: text.count))
            // Nothing of the answer before is left.
            let output = text.withUnsafeBytes { content.compress($0, isLast: true) }
            #expect(try await Self.gunzip(output) == text)
            under.append(try #require(compression.begin(length: nil)))
        }
        #expect(compression.begin(length: nil) == nil)
    }

    // MARK: Through the gateway

    @Test func answersGoInGzipToThoseWhoAskForIt() async throws {
        let text = String(decoding: Self.text(20_000), as: UTF8.self)
        let script: @Sendable (TestUpstream.Request) -> TestUpstream.Action = { request in
            #expect(request.header("accept-encoding") == nil)
            switch request.target {
            case "/v1/leads": return .ok(text)
            case "/v1/leads/tagged": return .ok(text, headers: "ETag: \"7\"\r\n")
            case "/v1/contacts":
                let half = text.prefix(10_000)
                let chunk = "\(String(half.utf8.count, radix: 16))\r\n\(half)\r\n"
                return .write("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)0\r\n\r\n")
            case "/v1/accounts":
                // The body comes long after the head.
                return .drip("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n\(text.prefix(3000))")
            default: return .ok()
            }
        }
        try await TestGateway.with(script: script) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                for (target, length) in [("/v1/leads", 20_000), ("/v1/contacts", 20_000), ("/v1/accounts", 3000)] {
                    let coded = try await client.get(target, token: token, headers: "Accept-Encoding: br, gzip\r\n")
                    #expect(coded.header("content-encoding") == "gzip" && coded.header("vary") == "Accept-Encoding", "\(target)")
                    #expect(coded.bytes.count < length / 2)
                    let expected =
                        target == "/v1/contacts"
                        ? Array(text.utf8.prefix(10_000)) + Array(text.utf8.prefix(10_000)) : Array(text.utf8.prefix(length))
                    #expect(try await Self.gunzip(ByteBuffer(bytes: coded.bytes)) == expected, "\(target)")
                    let plain = try await client.get(target, token: token)
                    #expect(plain.header("content-encoding") == nil && plain.header("vary") == "Accept-Encoding" && plain.bytes == expected)
                }
                let whole = try await client.get("/v1/leads", token: token, headers: "Accept-Encoding: gzip\r\n")
                #expect(whole.status == 200)
                let tagged = try await client.get("/v1/leads/tagged", token: token, headers: "Accept-Encoding: gzip\r\n")
                #expect(tagged.header("etag") == "\"7\"" && tagged.header("content-encoding") == nil && tagged.header("vary") == nil)
                let small = try await client.get("/v1/deals", token: token, headers: "Accept-Encoding: gzip\r\n")
                #expect(small.body == "{}" && small.header("content-encoding") == nil)
                try await client.send(
                    "HEAD /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nAccept-Encoding: gzip\r\n\r\n")
                let head = try await client.answer(hasBody: false)
                #expect(head.status == 200 && head.header("content-encoding") == "gzip" && head.header("content-length") == nil)
                // The connection goes on behind it.
                #expect(try await client.get("/v1/deals", token: token).body == "{}")
                let page = try await client.get("/docs", headers: "Accept-Encoding: gzip\r\n")
                let plainPage = try await client.get("/docs")
                #expect(page.header("content-encoding") == "gzip" && plainPage.header("vary") == "Accept-Encoding")
                #expect(try await Self.gunzip(ByteBuffer(bytes: page.bytes)) == plainPage.bytes)
            }
        }
        try await TestGateway.with(configure: { $0.compresses = false }, script: script) { gateway async throws in
            let plain = try await gateway.get("/v1/leads", token: gateway.key.token(), headers: "Accept-Encoding: gzip\r\n")
            #expect(plain.body == text && plain.header("content-encoding") == nil && plain.header("vary") == nil)
        }
    }

    @Test func answersWithTokensAreNotCompressed() async throws {
        let text = String(decoding: Self.text(5000), as: UTF8.self)
        try await TestGateway.with(script: { _ in .ok(text) }) { gateway async throws in
            for target in AnswerCompression.secretPaths.sorted() {
                let answer = try await gateway.get(target, token: gateway.key.token(), headers: "Accept-Encoding: gzip\r\n")
                #expect(answer.body == text && answer.header("content-encoding") == nil && answer.header("vary") == nil, "\(target)")
            }
        }
    }

    // MARK: Tools

    private func accepted(_ fields: [String]) -> AcceptedCodings {
        var accepted = AcceptedCodings()
        for field in fields {
            let text = Array("x\(field)y".utf8)
            text.withUnsafeBytes { accepted.note(1..<text.count - 1, $0) }
        }
        return accepted
    }

    private func decide(
        _ fields: [(name: String, value: String)], status: Int = 200, length: Int? = 5000, accept: [String] = ["gzip"],
        isSecret: Bool = false
    ) -> AnswerCompression.Decision {
        var content = AnswerContent()
        for (name, value) in fields {
            let line = Array("\(name):\(value)".utf8)
            line.withUnsafeBytes { bytes in
                let nameBytes = UnsafeRawBufferPointer(rebasing: bytes[..<name.utf8.count])
                content.note(nameBytes, name.utf8.count + 1..<line.count, bytes)
            }
        }
        return AnswerCompression.decide(status: status, length: length, content: content, accepted: accepted(accept), isSecret: isSecret)
    }

    /// Like JSON: much the same, again and again.
    private static func text(_ count: Int) -> [UInt8] {
        var text: [UInt8] = []
        var number = 0
        while text.count < count {
            text += Array(#"{"id":\#(number * 7919 % 100_003),"name":"Lead \#(number)","status":"new"},"#.utf8)
            number += 1
        }
        return Array(text[..<count])
    }

    private static func gunzip(_ content: ByteBuffer, isWhole: Bool = true) async throws -> [UInt8] {
        let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID())")
        defer { try? FileManager.default.removeItem(at: path) }
        try Data(content.readableBytesView).write(to: path)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["gunzip"]
        let output = Pipe()
        process.standardInput = try FileHandle(forReadingFrom: path)
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let bytes = [UInt8](output.fileHandleForReading.readDataToEndOfFile())
        process.waitUntilExit()
        #expect((process.terminationStatus == 0) == isWhole)
        return bytes
    }
}
