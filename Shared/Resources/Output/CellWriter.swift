import Core

/// Appends cells of Postgres' text format to a buffer as JSON. Nothing here makes a `String`: a page of fifty leads has some
/// thousand cells.
enum CellWriter {
    static func append(_ bytes: UnsafeBufferPointer<UInt8>?, as format: CellFormat, to output: inout [UInt8]) {
        guard let bytes else {
            output.append(contentsOf: null)
            return
        }
        switch format {
        case .raw: output.append(contentsOf: bytes)
        case .plain:
            output.append(quote)
            output.append(contentsOf: bytes)
            output.append(quote)
        case .text: JSONString.append(bytes, to: &output)
        case .timestamp: timestamp(bytes, to: &output)
        // `t` in a result, `true` in an answer that was stored as text.
        case .boolean: output.append(contentsOf: bytes.first == UInt8(ascii: "t") ? yes : no)
        case .textArray: textArray(bytes, to: &output)
        }
    }

    private static let null = Array("null".utf8)
    private static let yes = Array("true".utf8)
    private static let no = Array("false".utf8)
    private static let quote = UInt8(ascii: "\"")
    private static let backslash = UInt8(ascii: "\\")

    /// The session's time zone is UTC and its style ISO, so the form is `date time[.fraction]+00`.
    private static func timestamp(_ bytes: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        output.append(quote)
        var fraction = -1
        for byte in bytes {
            switch byte {
            case UInt8(ascii: " "): output.append(UInt8(ascii: "T"))
            case UInt8(ascii: "."):
                fraction = 0
                output.append(byte)
            case UInt8(ascii: "+"):
                if fraction < 0 {
                    output.append(UInt8(ascii: "."))
                    fraction = 0
                }
                while fraction < 3 {
                    output.append(UInt8(ascii: "0"))
                    fraction += 1
                }
                output.append(UInt8(ascii: "Z"))
                output.append(quote)
                return
            default:
                if fraction >= 0 { fraction += 1 }
                output.append(byte)
            }
        }
        output.append(quote)
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
