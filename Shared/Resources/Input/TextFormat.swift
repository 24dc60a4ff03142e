/// Formats of text that people write by hand. Each check is one pass over the text.
enum TextFormat {
    /// 3…20 digits with the usual signs between them, and an extension after `x` or `ext`.
    static func isPhone(_ text: String) -> Bool {
        guard text.utf8.count <= 40 else { return false }
        var digits = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
            case _ where phoneSigns.contains(byte): continue
            default: return false
            }
        }
        return (3...20).contains(digits)
    }

    private static let phoneSigns = Array("+-() ./ext".utf8)

    /// `http://` or `https://` with a host, and nothing that must be escaped.
    static func isURL(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count <= 2000, bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7F && !forbiddenInURL.contains($0) }) else { return false }
        for scheme in ["https://", "http://"] where text.prefix(scheme.count).lowercased() == scheme {
            let host = bytes.dropFirst(scheme.utf8.count).prefix {
                $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
            }
            // A user part before the host serves only to deceive.
            return !host.isEmpty && !host.contains(UInt8(ascii: "@")) && host.first != UInt8(ascii: ":")
        }
        return false
    }

    private static let forbiddenInURL = Array("<>\"\\^`{|}".utf8)
}
