import Core
import Postgres

/// What a value of each kind must be, in a body as in a filter.
extension FieldKind {
    /// Checks a scalar of a body and gives it as it is kept: null for a text that shows nothing. Objects, tags and custom fields have
    /// checks of their own (``BodyReader``).
    ///
    /// - Throws: ``ValueFault`` naming what was expected.
    func checked(_ json: JSON) throws(ValueFault) -> JSON {
        switch self {
        case .integer(let range):
            guard json.isWholeNumber else { throw .type("a whole number", json) }
            return .number(try Self.checked(json.integer, in: range))
        case .boolean:
            guard json.bool != nil else { throw .type("a boolean", json) }
            return json
        default:
            guard let given = json.string else { throw .type("a string", json) }
            let text = try checked(text: given)
            return text.isEmpty ? .null : .string(text)
        }
    }

    /// Checks a scalar given as text, as a filter has it.
    ///
    /// - Throws: ``ValueFault``, also for a text that shows nothing: no record has such a value.
    func scalar(text given: String) throws(ValueFault) -> SQLValue {
        let text = try checked(text: given)
        if text.isEmpty { throw ValueFault(.tooShort, "Expected a value, or several joined by commas.") }
        return .text(text)
    }

    /// The value as it is kept and as Postgres reads it; empty for a text that shows nothing.
    private func checked(text: String) throws(ValueFault) -> String {
        switch self {
        case .text(let maximum), .tags(_, let maximum):
            return try PlainText.checked(text, as: .line, maximum: maximum)
        case .longText(let maximum):
            return try PlainText.checked(text, as: .lines, maximum: maximum)
        case .email:
            return try EmailAddress.checked(text)?.text ?? ""
        case .phone:
            return try PhoneNumber.checked(text)
        case .url:
            return try WebAddress.checked(text)
        case .integer(let range):
            guard let value = Int64(text) else { throw .format("a whole number") }
            return String(try Self.checked(value, in: range))
        case .enumeration(let values, _):
            guard values.contains(text) else {
                throw ValueFault(
                    .notAllowed, "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: text, among: values))")
            }
            return text
        case .timestamp:
            guard let instant = Timestamp(text) else { throw .format("a time such as 2026-01-31T09:30:00.000Z") }
            return instant.description
        case .date:
            guard Timestamp.isDate(text) else { throw .format("a date such as 2026-01-31") }
            return text
        case .boolean:
            guard text == "true" || text == "false" else { throw .format("true or false") }
            return text
        case .reference:
            guard let id = RecordID(text) else { throw .format("an id (UUID)") }
            return id.description
        case .object, .custom:
            throw .format("an object")
        }
    }

    /// - Parameter value: `nil` for a whole number of more than 64 bits.
    private static func checked(_ value: Int64?, in range: ClosedRange<Int64>) throws(ValueFault) -> Int64 {
        guard let value, range.contains(value) else {
            throw ValueFault(.outOfRange, "Expected \(range.lowerBound) to \(range.upperBound).")
        }
        return value
    }

    /// Whether the name is one that a tenant's own field can have: `[a-z0-9_]{1,64}`.
    static func isCustomKey(_ key: String) -> Bool {
        (1...64).contains(key.utf8.count)
            && key.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }
}

extension SQLValue {
    /// A checked scalar: its text, which is the same in JSON and in Postgres' text format.
    init(scalar: JSON) {
        switch scalar {
        case .null: self = .null
        case .string(let text), .number(let text): self = .text(text)
        case .bool, .array, .object: self = .text(scalar.description)
        }
    }
}
