/// Strings as JSON has them: what RFC 8259, section 7 demands is escaped, and nothing else.
public enum JSONString {
    /// Appends the string with its quotes.
    ///
    /// - Parameter utf8: known to be valid, as Postgres sends it.
    public static func append(_ utf8: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var clean = 0
        for index in 0..<utf8.count where needsEscape(utf8[index]) {
            output.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[clean..<index]))
            clean = index + 1
            appendInside(utf8[index], to: &output)
        }
        output.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[clean...]))
        output.append(UInt8(ascii: "\""))
    }

    /// Appends one byte of a string whose quotes are written elsewhere.
    public static func appendInside(_ byte: UInt8, to output: inout [UInt8]) {
        guard needsEscape(byte) else { return output.append(byte) }
        output.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(byte)
        case 0x0A: output.append(UInt8(ascii: "n"))
        case 0x0D: output.append(UInt8(ascii: "r"))
        case 0x09: output.append(UInt8(ascii: "t"))
        default:
            output.append(contentsOf: [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")])
            output.append(Hex.digit(byte >> 4))
            output.append(Hex.digit(byte & 15))
        }
    }

    @inline(__always)
    private static func needsEscape(_ byte: UInt8) -> Bool { byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") }
}
