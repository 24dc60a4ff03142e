import Core
import NIOCore

/// Writes a head into memory reserved for it, without looking at the buffer's indexes for each piece.
struct HeadWriter {
    let base: UnsafeMutableRawPointer
    private(set) var position = 0
    private let capacity: Int

    init(_ memory: UnsafeMutableRawBufferPointer) {
        guard let base = memory.baseAddress else {
            preconditionFailure("a buffer of at least \(HeadWriter.slack) bytes is reserved before")
        }
        self.base = base
        capacity = memory.count
    }

    /// What the gateway adds to any head fits in this, without claims and the bytes of the head itself.
    static let slack = 1536

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        precondition(position + bytes.count <= capacity, "the memory for a head was reckoned too small")
        guard let source = bytes.baseAddress else { return }
        (base + position).copyMemory(from: source, byteCount: bytes.count)
        position += bytes.count
    }

    mutating func put(_ text: StaticString) { put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) }
    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    /// What a part of a body takes as a chunk beside its content, at most, and the end of the body.
    static let chunkFraming = 32

    /// A part of a body as a chunk (RFC 9112, 7.1). An empty part is none, since an empty chunk would end the body.
    mutating func putChunk(_ part: UnsafeRawBufferPointer, isLast: Bool) {
        if !part.isEmpty {
            var size = String(part.count, radix: 16)
            size.withUTF8 { put(UnsafeRawBufferPointer($0)) }
            put("\r\n")
            put(part)
            put("\r\n")
        }
        if isLast { put("0\r\n\r\n") }
    }

    /// Makes sure of room for so many bytes, which are then stored without a further look.
    private mutating func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        precondition(position + count <= capacity, "the memory for a head was reckoned too small")
        defer { position += count }
        return (base + position).assumingMemoryBound(to: UInt8.self)
    }

    mutating func put(decimal value: Int) {
        var rest = UInt64(max(0, value))
        var digits = 1
        var bound: UInt64 = 10
        while rest >= bound, digits < 19 {
            digits += 1
            bound *= 10
        }
        let memory = reserve(digits)
        for index in stride(from: digits - 1, through: 0, by: -1) {
            memory[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    /// Sixteen lower-case hexadecimal digits.
    mutating func put(hex value: UInt64) {
        let memory = reserve(16)
        for index in 0..<16 { memory[index] = Hex.digit(UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index)) & 15) }
    }

    /// base64url without padding.
    mutating func put(base64URL bytes: UnsafeRawBufferPointer) {
        Base64URL.write(bytes, to: reserve(Base64URL.length(of: bytes.count)))
    }

    /// What was written since `start`.
    func written(since start: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + start, count: position - start) }
}

extension ByteBuffer {
    /// Appends a head of at most `capacity` bytes.
    mutating func writeHead(capacity: Int, _ body: (inout HeadWriter) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: capacity) { memory in
            var writer = HeadWriter(memory)
            body(&writer)
            return writer.position
        }
    }
}
