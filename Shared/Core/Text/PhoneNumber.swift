/// A telephone number as people write it: `+49 40 555 0101`, `０４０-１２３４`, `555-CALL-NOW`, `+123456789,123` with a pause and an extension.
public enum PhoneNumber {
    /// In Unicode scalars.
    public static let maximumLength = 40

    /// The number as given, without what cannot be seen in it: phones and address books paste direction marks along. Empty when nothing
    /// is left.
    ///
    /// - Throws: ``ValueFault`` `invalid_format` for fewer than three digits, in whichever script; and as ``PlainText/checked(_:as:maximum:)``.
    public static func checked(_ given: String) throws(ValueFault) -> String {
        guard given.unicodeScalars.count <= maximumLength else {
            throw ValueFault(.tooLong, "Expected at most \(maximumLength) characters, found \(given.unicodeScalars.count).")
        }
        var seen = String.UnicodeScalarView()
        seen.append(contentsOf: given.unicodeScalars.lazy.filter { !$0.properties.isDefaultIgnorableCodePoint })
        let text = try PlainText.checked(String(seen), as: .line, maximum: maximumLength)
        guard text.isEmpty || text.unicodeScalars.lazy.filter(isDigit).count >= 3 else {
            throw .format("a telephone number such as +49 30 1234567")
        }
        return text
    }

    /// A number in a query, as it was meant: a blank before its first digit was a plus, which stands for a blank there.
    @Sendable public static func inQuery(_ text: String) -> String {
        guard text.first == " ", let second = text.dropFirst().unicodeScalars.first, isDigit(second) else { return text }
        return "+" + text.dropFirst()
    }

    /// The first digit of each script that people write numbers in; nine more follow it.
    private static let zeros: [UInt32] = [
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20, 0x1040, 0x17E0,
        0x1810, 0xFF10,
    ]

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { digit(scalar) != nil }

    /// 0 to 9; `nil` for what is no digit.
    static func digit(_ scalar: Unicode.Scalar) -> UInt8? {
        if scalar.isASCII { return (0x30...0x39).contains(scalar.value) ? UInt8(scalar.value - 0x30) : nil }
        return zeros.first { ($0...$0 + 9).contains(scalar.value) }.map { UInt8(scalar.value - $0) }
    }

    /// What ``checked(_:)`` takes, as a pattern of JSON Schema.
    public static let pattern: String = {
        let digits = zeros.map { zero in "\(Self.escape(zero))-\(Self.escape(zero + 9))" }.joined()
        return PlainText.pattern(
            condition: "(?=(?:[^\(digits)]*[\(digits)]){3})", blank: PlainText.anyBlank, barred: PlainText.anyControl)
    }()

    private static func escape(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
