/// Postgres's text form of a one-dimensional array: `{a,"b c",NULL}`.
enum ArrayLiteral {
    static func encode(_ values: [SQLValue]) -> String {
        var bytes: [UInt8] = [UInt8(ascii: "{")]
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            switch value {
            case .null: bytes.append(contentsOf: "NULL".utf8)
            case .text(let text):
                bytes.append(UInt8(ascii: "\""))
                for byte in text.utf8 {
                    if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { bytes.append(UInt8(ascii: "\\")) }
                    bytes.append(byte)
                }
                bytes.append(UInt8(ascii: "\""))
            }
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The elements, `nil` for NULL; `nil` as a whole for a text of another form or with an array inside.
    static func decode(_ bytes: UnsafeBufferPointer<UInt8>) -> [String?]? {
        guard bytes.count >= 2, bytes[0] == UInt8(ascii: "{"), bytes[bytes.count - 1] == UInt8(ascii: "}") else { return nil }
        var elements: [String?] = []
        var position = 1
        let end = bytes.count - 1
        if position == end { return [] }
        while true {
            var element: [UInt8] = []
            let isQuoted = position < end && bytes[position] == UInt8(ascii: "\"")
            if isQuoted {
                position += 1
                while position < end, bytes[position] != UInt8(ascii: "\"") {
                    if bytes[position] == UInt8(ascii: "\\") { position += 1 }
                    guard position < end else { return nil }
                    element.append(bytes[position])
                    position += 1
                }
                guard position < end else { return nil }
                position += 1
            } else {
                while position < end, bytes[position] != UInt8(ascii: ",") {
                    guard bytes[position] != UInt8(ascii: "{") else { return nil }
                    element.append(bytes[position])
                    position += 1
                }
            }
            let text = String(decoding: element, as: UTF8.self)
            elements.append(!isQuoted && text == "NULL" ? nil : text)
            if position == end { return elements }
            guard bytes[position] == UInt8(ascii: ",") else { return nil }
            position += 1
        }
    }
}
