/// Names of the IANA time zone database.
public enum TimeZoneName {
    /// That of a tenant that has not said another.
    public static let initial = "UTC"

    /// The text, if it has the form of such a name; else `nil`. What comes from elsewhere is read by this: it goes into the signed context,
    /// whose separators must not be in it.
    public static func form(_ text: some StringProtocol) -> String? {
        guard text == initial || text.utf8.contains(UInt8(ascii: "/")), text.utf8.count <= 64 else { return nil }
        let isName = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"): true
            default: false
            }
        }
        return isName ? String(text) : nil
    }
}
