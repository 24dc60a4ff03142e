import Core

/// Appends cells of Postgres' text format to a buffer as JSON. Nothing here makes a `String`: a page of fifty leads has some
/// thousand cells.
enum CellWriter {
    static func append(_ bytes: UnsafeBufferPointer<UInt8>?, as format: CellFormat, to output: inout [UInt8]) {
        guard let bytes else { return append("null", to: &output) }
        switch format {
        case .raw: output.append(contentsOf: bytes)
        case .plain:
            output.append(quote)
            output.append(contentsOf: bytes)
            output.append(quote)
        case .text: JSONString.append(bytes, to: &output)
        case .timestamp: timestamp(bytes, to: &output)
        // `t` in a result, `true` in an answer that was stored as text.
        case .boolean: append(bytes.first == UInt8(ascii: "t") ? "true" : "false", to: &output)
        case .textArray: textArray(bytes, to: &output)
        case .related: related(bytes, to: &output)
        }
    }

    private static func append(_ word: StaticString, to output: inout [UInt8]) {
        output.append(contentsOf: UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }

    private static let quote = UInt8(ascii: "\"")
    private static let backslash = UInt8(ascii: "\\")

    /// The session's time zone is UTC and its style ISO, so the form is `yyyy-mm-dd hh:mm:ss[.f[f[f]]]+00`.
    private static func timestamp(_ bytes: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        let zone = bytes.lastIndex(of: UInt8(ascii: "+")) ?? bytes.count
        output.append(quote)
        output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[..<zone]))
        guard zone < bytes.count, let blank = bytes.firstIndex(of: UInt8(ascii: " ")) else { return output.append(quote) }
        output[output.count - zone + blank] = UInt8(ascii: "T")
        // What follows the seconds, with its point.
        let fraction = zone - blank - 9
        if fraction <= 0 { output.append(UInt8(ascii: ".")) }
        for _ in min(max(fraction - 1, 0), 3)..<3 { output.append(UInt8(ascii: "0")) }
        output.append(UInt8(ascii: "Z"))
        output.append(quote)
    }

    /// `(lead,01a2…)`; neither part has anything that would be quoted.
    private static func related(_ bytes: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        let comma = bytes.firstIndex(of: UInt8(ascii: ",")) ?? bytes.count - 1
        append(#"{"type":""#, to: &output)
        output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[1..<comma]))
        append(#"","id":""#, to: &output)
        output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[comma + 1..<bytes.count - 1]))
        append(#""}"#, to: &output)
    }

    /// `{a,"b c","say \"hi\""}`: elements are quoted when they hold anything special, and then a backslash hides the next byte.
    private static func textArray(_ bytes: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "["))
        var isQuoted = false
        var isOpen = false
        var index = 1
        while index < bytes.count - 1 {
            let byte = bytes[index]
            index += 1
            if !isOpen {
                output.append(quote)
                isOpen = true
            }
            switch byte {
            case quote: isQuoted.toggle()
            case UInt8(ascii: ",") where !isQuoted:
                output.append(quote)
                output.append(byte)
                isOpen = false
            default:
                var content = byte
                if byte == backslash, isQuoted {
                    content = bytes[index]
                    index += 1
                }
                JSONString.appendInside(content, to: &output)
            }
        }
        if isOpen { output.append(quote) }
        output.append(UInt8(ascii: "]"))
    }
}
