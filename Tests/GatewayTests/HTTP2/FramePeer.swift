import NIOCore

@testable import Gateway

/// A client of one ``HTTP2Session`` without a socket: frames go in, and what comes out is kept.
struct FramePeer {
    let session = HTTP2Session()
    var now = NIODeadline.uptimeNanoseconds(1)
    /// Whether each request is answered as soon as it is here.
    var answers: Bool
    private(set) var frames: [SentFrame] = []
    private(set) var requests: [HTTP2Stream] = []
    private(set) var closed: [Int32] = []
    private(set) var writable: [Int32] = []
    private(set) var bodies: [Int32: [UInt8]] = [:]
    private(set) var ended: Set<Int32> = []
    private var output: [UInt8] = []

    /// - Parameter opens: Whether the preface and empty SETTINGS are sent, and the gateway's SETTINGS acknowledged.
    init(answers: Bool = false, opens: Bool = true) {
        self.answers = answers
        guard opens else { return }
        send(Frame.preface + Frame.settings())
        send(Frame.settingsAck)
    }

    mutating func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { session.receive($0, now: now) }
        proceed()
    }

    /// Sends each byte by itself.
    mutating func sendSlowly(_ bytes: [UInt8]) { for byte in bytes { send([byte]) } }

    /// Takes what the gateway has to tell and to send.
    mutating func proceed() {
        var isQuiet = false
        while !isQuiet {
            flush()
            isQuiet = true
            while let event = session.nextEvent() {
                isQuiet = false
                take(event)
            }
        }
    }

    private mutating func take(_ event: HTTP2Session.Event) {
        switch event {
        case .request(let stream):
            requests.append(stream)
            if answers { answer(stream) } else { session.startBody(of: stream) }
        case .body(let stream, let part, let isLast):
            bodies[stream.id, default: []] += part.readableBytesView
            if isLast { ended.insert(stream.id) }
        case .writable(let stream): writable.append(stream.id)
        case .closed(let stream): closed.append(stream.id)
        }
    }

    mutating func flush() {
        while let bytes = session.takeOutput(limit: 64 * 1024, now: now) { output += bytes.readableBytesView }
        frames += SentFrame.take(from: &output)
    }

    func answer(_ stream: HTTP2Stream, body: [UInt8] = [], lines: String = "") {
        Array(lines.utf8).withUnsafeBytes {
            session.answer(stream, status: 200, contentLength: body.count, lines: $0, isWhole: body.isEmpty)
        }
        if !body.isEmpty { session.write(ByteBuffer(bytes: body), to: stream, isShared: false, isLast: true) }
    }

    /// The code of the connection's error, if there was one.
    var connectionError: HTTP2ErrorCode? {
        let code = frames.last { $0.kind == 7 }.map { HTTP2ErrorCode(code: $0.number(at: 4)) }
        return code == .noError ? nil : code
    }

    func error(of stream: UInt32) -> HTTP2ErrorCode? {
        frames.first { $0.kind == 3 && $0.stream == stream }.map { HTTP2ErrorCode(code: $0.number(at: 0)) }
    }

    func content(of stream: UInt32) -> [UInt8] { frames.filter { $0.kind == 0 && $0.stream == stream }.flatMap(\.payload) }
}
