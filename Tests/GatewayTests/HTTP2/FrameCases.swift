@testable import Gateway

/// One script of frames and what must come of it, by the section of RFC 9113 that asks for it.
struct FrameCase: Sendable, CustomStringConvertible {
    enum Outcome: Equatable {
        /// No error; so many requests have come.
        case requests(Int)
        /// The stream ends, by any of the codes, and the connection does not.
        case stream(UInt32, [HTTP2ErrorCode])
        /// The connection ends, by any of the codes.
        case connection([HTTP2ErrorCode])
        /// The stream's request is refused with an answer.
        case refused(UInt32, HeadFault)
    }

    var description: String
    var frames: [[UInt8]]
    var outcome: Outcome
    /// Whether requests are answered as they come, before more is sent.
    var answers = false
    /// Whether the preface and SETTINGS are sent first.
    var opens = true

    init(_ description: String, _ frames: [[UInt8]], _ outcome: Outcome, answers: Bool = false, opens: Bool = true) {
        self.description = description
        self.frames = frames
        self.outcome = outcome
        self.answers = answers
        self.opens = opens
    }

    private static func with(_ name: String, _ value: String, in fields: [(String, String)] = Frame.get) -> [[UInt8]] {
        [Frame.headers(1, fields + [(name, value)])]
    }

    private static func without(_ name: String) -> [[UInt8]] { [Frame.headers(1, Frame.get.filter { $0.0 != name })] }

    private static func replacing(_ name: String, _ value: String) -> [[UInt8]] {
        [Frame.headers(1, Frame.get.map { $0.0 == name ? (name, value) : $0 })]
    }

    private static let open = [Frame.headers(1, Frame.post, ends: false)]
    private static let large = [UInt8](repeating: 0x61, count: 16_384)
    private static let malformed = Outcome.stream(1, [.protocolError])

    static let all = connection + frames + states + headBlocks + dataFrames + otherFrames + windows + fields + pseudoFields + messages

    static let connection: [FrameCase] = [
        .init("3.4 another preface", [Array("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".utf8)], .connection([.protocolError]), opens: false),
        .init("3.4 no SETTINGS after the preface", [Frame.preface, Frame.headers(1)], .connection([.protocolError]), opens: false),
        .init("3.4 an acknowledgement as first SETTINGS", [Frame.preface, Frame.settingsAck], .connection([.protocolError]), opens: false),
        .init(
            "3.4 requests before the gateway's SETTINGS came", [Frame.preface, Frame.settings(), Frame.headers(1)], .requests(1),
            opens: false),
    ]

    static let frames: [FrameCase] = [
        .init("4.1 a frame of an unknown kind", [Frame.raw(0xEE, flags: 0xFF, stream: 0, [1, 2, 3]), Frame.headers(1)], .requests(1)),
        .init(
            "4.1 flags that mean nothing", [Frame.raw(6, flags: 0x16, stream: 0, Array("12345678".utf8)), Frame.headers(1)], .requests(1)),
        .init("4.1 the reserved bit", [Frame.raw(6, stream: 0x8000_0000, Array("12345678".utf8)), Frame.headers(1)], .requests(1)),
        .init("4.2 DATA of the largest size", [Frame.headers(1, Frame.post, ends: false), Frame.data(1, large, ends: true)], .requests(1)),
        .init("4.2 DATA over the largest size", open + [Frame.data(1, large + [0])], .connection([.frameSizeError])),
        .init(
            "4.2 HEADERS over the largest size", [Frame.raw(1, flags: 5, stream: 1, large, length: 16_385)], .connection([.frameSizeError])),
        .init(
            "4.2 an unknown kind over the largest size", [Frame.raw(0xEE, stream: 0, large, length: 1 << 20)],
            .connection([.frameSizeError])),
        .init("4.3 an index that there is not", [Frame.headers(1, block: [0xFE])], .connection([.compressionError])),
        .init("4.3 index 0", [Frame.headers(1, block: [0x80])], .connection([.compressionError])),
        .init(
            "4.3 an integer without end", [Frame.headers(1, block: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])],
            .connection([.compressionError])),
        .init("4.3 a string longer than the block", [Frame.headers(1, block: [0x00, 0x05, 0x61])], .connection([.compressionError])),
        .init("4.3 a table larger than allowed", [Frame.headers(1, block: [0x3F, 0xE1, 0xFF, 0x03])], .connection([.compressionError])),
        .init(
            "4.3 a table's size after a field", [Frame.headers(1, block: Frame.block(Frame.get) + [0x20])], .connection([.compressionError])
        ),
        .init(
            "4.3 Huffman's code padded with more than seven bits",
            [Frame.headers(1, block: Frame.block(Frame.get) + [0x00, 0x01, 0x61, 0x82, 0x1F, 0xFF])], .connection([.compressionError])),
        .init(
            "4.3 Huffman's code with its end in it",
            [Frame.headers(1, block: Frame.block(Frame.get) + [0x00, 0x01, 0x61, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])],
            .connection([.compressionError])),
        .init(
            "4.3 a block in two frames",
            [
                Frame.headers(1, block: Array(Frame.block(Frame.get)[..<9]), isWhole: false),
                Frame.continuation(1, block: Array(Frame.block(Frame.get)[9...])),
            ],
            .requests(1)),
        .init(
            "4.3 another frame in a block", [Frame.headers(1, isWhole: false), Frame.ping(), Frame.continuation(1, block: [])],
            .connection([.protocolError])),
        .init("4.3 another stream in a block", [Frame.headers(1, isWhole: false), Frame.headers(3)], .connection([.protocolError])),
        .init(
            "5.5 an unknown kind in a block", [Frame.headers(1, isWhole: false), Frame.raw(0xEE, stream: 1)], .connection([.protocolError])),
    ]

    static let states: [FrameCase] = [
        .init("5.1 idle: DATA", [Frame.data(1, "x")], .connection([.protocolError])),
        .init("5.1 idle: RST_STREAM", [Frame.reset(1)], .connection([.protocolError])),
        .init("5.1 idle: WINDOW_UPDATE", [Frame.windowUpdate(1, 1)], .connection([.protocolError])),
        .init("5.1 idle: CONTINUATION", [Frame.continuation(1, block: Frame.block(Frame.get))], .connection([.protocolError])),
        .init("5.1 idle: PRIORITY", [Frame.priority(1), Frame.headers(1)], .requests(1)),
        .init("5.1 half closed: DATA", [Frame.headers(1), Frame.data(1, "x")], .connection([.streamClosed])),
        .init("5.1 half closed: HEADERS", [Frame.headers(1), Frame.headers(1)], .connection([.streamClosed])),
        .init("5.1 half closed: CONTINUATION", [Frame.headers(1), Frame.continuation(1, block: [])], .connection([.protocolError])),
        .init("5.1 half closed: WINDOW_UPDATE, PRIORITY", [Frame.headers(1), Frame.windowUpdate(1, 1), Frame.priority(1)], .requests(1)),
        .init("5.1 half closed: RST_STREAM", [Frame.headers(1), Frame.reset(1), Frame.headers(3)], .requests(1)),
        .init("5.1 reset by the client: DATA", open + [Frame.reset(1), Frame.data(1, "x")], .connection([.streamClosed])),
        .init("5.1 reset by the client: HEADERS", open + [Frame.reset(1), Frame.headers(1)], .connection([.streamClosed])),
        .init(
            "5.1 reset by the client: WINDOW_UPDATE, PRIORITY, RST_STREAM",
            open + [Frame.reset(1), Frame.windowUpdate(1, 1), Frame.priority(1), Frame.reset(1)], .requests(0)),
        .init("5.1 ended by both: DATA", [Frame.headers(1), Frame.data(1, "x")], .connection([.streamClosed]), answers: true),
        .init("5.1 ended by both: HEADERS", [Frame.headers(1), Frame.headers(1)], .connection([.streamClosed]), answers: true),
        .init(
            "5.1 ended by both: WINDOW_UPDATE, RST_STREAM, PRIORITY",
            [Frame.headers(1), Frame.windowUpdate(1, 1), Frame.reset(1), Frame.priority(1)], .requests(1), answers: true),
        .init(
            "5.1 answered before its end: DATA and trailers", open + [Frame.data(1, "x"), Frame.headers(1, [("a", "b")])],
            .requests(1), answers: true),
        .init("5.1.1 an even stream", [Frame.headers(2)], .connection([.protocolError])),
        .init("5.1.1 a lower stream that was passed over", [Frame.headers(5), Frame.headers(3)], .connection([.streamClosed])),
        .init("5.1.1 streams passed over", [Frame.headers(1), Frame.headers(99)], .requests(2)),
        .init("5.1.1 the highest stream", [Frame.headers(0x7FFF_FFFF)], .requests(1)),
        .init("5.1.2 a hundred streams", (0..<100).map { Frame.headers(UInt32(2 * $0 + 1)) }, .requests(100)),
        .init("5.1.2 one more", (0..<101).map { Frame.headers(UInt32(2 * $0 + 1)) }, .connection([.protocolError, .refusedStream])),
        .init(
            "5.1.2 one more, before the limit was acknowledged",
            [Frame.preface, Frame.settings()] + (0..<101).map { Frame.headers(UInt32(2 * $0 + 1)) }, .stream(201, [.refusedStream]),
            opens: false),
        .init("5.4.2 streams after one that failed", with("A", "b") + [Frame.headers(3)], .stream(1, [.protocolError])),
    ]

    static let headBlocks: [FrameCase] = [
        .init("6.2 HEADERS on stream 0", [Frame.headers(0)], .connection([.protocolError])),
        .init(
            "6.2 padding as long as the rest", [Frame.raw(1, flags: 0xD, stream: 1, [200] + Frame.block(Frame.get))],
            .connection([.protocolError])),
        .init("6.2 padding", [Frame.raw(1, flags: 0xD, stream: 1, [2] + Frame.block(Frame.get) + [0, 0])], .requests(1)),
        .init("6.2 a priority", [Frame.raw(1, flags: 0x25, stream: 1, Frame.number(0) + [15] + Frame.block(Frame.get))], .requests(1)),
        .init(
            "6.2 too short for its priority", [Frame.raw(1, flags: 0x25, stream: 1, [0, 0])],
            .connection([.frameSizeError, .protocolError])),
        .init("6.10 CONTINUATION after the end", [Frame.headers(1), Frame.continuation(1, block: [])], .connection([.protocolError])),
        .init(
            "6.10 CONTINUATION of another stream", [Frame.headers(1, isWhole: false), Frame.continuation(3, block: [])],
            .connection([.protocolError])),
        .init(
            "6.10 CONTINUATION on stream 0", [Frame.headers(1, isWhole: false), Frame.continuation(0, block: [])],
            .connection([.protocolError])),
        .init(
            "6.10 CONTINUATION after DATA", open + [Frame.data(1, "x"), Frame.continuation(1, block: [])], .connection([.protocolError])),
    ]

    static let dataFrames: [FrameCase] = [
        .init("6.1 DATA on stream 0", [Frame.data(0, "x")], .connection([.protocolError])),
        .init("6.1 padding", open + [Frame.padded(1, "x", padding: 3, zeros: 3), Frame.data(1, ends: true)], .requests(1)),
        .init("6.1 padding as long as the rest", open + [Frame.padded(1, "x", padding: 2, zeros: 0)], .connection([.protocolError])),
        .init(
            "6.1 no room for the padding's length", open + [Frame.raw(0, flags: 0x8, stream: 1)],
            .connection([.protocolError, .frameSizeError])),
        .init("6.1 an empty end", open + [Frame.data(1, ends: true)], .requests(1)),
        .init("6.3 PRIORITY on stream 0", [Frame.priority(0)], .connection([.protocolError])),
        .init("6.3 PRIORITY too short", [Frame.headers(1), Frame.raw(2, stream: 1, [0, 0, 0, 0])], .connection([.frameSizeError])),
        .init("6.4 RST_STREAM on stream 0", [Frame.reset(0)], .connection([.protocolError])),
        .init("6.4 RST_STREAM too short", [Frame.headers(1), Frame.raw(3, stream: 1, [0, 0, 0])], .connection([.frameSizeError])),
        .init("6.4 RST_STREAM by an unknown code", [Frame.headers(1), Frame.reset(1, 0xFFFF), Frame.headers(3)], .requests(1)),
    ]

    static let otherFrames: [FrameCase] = [
        .init("6.5 SETTINGS on a stream", [Frame.raw(4, stream: 1)], .connection([.protocolError])),
        .init("6.5 SETTINGS of five bytes", [Frame.raw(4, stream: 0, [0, 1, 0, 0, 0])], .connection([.frameSizeError])),
        .init(
            "6.5 an acknowledgement with a payload", [Frame.raw(4, flags: 1, stream: 0, [0, 1, 0, 0, 0, 0])], .connection([.frameSizeError])
        ),
        .init("6.5 an acknowledgement of nothing", [Frame.settingsAck], .connection([.protocolError])),
        .init("6.5.2 ENABLE_PUSH 2", [Frame.settings([(2, 2)])], .connection([.protocolError])),
        .init("6.5.2 INITIAL_WINDOW_SIZE over the largest", [Frame.settings([(4, 0x8000_0000)])], .connection([.flowControlError])),
        .init("6.5.2 MAX_FRAME_SIZE too small", [Frame.settings([(5, 16_383)])], .connection([.protocolError])),
        .init("6.5.2 MAX_FRAME_SIZE too large", [Frame.settings([(5, 16_777_216)])], .connection([.protocolError])),
        .init("6.5.2 an unknown setting", [Frame.settings([(0xEEEE, 1)]), Frame.headers(1)], .requests(1)),
        .init(
            "6.5.2 all settings", [Frame.settings([(1, 0), (2, 0), (3, 0), (4, 0), (5, 16_384), (6, 0)]), Frame.headers(1)], .requests(1)),
        .init(
            "6.6 PUSH_PROMISE", [Frame.headers(1), Frame.raw(5, flags: 4, stream: 1, Frame.number(2) + Frame.block(Frame.get))],
            .connection([.protocolError])),
        .init("6.7 PING on a stream", [Frame.raw(6, stream: 1, Array("12345678".utf8))], .connection([.protocolError])),
        .init("6.7 PING of seven bytes", [Frame.raw(6, stream: 0, Array("1234567".utf8))], .connection([.frameSizeError])),
        .init("6.8 GOAWAY on a stream", [Frame.raw(7, stream: 1, Frame.number(0) + Frame.number(0))], .connection([.protocolError])),
        .init("6.8 GOAWAY too short", [Frame.raw(7, stream: 0, Frame.number(0))], .connection([.frameSizeError])),
        .init("6.8 GOAWAY, and a stream goes on", open + [Frame.goAway(), Frame.data(1, "x", ends: true)], .requests(1)),
    ]

    static let windows: [FrameCase] = [
        .init("6.9 WINDOW_UPDATE of three bytes", [Frame.raw(8, stream: 0, [0, 0, 1])], .connection([.frameSizeError])),
        .init("6.9 the connection's window by nothing", [Frame.windowUpdate(0, 0)], .connection([.protocolError])),
        .init("6.9 a stream's window by nothing", [Frame.headers(1), Frame.windowUpdate(1, 0)], .connection([.protocolError])),
        .init("6.9.1 the connection's window over the largest", [Frame.windowUpdate(0, 0x7FFF_FFFF)], .connection([.flowControlError])),
        .init(
            "6.9.1 a stream's window over the largest", [Frame.headers(1), Frame.windowUpdate(1, 0x7FFF_FFFF)],
            .stream(1, [.flowControlError])),
        .init("6.9.1 a window's reserved bit", [Frame.windowUpdate(0, 0x8000_0001), Frame.headers(1)], .requests(1)),
        .init(
            // RFC 9113 would have the connection end; libnghttp2 ends the stream.
            "6.9.2 a setting that takes a stream's window over the largest",
            [Frame.headers(1), Frame.windowUpdate(1, 0x7FFF_0000), Frame.settings([(4, 0x7FFF_FFFF)])], .stream(1, [.flowControlError])),
    ]

    static let fields: [FrameCase] = [
        .init("8.2.1 an upper-case letter in a name", with("Accept", "*/*"), malformed),
        .init("8.2.1 an empty name", with("", "a"), malformed),
        .init("8.2.1 a space in a name", with("a b", "c"), malformed),
        .init("8.2.1 a colon in a name", with("a:", "c"), malformed),
        .init("8.2.1 a control character in a name", with("a\u{01}", "c"), malformed),
        .init("8.2.1 a letter beyond ASCII in a name", with("ä", "c"), malformed),
        .init("8.2.1 delete in a name", with("a\u{7F}", "c"), malformed),
        .init("8.2.1 NUL in a value", with("a", "b\u{00}c"), malformed),
        .init("8.2.1 a line feed in a value", with("a", "b\nc: d"), malformed),
        .init("8.2.1 a carriage return in a value", with("a", "b\rc"), malformed),
        .init("8.2.1 another control character in a value", with("a", "b\u{0B}c"), malformed),
        .init("8.2.1 a space before a value", with("a", " b"), malformed),
        .init("8.2.1 a tab after a value", with("a", "b\t"), malformed),
        .init("8.2.1 an empty value", with("a", ""), .requests(1)),
        .init("8.2.1 a tab inside a value", with("a", "b\tc"), .requests(1)),
        .init("8.2.2 connection", with("connection", "close"), malformed),
        .init("8.2.2 keep-alive", with("keep-alive", "timeout=5"), malformed),
        .init("8.2.2 proxy-connection", with("proxy-connection", "keep-alive"), malformed),
        .init("8.2.2 transfer-encoding", with("transfer-encoding", "chunked"), malformed),
        .init("8.2.2 upgrade", with("upgrade", "h2c"), malformed),
        .init("8.2.2 te: gzip", with("te", "gzip"), malformed),
        .init("8.2.2 te: trailers", with("te", "trailers"), .requests(1)),
    ]

    static let pseudoFields: [FrameCase] = [
        .init("8.3 a pseudo-field that there is not", with(":protocol", "websocket"), malformed),
        .init("8.3 one of answers", with(":status", "200"), malformed),
        .init("8.3 one after a field", [Frame.headers(1, [("a", "b")] + Frame.get)], malformed),
        .init("8.3.1 no :method", without(":method"), malformed),
        .init("8.3.1 no :scheme", without(":scheme"), malformed),
        .init("8.3.1 no :path", without(":path"), malformed),
        .init("8.3.1 neither :authority nor host", without(":authority"), malformed),
        .init("8.3.1 host instead of :authority", [Frame.headers(1, Frame.get.dropLast() + [("host", "x")])], .requests(1)),
        .init("8.3.1 host beside :authority", with("host", "X"), .requests(1)),
        .init("8.3.1 another host than :authority", with("host", "y"), malformed),
        .init("8.3.1 two :method", [Frame.headers(1, [(":method", "GET")] + Frame.get)], malformed),
        .init("8.3.1 two :scheme", [Frame.headers(1, [(":scheme", "https")] + Frame.get)], malformed),
        .init("8.3.1 two :path", [Frame.headers(1, [(":path", "/v1/leads")] + Frame.get)], malformed),
        .init("8.3.1 two :authority", [Frame.headers(1, [(":authority", "x")] + Frame.get)], malformed),
        .init("8.3.1 an empty :path", replacing(":path", ""), malformed),
        .init("8.3.1 a :method that is no token", replacing(":method", "GE T"), malformed),
        .init("8.3.1 a :path without its slash", replacing(":path", "v1/leads"), malformed),
        .init(
            "8.3.1 an authority with a user", replacing(":authority", "a@x"),
            .refused(1, .malformed("The target's authority is malformed."))),
        .init("8.3.1 another scheme", replacing(":scheme", "ftp"), .refused(1, .malformed("The scheme must be http or https."))),
        .init(
            "8.3.1 the asterisk", [Frame.headers(1, [(":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), (":authority", "x")])],
            .refused(1, .malformed("The request target must be a path."))),
        .init(
            "8.5 CONNECT", [Frame.headers(1, [(":method", "CONNECT"), (":authority", "x:443")])],
            .refused(1, .malformed("The request target must be a path."))),
        .init("8.5 CONNECT with a path", replacing(":method", "CONNECT"), malformed),
        .init(
            "A10 a path of another spelling", replacing(":path", "/v1/../x"),
            .refused(1, .malformed("The path has a form that is not accepted."))),
        .init("8.3.1 a query with a space", replacing(":path", "/v1/leads?a b"), malformed),
        .init(
            "A12 two X-Tenant", [Frame.headers(1, Frame.get + [("x-tenant", "a"), ("x-tenant", "a")])],
            .refused(1, .malformed("X-Tenant must occur once and not be empty."))),
    ]

    static let messages: [FrameCase] = [
        .init("8.1 trailers", open + [Frame.data(1, "x"), Frame.headers(1, [("a", "b")])], .requests(1)),
        .init("8.1 trailers that do not end the stream", open + [Frame.headers(1, [("a", "b")], ends: false)], malformed),
        .init("8.1 a pseudo-field in trailers", open + [Frame.headers(1, [(":path", "/")])], malformed),
        .init("8.1 an upper-case letter in trailers", open + [Frame.headers(1, [("A", "b")])], malformed),
        .init(
            "8.1.1 a length, and as much",
            [Frame.headers(1, Frame.post + [("content-length", "2")], ends: false), Frame.data(1, "ab", ends: true)], .requests(1)),
        .init(
            "8.1.1 a length, and less",
            [Frame.headers(1, Frame.post + [("content-length", "3")], ends: false), Frame.data(1, "ab", ends: true)], malformed),
        .init(
            "8.1.1 a length, and more", [Frame.headers(1, Frame.post + [("content-length", "1")], ends: false), Frame.data(1, "ab")],
            malformed),
        .init("8.1.1 a length, and no body", [Frame.headers(1, Frame.post + [("content-length", "1")])], malformed),
        .init(
            "8.1.1 a length, and trailers too early",
            [Frame.headers(1, Frame.post + [("content-length", "1")], ends: false), Frame.headers(1, [("a", "b")])], malformed),
        .init(
            "8.1.1 two lengths", [Frame.headers(1, Frame.post + [("content-length", "1"), ("content-length", "1")], ends: false)], malformed
        ),
        .init("8.1.1 a length that is no number", [Frame.headers(1, Frame.post + [("content-length", "1,1")], ends: false)], malformed),
        .init("8.1.1 a length with a sign", [Frame.headers(1, Frame.post + [("content-length", "+1")], ends: false)], malformed),
        .init(
            "10.5.1 a hundred fields and one", [Frame.headers(1, Frame.get + (0..<101).map { ("a\($0)", "b") })],
            .refused(1, .headersTooLarge)),
        .init(
            "10.5.1 fields of more than 32 KiB",
            [Frame.headers(1, block: Frame.block(Frame.get + [("a", String(repeating: "b", count: 12_000))]), isWhole: false)] + [
                Frame.continuation(1, block: Frame.block([("c", String(repeating: "b", count: 12_000))]), isWhole: false),
                Frame.continuation(1, block: Frame.block([("d", String(repeating: "b", count: 12_000))])),
            ], .refused(1, .headersTooLarge)),
        .init(
            "10.5.1 a target of more than 8 KiB", replacing(":path", "/" + String(repeating: "a", count: 8192)), .refused(1, .targetTooLong)
        ),
        .init(
            "RFC 9110, 10.1.1: an expectation that nobody knows", with("expect", "tea", in: Frame.post),
            .refused(1, .malformed("Only Expect: 100-continue is supported."))),
    ]
}
