/// Formats of text that people write by hand. Each check is one pass over the text.
enum TextFormat {
    /// One `@` between a local part of 1…64 and a domain of at least two labels; what only a mail server can tell is left to it.
    static func isEmail(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count <= 254, let at = bytes.lastIndex(of: UInt8(ascii: "@")), at >= 1, at <= 64 else { return false }
        let local = bytes[..<at]
        let isLocalFine = local.allSatisfy { $0 > 0x20 && $0 != 0x7F && !forbiddenInLocalPart.contains($0) }
        guard isLocalFine, local.first != UInt8(ascii: "."), local.last != UInt8(ascii: ".") else { return false }
        let labels = bytes[(at + 1)...].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return labels.count >= 2 && labels.allSatisfy(isLabel)
    }

    private static let forbiddenInLocalPart = Array("@()<>[]:;,\\\"".utf8)

    private static func isLabel(_ label: ArraySlice<UInt8>) -> Bool {
        guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else { return false }
        return label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 >= 0x80 }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }

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
