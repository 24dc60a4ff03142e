/// Hexadecimal digits, lower case when written.
public enum Hex {
    @inlinable public static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    @inlinable public static func value(of byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digit(byte >> 4))
            text.append(digit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// `nil` for an odd number of digits or anything that is not one.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let utf8 = Array(text.utf8)
        guard utf8.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count / 2)
        for index in stride(from: 0, to: utf8.count, by: 2) {
            guard let high = value(of: utf8[index]), let low = value(of: utf8[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}

/// Percent-encoding (RFC 3986, section 2.1).
enum PercentEncoding {
    /// `nil` for a broken encoding, invalid UTF-8, a NUL, or more combining marks in a row than any text has.
    ///
    /// - Parameter plusIsSpace: as in a query made from a form; in a path a plus stands for itself.
    static func decode(_ text: some Sequence<UInt8>, plusIsSpace: Bool) -> String? {
        var bytes: [UInt8] = []
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(Hex.value), let low = iterator.next().flatMap(Hex.value) else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self), PlainText.isStreamSafe(text) else { return nil }
        return text
    }
}

/// base64url without padding (RFC 4648, section 5).
public enum Base64URL {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    /// How long the text of so many bytes is.
    public static func length(of count: Int) -> Int { (count * 4 + 2) / 3 }

    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let bytes = Array(bytes)
        return String(unsafeUninitializedCapacity: length(of: bytes.count)) { memory in
            guard let start = memory.baseAddress else { return 0 }
            bytes.withUnsafeBytes { write($0, to: start) }
            return length(of: bytes.count)
        }
    }

    /// Writes the text of the bytes to memory that has ``length(of:)`` bytes of room.
    public static func write(_ bytes: UnsafeRawBufferPointer, to memory: UnsafeMutablePointer<UInt8>) {
        let alphabet = alphabet.utf8Start
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

    /// `nil` for a character outside the alphabet, padding, an impossible length, or unused bits that are not zero: one
    /// value has one spelling, so a token cannot be respelled.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var accumulator: UInt32 = 0
        var bits = 0
        for character in text.utf8 {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "_"): value = 63
            default: return nil
            }
            accumulator = accumulator << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
            }
        }
        guard bits < 6, accumulator & ((1 << UInt32(bits)) - 1) == 0 else { return nil }
        return bytes
    }

    /// Whether the text is the encoding of exactly these bytes. Compares all of it, so that the time does not tell where they differ.
    static func isEncoding(_ text: some Sequence<UInt8>, of bytes: some Sequence<UInt8>) -> Bool {
        var text = text.makeIterator()
        var difference: UInt8 = 0
        var (accumulator, bits): (UInt32, UInt32) = (0, 0)
        // A digit that is missing differs from any.
        func compare(_ digit: UInt32) { difference |= (text.next() ?? 0) ^ alphabet.utf8Start[Int(digit) & 63] }
        for byte in bytes {
            accumulator = accumulator << 8 | UInt32(byte)
            bits += 8
            while bits >= 6 {
                bits -= 6
                compare(accumulator >> bits)
            }
        }
        if bits > 0 { compare(accumulator << (6 - bits)) }
        return difference == 0 && text.next() == nil
    }
}
