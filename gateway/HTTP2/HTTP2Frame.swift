/// What stands before each frame's payload (RFC 9113, 4.1).
struct HTTP2FrameHeader: Equatable {
    enum Kind: UInt8 { case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation }

    static let bytes = 9
    static let endStream: UInt8 = 0x1
    static let acknowledgement: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4

    var length: Int
    /// `nil` for a kind that RFC 9113 does not know.
    var kind: Kind?
    var flags: UInt8
    var stream: Int32

    func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
}

/// Finds the frames in bytes that come in any pieces, without looking into them.
struct HTTP2FrameScanner {
    /// What a client sends before its first frame.
    static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    /// Whether all of the bytes can be of the preface's start.
    static func isPreface(_ bytes: UnsafeRawBufferPointer) -> Bool {
        zip(bytes, UnsafeBufferPointer(start: preface.utf8Start, count: preface.utf8CodeUnitCount)).allSatisfy(==)
    }

    /// What to do with the bytes at hand.
    enum Step: Equatable {
        /// So many of them are of one frame, or of the preface, and go on; with the frame's header if they begin it.
        case pass(Int, HTTP2FrameHeader?)
        /// So many of them end a header that came in pieces. It goes on as a whole, from ``headerBytes``.
        case passHeader(Int, HTTP2FrameHeader)
        /// All of them are kept until the header that they are of is whole.
        case keep
    }

    /// The header that came in pieces, as far as it has. libnghttp2 takes each piece of one of a CONTINUATION for a frame of its own.
    private(set) var headerBytes: [UInt8] = []
    private var prefaceLeft = preface.utf8CodeUnitCount
    private var payloadLeft = 0

    /// Whether nothing of a frame has come whose rest has not.
    var isBetweenFrames: Bool { prefaceLeft == 0 && payloadLeft == 0 && headerBytes.count % HTTP2FrameHeader.bytes == 0 }

    /// - Parameter bytes: At least one.
    mutating func next(_ bytes: UnsafeRawBufferPointer) -> Step {
        if prefaceLeft > 0 || payloadLeft > 0 {
            let length = min(max(prefaceLeft, payloadLeft), bytes.count)
            if prefaceLeft > 0 { prefaceLeft -= length } else { payloadLeft -= length }
            return .pass(length, nil)
        }
        if headerBytes.count == HTTP2FrameHeader.bytes { headerBytes.removeAll(keepingCapacity: true) }
        if headerBytes.isEmpty, bytes.count >= HTTP2FrameHeader.bytes {
            let header = HTTP2FrameHeader(bytes)
            let payload = min(header.length, bytes.count - HTTP2FrameHeader.bytes)
            payloadLeft = header.length - payload
            return .pass(HTTP2FrameHeader.bytes + payload, header)
        }
        let length = min(HTTP2FrameHeader.bytes - headerBytes.count, bytes.count)
        headerBytes.append(contentsOf: bytes[..<length])
        guard headerBytes.count == HTTP2FrameHeader.bytes else { return .keep }
        let header = headerBytes.withUnsafeBytes { HTTP2FrameHeader($0) }
        payloadLeft = header.length
        return .passHeader(length, header)
    }
}

extension HTTP2FrameHeader {
    /// - Parameter bytes: At least nine.
    fileprivate init(_ bytes: UnsafeRawBufferPointer) {
        self.init(
            length: Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2]), kind: Kind(rawValue: bytes[3]), flags: bytes[4],
            stream: Int32(bytes[5] & 0x7F) << 24 | Int32(bytes[6]) << 16 | Int32(bytes[7]) << 8 | Int32(bytes[8]))
    }
}
