/// The name of a tenant in addresses: `acme` of `acme.example.com` and of `X-Tenant: acme`.
public enum Slug {
    public static let description =
        "3 to 40 characters a-z, 0-9 and hyphen, not starting or ending with a hyphen, and without two hyphens as third and fourth"
    /// The same as a regular expression of JSON Schema. Two hyphens there mark a name in Punycode (RFC 5890, section 2.3.1), which a
    /// browser shows as other letters.
    public static let pattern = "^(?!..--)[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$"

    /// The slug of the tenant that the platform's operators belong to.
    public static let platform = "platform"

    /// Names that an organisation cannot take: hosts that an operator needs, and names that would mislead.
    public static let reserved: Set<String> = [
        platform, "admin", "api", "app", "auth", "billing", "blog", "cdn", "docs", "help", "internal", "login", "mail", "martlet",
        "operator", "root", "security", "status", "support", "system", "www",
    ]

    /// Whether the text has the form of ``description``; it may still be reserved.
    public static func isValid(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        return (3...40).contains(bytes.count) && bytes.first != UInt8(ascii: "-") && bytes.last != UInt8(ascii: "-")
            && !bytes.dropFirst(2).starts(with: Array("--".utf8))
            && bytes.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
                default: false
                }
            }
    }
}
