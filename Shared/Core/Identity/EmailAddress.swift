/// An e-mail address of sane form, with letters of any script (RFC 6531); nothing but a message to it shows that it exists.
public struct EmailAddress: Hashable, Sendable {
    /// As typed, without blank ends, in NFC.
    public let text: String
    /// Lower case: two spellings of one key are one address.
    public let key: String

    /// The longest address that mail can carry (RFC 5321, section 4.5.3.1.3), in bytes.
    public static let maximumLength = 254

    /// Reads `local@domain.tld`: a local part of 1…64 bytes, dot-separated, a domain of two labels or more. `nil` for anything else; quoted
    /// local parts and address literals are not taken.
    public init?(_ typed: some StringProtocol) {
        guard typed.utf8.count <= 1024, let text = try? PlainText.checked(String(typed), as: .line, maximum: 1024),
            text.utf8.count <= Self.maximumLength
        else { return nil }
        let scalars = text.unicodeScalars
        guard let at = scalars.lastIndex(of: "@") else { return nil }
        let local = scalars[..<at].split(separator: ".", omittingEmptySubsequences: false)
        let labels = scalars[scalars.index(after: at)...].split(separator: ".", omittingEmptySubsequences: false)
        guard text[..<at].utf8.count <= 64, local.allSatisfy({ Self.isAtom($0) }), labels.count >= 2,
            labels.allSatisfy({ Self.isLabel($0) })
        else { return nil }
        self.text = text
        key = PlainText.nfc(text.lowercased())
    }

    /// Reads what a body or a filter has; `nil` for a text that shows nothing.
    ///
    /// - Throws: ``ValueFault`` `invalid_format`; and as ``PlainText/checked(_:as:maximum:)``.
    public static func checked(_ given: String) throws(ValueFault) -> EmailAddress? {
        if try PlainText.checked(given, as: .line, maximum: maximumLength).isEmpty { return nil }
        guard let address = EmailAddress(given) else { throw .format("an e-mail address such as anna@example.com") }
        return address
    }

    /// RFC 5322, section 3.2.3, and RFC 6531, section 3.3; of what is not ASCII what could be read to somebody.
    private static func isAtom(_ part: Substring.UnicodeScalarView) -> Bool {
        !part.isEmpty
            && allSatisfy(part) { scalar in
                if scalar.isASCII { return isAlphanumeric(scalar) || "!#$%&'*+-/=?^_`{|}~".unicodeScalars.contains(scalar) }
                switch scalar.properties.generalCategory {
                case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator, .paragraphSeparator:
                    return false
                default: return true
                }
            }
    }

    /// A label of a host's name: letters, marks and digits (RFC 5892), hyphens inside.
    private static func isLabel(_ part: Substring.UnicodeScalarView) -> Bool {
        guard let first = part.first, let last = part.last, first != "-", last != "-", !isMark(first), String(part).utf8.count <= 63 else {
            return false
        }
        return allSatisfy(part) { scalar in
            if scalar.isASCII { return isAlphanumeric(scalar) || scalar == "-" }
            // Letters of Catalan, Hebrew and Japanese that are signs to Unicode (RFC 5892, section 2.6).
            if ["\u{B7}", "\u{375}", "\u{5F3}", "\u{5F4}", "\u{30FB}"].contains(scalar) || isMark(scalar) { return true }
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber:
                return !scalar.properties.isDefaultIgnorableCodePoint
            default: return false
            }
        }
    }

    /// Whether each is allowed, or is a joiner in the one place where it is part of the spelling (RFC 5892, appendix A).
    private static func allSatisfy(_ part: Substring.UnicodeScalarView, _ isAllowed: (Unicode.Scalar) -> Bool) -> Bool {
        var previous: Unicode.Scalar?
        for scalar in part {
            guard isAllowed(scalar) || (PlainText.isJoiner(scalar) && previous.map(PlainText.isVirama) == true) else { return false }
            previous = scalar
        }
        return true
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }

    private static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "0"..."9", "a"..."z", "A"..."Z": true
        default: false
        }
    }
}
