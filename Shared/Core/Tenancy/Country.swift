/// Where a tenant is (ISO 3166-1, two letters).
public enum Country {
    /// The text, if it has the form of a country's code; else `nil`. What comes from elsewhere is read by this: it goes into the signed
    /// context, whose separators must not be in it.
    public static func code(_ text: some StringProtocol) -> String? {
        text.utf8.count == 2 && text.utf8.allSatisfy((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains) ? String(text) : nil
    }
}
