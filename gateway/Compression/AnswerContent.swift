/// What an answer's fields say of whether its content may be compressed.
struct AnswerContent: Equatable {
    private var isText = false
    private var isCoded = false
    private var isFinal = false
    private var hasStrongTag = false
    private var isPart = false

    /// Whether the content may be sent in another coding than it came in.
    ///
    /// An answer with a strong tag may not: the tag promises these very bytes (RFC 9110, 8.8.1). Clients send ours back in If-Match, where a
    /// weakened one matches nothing, and those who compare them would see two tags of one version.
    var mayBeCoded: Bool { isText && !isCoded && !isFinal && !hasStrongTag && !isPart }

    /// Notes a field, of any name.
    mutating func note(_ name: UnsafeRawBufferPointer, _ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) {
        switch name.count {
        case 4 where name.isName("etag"):
            hasStrongTag = !UnsafeRawBufferPointer(rebasing: bytes[value]).starts(with: [UInt8(ascii: "W"), UInt8(ascii: "/")])
        case 12 where name.isName("content-type"):
            let end = bytes.firstIndex(of: UInt8(ascii: ";"), from: value.lowerBound, to: value.upperBound) ?? value.upperBound
            isText = Self.isText(UnsafeRawBufferPointer(rebasing: bytes[bytes.trimmed(value.lowerBound..<end)]))
        case 13 where name.isName("cache-control"):
            bytes.forEachElement(in: value) { element in
                if UnsafeRawBufferPointer(rebasing: bytes[element]).isName("no-transform") { isFinal = true }
            }
        case 13 where name.isName("content-range"): isPart = true
        case 16 where name.isName("content-encoding"): isCoded = true
        default: break
        }
    }

    /// Types that shrink to a fourth. Streams of events are not among them: each would hold a compressor for hours, for parts too small to
    /// gain by it.
    private static func isText(_ type: UnsafeRawBufferPointer) -> Bool {
        switch type.count {
        case 8: type.isMediaType("text/csv")
        case 9: type.isMediaType("text/html")
        case 10: type.isMediaType("text/plain")
        case 16: type.isMediaType("application/json")
        case 24: type.isMediaType("application/problem+json")
        default: false
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are the media type, which must be in lower case, in any case.
    fileprivate func isMediaType(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count {
            let byte = self[index]
            let isUpper = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            if (isUpper ? byte | 0x20 : byte) != text.utf8Start[index] { return false }
        }
        return true
    }
}
