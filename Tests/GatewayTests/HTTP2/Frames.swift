/// Writes frames byte by byte, right ones and wrong ones (RFC 9113, sections 4 and 6).
enum Frame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func raw(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32, _ payload: [UInt8] = [], length: Int? = nil) -> [UInt8] {
        let length = length ?? payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), kind, flags] + number(stream) + payload
    }

    static func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * UInt32($0)) & 255) } }

    static func data(_ stream: UInt32, _ content: [UInt8] = [], ends: Bool = false) -> [UInt8] {
        raw(0, flags: ends ? 1 : 0, stream: stream, content)
    }

    static func data(_ stream: UInt32, _ content: String, ends: Bool = false) -> [UInt8] { data(stream, Array(content.utf8), ends: ends) }

    static func padded(_ stream: UInt32, _ content: String, padding: UInt8, zeros: Int) -> [UInt8] {
        raw(0, flags: 0x8, stream: stream, [padding] + Array(content.utf8) + [UInt8](repeating: 0, count: zeros))
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)] = get, ends: Bool = true, isWhole: Bool = true) -> [UInt8] {
        headers(stream, block: block(fields), ends: ends, isWhole: isWhole)
    }

    static func headers(_ stream: UInt32, block: [UInt8], ends: Bool = true, isWhole: Bool = true) -> [UInt8] {
        raw(1, flags: (ends ? 1 : 0) | (isWhole ? 4 : 0), stream: stream, block)
    }

    static func continuation(_ stream: UInt32, block: [UInt8], isWhole: Bool = true) -> [UInt8] {
        raw(9, flags: isWhole ? 4 : 0, stream: stream, block)
    }

    static func priority(_ stream: UInt32, on parent: UInt32 = 0) -> [UInt8] { raw(2, stream: stream, number(parent) + [15]) }
    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { raw(3, stream: stream, number(code)) }

    static func settings(_ entries: [(UInt16, UInt32)] = []) -> [UInt8] {
        raw(4, stream: 0, entries.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + number($0.1) })
    }

    static let settingsAck = raw(4, flags: 1, stream: 0)
    static func ping(_ text: String = "12345678") -> [UInt8] { raw(6, stream: 0, Array(text.utf8)) }
    static func goAway(last: UInt32 = 0, _ code: UInt32 = 0) -> [UInt8] { raw(7, stream: 0, number(last) + number(code)) }
    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] { raw(8, stream: stream, number(increment)) }

    // MARK: Header blocks (RFC 7541)

    static let get = [(":method", "GET"), (":scheme", "https"), (":path", "/v1/leads"), (":authority", "x")]
    static let post = [(":method", "POST"), (":scheme", "https"), (":path", "/v1/leads"), (":authority", "x")]

    /// Each field as a literal that is not remembered.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0x00] + string(Array(name.utf8)) + string(Array(value.utf8)) }
    }

    /// A literal that is remembered, as entry 62.
    static func remembered(_ name: String, _ value: String) -> [UInt8] { [0x40] + string(Array(name.utf8)) + string(Array(value.utf8)) }

    private static func string(_ bytes: [UInt8]) -> [UInt8] { integer(bytes.count, bits: 7) + bytes }

    static func integer(_ value: Int, bits: UInt8) -> [UInt8] {
        let most = 1 << Int(bits) - 1
        if value < most { return [UInt8(value)] }
        var bytes = [UInt8(most)]
        var rest = value - most
        while rest >= 128 {
            bytes.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// A frame that the gateway has sent.
struct SentFrame {
    var kind: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]

    var endsStream: Bool { (kind == 0 || kind == 1) && flags & 1 == 1 }

    /// The number at a place of the payload.
    func number(at index: Int) -> UInt32 { payload[index..<index + 4].reduce(0) { $0 << 8 | UInt32($1) } }

    /// All whole frames at the start of the bytes, which are taken away.
    static func take(from bytes: inout [UInt8]) -> [SentFrame] {
        var frames: [SentFrame] = []
        var position = 0
        while bytes.count - position >= 9 {
            let header = bytes[position..<position + 9].map(Int.init)
            let length = header[0] << 16 | header[1] << 8 | header[2]
            guard bytes.count - position >= 9 + length else { break }
            let stream = UInt32(header[5]) << 24 | UInt32(header[6]) << 16 | UInt32(header[7]) << 8 | UInt32(header[8])
            frames.append(
                .init(
                    kind: UInt8(header[3]), flags: UInt8(header[4]), stream: stream,
                    payload: Array(bytes[position + 9..<position + 9 + length])))
            position += 9 + length
        }
        bytes.removeFirst(position)
        return frames
    }
}
