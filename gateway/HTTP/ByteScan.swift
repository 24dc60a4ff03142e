#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A range of a head, from the head's first byte. Heads are at most 32 KiB, so 32 bits are plenty.
struct Slice: Equatable {
    var start: UInt32
    var count: UInt32

    static let empty = Slice(start: 0, count: 0)

    init(start: UInt32, count: UInt32) {
        self.start = start
        self.count = count
    }

    init(_ range: Range<Int>) { self.init(start: UInt32(range.lowerBound), count: UInt32(range.count)) }

    var isEmpty: Bool { count == 0 }
    var end: Int { Int(start) + Int(count) }
}

extension UnsafeRawBufferPointer {
    subscript(slice: Slice) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[Int(slice.start)..<slice.end])
    }

    /// The position of the next line feed at or after `start`.
    func lineFeed(from start: Int) -> Int? {
        guard start < count, let base = baseAddress, let found = memchr(base + start, 0x0A, count - start) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// The position of a byte at or after `start`.
    func firstIndex(of byte: UInt8, from start: Int, to end: Int) -> Int? {
        guard start < end, let base = baseAddress, let found = memchr(base + start, Int32(byte), end - start) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// Whether the bytes are the text, which must be of lower-case letters, digits and `-`, in any case. `self` must be a token.
    func isName(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        return hasNamePrefix(text)
    }

    /// Whether the bytes start with the text, in any case; see ``isName(_:)``.
    func hasNamePrefix(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard count >= length else { return false }
        let wanted = text.utf8Start
        for index in 0..<length where self[index] | 0x20 != wanted[index] { return false }
        return true
    }

    /// Whether both are the same name in any case; both must be tokens.
    func isSameName(as other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && zip(self, other).allSatisfy { $0 | 0x20 == $1 | 0x20 }
    }

    /// Whether the bytes start with the scheme of a URL, in any case, and `://`.
    func hasSchemePrefix(_ scheme: StaticString) -> Bool {
        let length = scheme.utf8CodeUnitCount
        guard count >= length else { return false }
        return (0..<length).allSatisfy { index in
            let wanted = scheme.utf8Start[index]
            return self[index] == wanted || wanted >= UInt8(ascii: "a") && self[index] | 0x20 == wanted
        }
    }

    func equals(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount, let baseAddress else { return count == text.utf8CodeUnitCount }
        return memcmp(baseAddress, text.utf8Start, count) == 0
    }

    func equals(_ other: [UInt8]) -> Bool {
        guard count == other.count else { return false }
        return other.withUnsafeBytes { other in
            guard let left = baseAddress, let right = other.baseAddress else { return true }
            return memcmp(left, right, count) == 0
        }
    }

    /// The text, for places where cost does not matter.
    var text: String { String(decoding: self, as: UTF8.self) }

    /// Without spaces and tabs at both ends.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start += 1 }
        while end > start, self[end - 1] == 0x20 || self[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }

    /// Whether all bytes may stand in a field value (RFC 9110, 5.5): no control character but the tab.
    func isFieldValue(_ range: Range<Int>) -> Bool {
        var position = range.lowerBound
        // Eight bytes at a time: a byte below 0x20, or equal to 0x7F, leaves its high bit set.
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        while position + 8 <= range.upperBound {
            let word = loadUnaligned(fromByteOffset: position, as: UInt64.self)
            let low = (word &- ones &* 0x20) & ~word & highs
            let delete = word ^ ones &* 0x7F
            if low | ((delete &- ones) & ~delete & highs) != 0 {
                for index in position..<position + 8 where !Self.isFieldByte(self[index]) { return false }
            }
            position += 8
        }
        while position < range.upperBound {
            if !Self.isFieldByte(self[position]) { return false }
            position += 1
        }
        return true
    }

    private static func isFieldByte(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }

    /// Whether the range is a token (RFC 9110, 5.6.2).
    func isToken(_ range: Range<Int>) -> Bool {
        if range.isEmpty { return false }
        for index in range where !Self.isTokenByte(self[index]) { return false }
        return true
    }

    /// Two words of bits for the 128 ASCII characters.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        // ! # $ % & ' * + - . 0-9
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        // A-Z ^ _ ` a-z | ~
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        if byte >= 128 { return false }
        return (byte < 64 ? low : high) >> UInt64(byte & 63) & 1 == 1
    }

    /// A number of decimal digits only, at most 15 of them.
    func decimal(_ range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 15 else { return nil }
        var value = 0
        for index in range {
            let digit = self[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }

    /// Calls the closure with each element of a comma-separated list, without the space around it; empty elements are left out.
    func forEachElement(in range: Range<Int>, _ body: (Range<Int>) -> Void) {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = firstIndex(of: UInt8(ascii: ","), from: start, to: range.upperBound) ?? range.upperBound
            let element = trimmed(start..<end)
            if !element.isEmpty { body(element) }
            start = end + 1
        }
    }
}
