// For NFC, which is the standard library's own and what Foundation calls: Core does without Foundation.
@_spi(_Unicode) import Swift

/// Text that people give, made fit to be kept and compared: the one place where it is trimmed, normalised and refused. Bodies of every
/// service and values of filters go through here. The rules and their sources: `Shared/Decisions/0013-what-is-done-to-given-text.md`.
public enum PlainText {
    public enum Form: Sendable {
        /// Names and labels: no line ends, no formatting of the direction.
        case line
        /// Notes and addresses: line ends (all kept as LF) and tabs.
        case lines
    }

    /// The text as it is kept: without blank ends, in NFC. Empty when it would show nothing.
    ///
    /// - Parameter maximum: Unicode scalars, as given and as kept.
    /// - Throws: ``ValueFault`` `too_long`, or `invalid_text` naming the character that is not allowed.
    public static func checked(_ given: String, as form: Form, maximum: Int) throws(ValueFault) -> String {
        if isPlain(given) {
            try check(length: given.utf8.count, maximum: maximum)
            return given
        }
        try check(length: given.unicodeScalars.count, maximum: maximum)
        let text = nfc(try withoutOddities(trimmed(given.unicodeScalars, as: form), as: form))
        try check(length: text.unicodeScalars.count, maximum: maximum)
        return text.unicodeScalars.contains(where: isVisible) ? text : ""
    }

    /// The canonical composition: however a keyboard puts an ü together, it is the same text.
    public static func nfc(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: text._nfc)
        return String(scalars)
    }

    /// What two labels have in common that are one to people: neither case nor what cannot be seen makes a difference.
    public static func label(_ text: String) -> String {
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: text.unicodeScalars.lazy.filter { $0.properties.isWhitespace || !isBlank($0, as: .line) })
        return nfc(String(scalars).lowercased())
    }

    /// The most combining marks in a row (UAX #15, section 13, which knows no language with as many).
    static let maximumMarks = 30

    /// Whether there are no more marks in a row than ``maximumMarks``. Swift compares, hashes and normalises texts by sorting such rows, in a time
    /// that grows with the square of their length: minutes for one of half a million. So whoever reads text from outside asks first, before
    /// it is compared with anything: ``JSONParser`` and ``PercentEncoding``.
    static func isStreamSafe(_ text: String) -> Bool {
        // All marks are from U+0300 on.
        guard text.utf8.contains(where: { $0 >= 0xCC }) else { return true }
        // Byte order marks are dropped later, and then the marks around them are in a row.
        let scalars = text.unicodeScalars.lazy.filter { $0 != "\u{FEFF}" }
        // A longer row has a mark at one of these places, where few texts have any.
        guard scalars.enumerated().contains(where: { $0.offset % (maximumMarks + 1) == 0 && isMark($0.element) }) else { return true }
        var marks = 0
        return scalars.allSatisfy { scalar in
            marks = isMark(scalar) ? marks + 1 : 0
            return marks <= maximumMarks
        }
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered
    }

    private static func check(length: Int, maximum: Int) throws(ValueFault) {
        if length > maximum { throw ValueFault(.tooLong, "Expected at most \(maximum) characters, found \(length).") }
    }

    /// Whether nothing has to be done, as for most texts: printable ASCII without blank ends.
    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, first != 0x20, last != 0x20 else { return text.isEmpty }
        return text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }

    private static func trimmed(_ text: String.UnicodeScalarView, as form: Form) -> Substring.UnicodeScalarView {
        var rest = text[...]
        while let first = rest.first, isBlank(first, as: form) { rest.removeFirst() }
        while let last = rest.last, isBlank(last, as: form) {
            // Behind a virama a joiner decides which form of the letter is shown, as in old spellings of Malayalam.
            if isJoiner(last), let before = rest.dropLast().last, isVirama(before) { break }
            rest.removeLast()
        }
        return rest
    }

    /// Refuses what is not allowed, makes every line end LF, and drops byte order marks, which are no part of a text.
    private static func withoutOddities(_ text: Substring.UnicodeScalarView, as form: Form) throws(ValueFault) -> String {
        var kept = String.UnicodeScalarView()
        var previous: Unicode.Scalar?
        for (index, scalar) in text.enumerated() {
            if isBarred(scalar, as: form) {
                let name = String(scalar.value, radix: 16, uppercase: true)
                let code = String(repeating: "0", count: max(0, 4 - name.count)) + name
                throw ValueFault(.invalidText, "The character U+\(code), number \(index + 1) of the text, is not allowed here.")
            }
            switch scalar {
            case "\n" where previous == "\r", "\u{FEFF}": break
            case "\r", "\u{B}", "\u{C}", "\u{85}", "\u{2028}", "\u{2029}": kept.append("\n")
            default: kept.append(scalar)
            }
            previous = scalar
        }
        return String(kept)
    }

    static func isJoiner(_ scalar: Unicode.Scalar) -> Bool { scalar == "\u{200C}" || scalar == "\u{200D}" }

    static func isVirama(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.canonicalCombiningClass.rawValue == 9 }

    /// Whether the scalar alone would show something. Unassigned ones may be letters of a newer Unicode.
    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return (0x21...0x7E).contains(scalar.value) }
        let properties = scalar.properties
        if properties.isWhitespace || properties.isDefaultIgnorableCodePoint || scalar == "\u{2800}" { return false }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .nonspacingMark, .spacingMark, .enclosingMark: return false
        default: return true
        }
    }
}

// MARK: Which characters

/// Each set once more as a class of a regular expression, for the published schemas; a test holds the two together.
extension PlainText {
    /// What says nothing at the ends of a text: white space, and what cannot be seen there.
    static func isBlank(_ scalar: Unicode.Scalar, as form: Form) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        // Soft hyphen, direction marks, zero-width spaces and joiners, invisible operators, blank Braille, Hangul fillers, byte order mark.
        case 0xAD, 0x61C, 0x200B...0x200F, 0x2060...0x2064, 0x2800, 0x3164, 0xFEFF, 0xFFA0: true
        // Embeddings and isolates come with pasted paths, numbers and names. An override is not taken for a blank: it shows a name turned
        // round, which is why it is there.
        case 0x202A...0x202C, 0x2066...0x2069: form == .line
        default: false
        }
    }

    private static let blanks =
        #"\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200F\u2028\u2029\u202F\u205F-\u2064\u3000"#
        + #"\u00AD\u061C\u2800\u3164\uFEFF\uFFA0"#
    private static let embeddings = #"\u202A-\u202C\u2066-\u2069"#

    /// What no text may have inside: controls, overrides of the direction, what Unicode has set aside as no character.
    static func isBarred(_ scalar: Unicode.Scalar, as form: Form) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x85, 0x2028, 0x2029: form == .line
        case 0..<0x20, 0x7F...0x9F, 0x202D, 0x202E: true
        case 0x202A...0x202C, 0x2066...0x2069: form == .line
        default: scalar.properties.isNoncharacterCodePoint
        }
    }

    private static let barred = #"\u0000-\u0008\u000E-\u001F\u007F-\u0084\u0086-\u009F\u202D\u202E\uFDD0-\uFDEF\uFFFE\uFFFF"#
    private static let lineEnds = #"\u0009-\u000D\u0085\u2028\u2029"#

    /// What ``checked(_:as:maximum:)`` takes, as a pattern of JSON Schema, as nearly as one can say it.
    ///
    /// - Parameters:
    ///   - isRequired: whether there must be something to see.
    ///   - further: further characters that are not taken, as they stand in a class.
    public static func pattern(_ form: Form, isRequired: Bool = false, without further: String = "") -> String {
        switch form {
        case .line:
            return pattern(
                isRequired: isRequired, blank: blanks + embeddings, barred: barred + lineEnds + embeddings + further)
        case .lines:
            let allowed = "[^\(barred)\(further)]*"
            return isRequired ? "^\(allowed)[^\(barred)\(further)\(blanks)]\(allowed)$" : "^\(allowed)$"
        }
    }

    /// - Parameter condition: a lookahead from the first character that is no blank.
    static func pattern(isRequired: Bool = false, condition: String = "", blank: String? = nil, barred: String? = nil) -> String {
        let blank = blank ?? blanks + embeddings
        let barred = barred ?? Self.barred + lineEnds + embeddings
        return "^[\(blank)]*(?:\(condition)[^\(barred)\(blank)](?:[^\(barred)]*[^\(barred)\(blank)])?)\(isRequired ? "" : "?")[\(blank)]*$"
    }

    /// What shows nothing.
    static let blankPattern = "^[\(blanks)\(embeddings)]*$"

    /// For formats in which nothing that cannot be seen has a meaning.
    static let anyBlank = blanks + embeddings + #"\u202D\u202E"#
    static let anyControl = #"\u0000-\u001F\u007F-\u009F\u2028\u2029\uFDD0-\uFDEF\uFFFE\uFFFF"#
}
