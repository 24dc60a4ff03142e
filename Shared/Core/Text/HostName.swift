/// The name of a host, such as a company's domain: `kestrel.example`.
public enum HostName {
    /// In Unicode scalars (RFC 1035, section 2.3.4, without the root).
    public static let maximumLength = 253

    /// The name in lower case, without blank ends; empty when nothing is left.
    ///
    /// - Throws: ``ValueFault`` `invalid_format` unless it is two labels or more of letters, digits and hyphens (RFC 1123, section 2.1), the last
    ///   beginning with a letter; a name in another script is given in its ASCII form, `xn--…`. And as ``PlainText/checked(_:as:maximum:)``.
    public static func checked(_ given: String) throws(ValueFault) -> String {
        let text = try PlainText.checked(given, as: .line, maximum: maximumLength)
        guard text.isEmpty || isName(text.utf8) else {
            throw .format("a host name such as kestrel.example, without https:// and path")
        }
        return text.lowercased()
    }

    private static func isName(_ text: String.UTF8View) -> Bool {
        let labels = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.count >= 2, let first = labels.last?.first, isLetter(first) else { return false }
        return labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }

    /// What ``checked(_:)`` takes, as a pattern of JSON Schema.
    public static let pattern: String = {
        let inner = "(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        return PlainText.pattern(
            condition: "(?=(?:[A-Za-z0-9]\(inner)\\.)+[A-Za-z]\(inner)[\(PlainText.anyBlank)]*$)")
    }()
}
