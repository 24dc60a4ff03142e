/// An e-mail address of sane form; nothing but a message to it shows that it exists.
public struct EmailAddress: Hashable, Sendable {
    /// As typed, without surrounding white space.
    public let text: String
    /// Lower case: two spellings of one key are one address.
    public let key: String

    /// The longest address that mail can carry (RFC 5321, section 4.5.3.1.3), in bytes.
    public static let maximumLength = 254

    /// Reads `local@domain.tld` in one pass: ASCII, a local part of 1…64 dot-separated atoms' characters, a domain of two
    /// labels or more. `nil` for anything else; quoted local parts and address literals are not taken.
    public init?(_ typed: some StringProtocol) {
        let bytes = Array(typed.utf8.prefix(1024))
        let white: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        guard let first = bytes.firstIndex(where: { !white.contains($0) }), let last = bytes.lastIndex(where: { !white.contains($0) }),
            last - first < Self.maximumLength, typed.utf8.count <= 1024
        else { return nil }
        let address = bytes[first...last]
        guard let at = address.lastIndex(of: UInt8(ascii: "@")) else { return nil }
        let local = address[..<at]
        let domain = address[(at + 1)...]
        guard (1...64).contains(local.count), Self.isDotted(local, allowing: Self.isAtom),
            domain.contains(UInt8(ascii: ".")), Self.isDotted(domain, allowing: Self.isHost),
            domain.split(separator: UInt8(ascii: ".")).allSatisfy({
                $0.count <= 63 && $0.first != UInt8(ascii: "-") && $0.last != UInt8(ascii: "-")
            })
        else { return nil }
        text = String(decoding: address, as: UTF8.self)
        key = text.lowercased()
    }

    /// Whether all characters are allowed and no dot is first, last or beside another.
    private static func isDotted(_ bytes: ArraySlice<UInt8>, allowing isAllowed: (UInt8) -> Bool) -> Bool {
        var previous = UInt8(ascii: ".")
        for byte in bytes {
            if byte == UInt8(ascii: ".") {
                guard previous != byte else { return false }
            } else {
                guard isAllowed(byte) else { return false }
            }
            previous = byte
        }
        return previous != UInt8(ascii: ".")
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        default: false
        }
    }

    /// RFC 5322, section 3.2.3.
    private static func isAtom(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || "!#$%&'*+-/=?^_`{|}~".utf8.contains(byte) }

    private static func isHost(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || byte == UInt8(ascii: "-") }
}
