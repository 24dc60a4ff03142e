import NIOCore
import Testing

@testable import Gateway

/// What RFC 9113 asks of a server, frame by frame, without sockets.
@Suite struct HTTP2FrameTests {
    @Test(arguments: FrameCase.all) func eachScriptEndsAsTheSectionSays(_ script: FrameCase) {
        var peer = FramePeer(answers: script.answers, opens: script.opens)
        if script.answers {
            for frame in script.frames { peer.send(frame) }
        } else {
            peer.send(script.frames.flatMap(\.self))
        }
        expect(script.outcome, of: peer)
    }

    /// Where frames are cut on their way means nothing; but a request whose reset does not come with it is seen.
    @Test(arguments: FrameCase.all.filter { !$0.answers && $0.frames.joined().count < 1000 })
    func scriptsThatComeByteByByteEndTheSame(_ script: FrameCase) {
        var peer = FramePeer(opens: script.opens)
        peer.sendSlowly(script.frames.flatMap(\.self))
        expect(script.outcome, of: peer, withoutReset: true)
    }

    private func expect(_ outcome: FrameCase.Outcome, of peer: FramePeer, withoutReset: Bool = false) {
        let resets = peer.frames.filter { $0.kind == 3 }.map(\.stream)
        switch outcome {
        case .requests(let count):
            #expect(peer.connectionError == nil && resets.isEmpty)
            let requests = withoutReset ? peer.requests.filter { !$0.isResetByClient } : peer.requests
            #expect(requests.count == count && peer.requests.allSatisfy { $0.reader.fault == nil })
        case .stream(let stream, let codes):
            #expect(peer.connectionError == nil)
            #expect(peer.error(of: stream).map(codes.contains) == true)
        case .connection(let codes):
            #expect(peer.connectionError.map(codes.contains) == true)
            #expect(peer.session.fault != nil)
        case .refused(let stream, let fault):
            #expect(peer.connectionError == nil && resets.isEmpty)
            #expect(peer.requests.first { $0.id == stream }?.reader.fault == fault)
        }
    }

    @Test func settingsAndPingsAreAcknowledged() {
        var peer = FramePeer()
        peer.send(Frame.settings([(4, 1000)]) + Frame.ping("abcdefgh"))
        let answers = peer.frames.filter { $0.flags & 1 == 1 }
        #expect(answers.filter { $0.kind == 4 && $0.payload.isEmpty }.count == 2)
        #expect(answers.filter { $0.kind == 6 }.map(\.payload) == [Array("abcdefgh".utf8)])
    }

    @Test func theFirstFrameIsSettingsWithTheLimits() throws {
        let settings = try #require(FramePeer().frames.first)
        #expect(settings.kind == 4 && settings.flags == 0)
        let entries = stride(from: 0, to: settings.payload.count, by: 6).map {
            [UInt32(settings.payload[$0 + 1]), settings.number(at: $0 + 2)]
        }
        #expect(entries == [[3, 100], [6, 32_768], [9, 1]])
    }
}

/// A request's head as the layers see it, whichever protocol it came by.
@Suite struct HTTP2HeadTests {
    private func read(_ fields: [(String, String)]) -> HTTP2HeadReader {
        var reader = HTTP2HeadReader()
        for (name, value) in fields {
            let (name, value) = (Array(name.utf8), Array(value.utf8))
            let outcome = name.withUnsafeBytes { name in value.withUnsafeBytes { reader.add(name, $0) } }
            #expect(outcome == .goOn)
        }
        let isRequest = reader.finish()
        #expect(isRequest)
        return reader
    }

    private func text(_ slice: Slice, of reader: HTTP2HeadReader) -> String {
        reader.bytes.withUnsafeReadableBytes { $0[slice].text }
    }

    /// Goal: no field means more or less by HTTP/2. Method: the same request by both protocols.
    @Test func aHeadIsReadAsThatOfHTTP1() throws {
        let fields = [
            ("accept", "*/*"), ("authorization", "Bearer a"), ("x-tenant", "acme"), ("martlet-context", "forged"), ("x-user", "1"),
            ("proxy-authorization", "a"), ("x-forwarded-for", "1.2.3.4"), ("content-length", "5"), ("idempotency-key", "k"),
            ("origin", "https://a"), ("x-request-id", "r"), ("if-match", "\"1\""), ("te", "trailers"),
        ]
        let second = read([(":method", "PATCH"), (":scheme", "https"), (":path", "/v1/leads/1?a=%2F"), (":authority", "x:80")] + fields)
        let lines = fields.map { "\($0.0): \($0.1)\r\n" }.joined()
        let first = Array("PATCH /v1/leads/1?a=%2F HTTP/1.1\r\nHost: x:80\r\n\(lines)\r\n".utf8)
        var parser = RequestHeadParser()
        let isWhole = try first.withUnsafeBytes { bytes throws(HeadFault) in try parser.parse(bytes) }
        #expect(isWhole && second.fault == nil)
        let (one, two) = (parser.head, second.head)
        func same(_ path: KeyPath<RequestHead, Slice>) -> Bool {
            first.withUnsafeBytes { $0[one[keyPath: path]].text } == text(two[keyPath: path], of: second)
        }
        #expect(one.method == two.method && one.contentLength == two.contentLength && one.authorizations == two.authorizations)
        #expect(one.hasIdempotencyKey == two.hasIdempotencyKey)
        #expect(same(\.methodName) && same(\.target) && same(\.path) && same(\.host) && same(\.authorization) && same(\.tenant))
        #expect(same(\.requestID) && same(\.origin))
        let forwarded = first.withUnsafeBytes { bytes in one.forwardedFor.map { bytes[$0].text } }
        #expect(!forwarded.isEmpty && forwarded == two.forwardedFor.map { text($0, of: second) })
        let kept = first.withUnsafeBytes { bytes in one.kept.map { bytes[$0].text }.joined() }
        #expect(kept == two.kept.map { text($0, of: second) }.joined())
        #expect(kept == "accept: */*\r\nidempotency-key: k\r\nif-match: \"1\"\r\n")
    }

    @Test func cookiesBecomeOneLine() {
        let reader = read(Frame.get + [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2")])
        #expect(reader.head.kept.map { text($0, of: reader) } == ["accept: */*\r\ncookie: a=1; b=2\r\n"])
    }

    @Test func whatIsRefusedIsReadToItsEndWithoutBeingKept() {
        let reader = read(Frame.get + (0..<900).map { ("a\($0)", String(repeating: "b", count: 200)) })
        #expect(reader.fault == .headersTooLarge)
        #expect(reader.bytes.readableBytes < HeadLimits.headBytes)
    }
}
