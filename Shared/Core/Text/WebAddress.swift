/// An absolute `http` or `https` address.
public enum WebAddress {
    /// In Unicode scalars.
    public static let maximumLength = 2000

    /// The address as given, without blank ends; empty when nothing is left.
    ///
    /// - Throws: ``ValueFault`` `invalid_format` unless it is `http://` or `https://` with a host and nothing that must be escaped; and as
    ///   ``PlainText/checked(_:as:maximum:)``.
    public static func checked(_ given: String) throws(ValueFault) -> String {
        let text = try PlainText.checked(given, as: .line, maximum: maximumLength)
        guard text.isEmpty || isAddress(text) else { throw .format("an address such as https://example.com") }
        return text
    }

    private static func isAddress(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard text.unicodeScalars.allSatisfy({ !$0.properties.isWhitespace && !forbidden.contains($0) }) else { return false }
        for scheme in ["https://", "http://"] where text.prefix(scheme.count).lowercased() == scheme {
            let host = bytes.dropFirst(scheme.utf8.count).prefix {
                $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
            }
            // A user part before the host serves only to deceive.
            return !host.isEmpty && !host.contains(UInt8(ascii: "@")) && host.first != UInt8(ascii: ":")
        }
        return false
    }

    private static let forbidden = Array("<>\"\\^`{|}".unicodeScalars)

    /// What ``checked(_:)`` takes, as a pattern of JSON Schema.
    public static let pattern: String = {
        let barred =
            #"\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028-\u202F\u205F\u2066-\u2069\u3000\uFDD0-\uFDEF\uFFFE\uFFFF<>"\\^`{|}"#
        return PlainText.pattern(
            condition: "(?=[Hh][Tt][Tt][Pp][Ss]?://[^:/?#@\(barred)][^/?#@\(barred)]*(?:[/?#]|[\(PlainText.anyBlank)]*$))", barred: barred)
    }()
}
