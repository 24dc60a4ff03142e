import Core
import Postgres

/// Why a value does not fit: a stable code and a sentence.
struct ValueFault: Error {
    var code: String
    var detail: String
}

/// An instant or other scalar of a kind that a filter or a body gives, as Postgres takes it.
extension FieldKind {
    /// Checks a scalar given as JSON. Objects, tags and custom fields have checks of their own (``BodyReader``).
    ///
    /// - Throws: ``ValueFault`` naming what was expected.
    func scalar(_ json: JSON) throws(ValueFault) -> SQLValue {
        switch self {
        case .integer(let range):
            guard case .number = json else { throw .type("an integer", json) }
            guard let value = json.integer else { throw .type("an integer without fraction or exponent", json) }
            return try Self.integer(value, in: range)
        case .boolean:
            guard let value = json.bool else { throw .type("a boolean", json) }
            return .text(value ? "true" : "false")
        default:
            guard let text = json.string else { throw .type("a string", json) }
            return try scalar(text: text)
        }
    }

    /// Checks a scalar given as text, as a filter has it.
    func scalar(text: String) throws(ValueFault) -> SQLValue {
        switch self {
        case .text(let maximum):
            try Self.checkText(text, maximum: maximum, allowsLines: false)
        case .longText(let maximum):
            try Self.checkText(text, maximum: maximum, allowsLines: true)
        case .email:
            // Kept as it is, so no white space around it is passed over.
            guard EmailAddress(text)?.text == text else { throw .format("an e-mail address such as anna@example.com") }
        case .phone:
            guard TextFormat.isPhone(text) else { throw .format("a telephone number such as +49 30 1234567") }
        case .url:
            guard TextFormat.isURL(text) else { throw .format("an address such as https://example.com") }
        case .integer(let range):
            guard let value = Int64(text) else { throw .format("an integer") }
            return try Self.integer(value, in: range)
        case .enumeration(let values, _):
            guard values.contains(text) else {
                throw ValueFault(
                    code: "not_allowed",
                    detail: "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: text, among: values))")
            }
        case .timestamp:
            guard let instant = Timestamp(text) else {
                throw .format("a time such as 2026-01-31T09:30:00.000Z")
            }
            return instant.sqlValue
        case .date:
            guard Timestamp.isDate(text) else { throw .format("a date such as 2026-01-31") }
        case .boolean:
            guard text == "true" || text == "false" else { throw .format("true or false") }
        case .reference:
            guard let id = RecordID(text) else { throw .format("an id (UUID)") }
            return id.sqlValue
        case .tags(_, let maximum):
            try Self.checkText(text, maximum: maximum, allowsLines: false)
        case .object, .custom:
            throw .format("an object")
        }
        return .text(text)
    }

    private static func integer(_ value: Int64, in range: ClosedRange<Int64>) throws(ValueFault) -> SQLValue {
        guard range.contains(value) else {
            throw ValueFault(code: "out_of_range", detail: "Expected \(range.lowerBound) to \(range.upperBound).")
        }
        return value.sqlValue
    }

    /// Refuses what Postgres cannot keep (NUL), what exceeds the maximum, and control characters.
    static func checkText(_ text: String, maximum: Int, allowsLines: Bool) throws(ValueFault) {
        var count = 0
        for scalar in text.unicodeScalars {
            count += 1
            let isLine = scalar == "\n" || scalar == "\r" || scalar == "\t"
            if (scalar.value < 0x20 && !(allowsLines && isLine)) || scalar.value == 0x7F {
                throw ValueFault(code: "invalid_text", detail: "Control characters are not allowed here.")
            }
        }
        if count > maximum {
            throw ValueFault(code: "too_long", detail: "Expected at most \(maximum) characters, found \(count).")
        }
    }
}

extension ValueFault {
    static func type(_ expected: String, _ found: JSON) -> ValueFault {
        ValueFault(code: "invalid_type", detail: "Expected \(expected), found \(found.kindName).")
    }

    static func format(_ expected: String) -> ValueFault {
        ValueFault(code: "invalid_format", detail: "Expected \(expected).")
    }
}
