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
        for index in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index)) & 15
            memory[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
    }

    private static let base64Alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    /// base64url without padding.
    mutating func put(base64URL bytes: UnsafeRawBufferPointer) {
        let memory = reserve((bytes.count * 4 + 2) / 3)
        let alphabet = Self.base64Alphabet.utf8Start
        var written = 0
        var read = 0
        while read < bytes.count {
            let left = bytes.count - read
            let group =
                UInt32(bytes[read]) << 16 | (left > 1 ? UInt32(bytes[read + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[read + 2]) : 0)
            for digit in 0..<min(4, left + 1) { memory[written + digit] = alphabet[Int(group >> UInt32(18 - 6 * digit)) & 63] }
            written += min(4, left + 1)
            read += 3
        }
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
