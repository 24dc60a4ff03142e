import Core

/// A value as it is sent: in Postgres's text format, of the type that the server infers from its place in the statement.
public enum SQLValue: Sendable, Hashable {
    case null
    case text(String)
}

/// What can stand in a ``SQL`` literal as a value.
public protocol SQLEncodable {
    var sqlValue: SQLValue { get }
}

extension SQLValue: SQLEncodable {
    public var sqlValue: SQLValue { self }
}

extension String: SQLEncodable {
    /// A string with a NUL character is refused when its batch starts (`22021`): Postgres cannot store one.
    public var sqlValue: SQLValue { .text(self) }
}

extension Int: SQLEncodable {
    public var sqlValue: SQLValue { .text(String(self)) }
}

extension Int64: SQLEncodable {
    public var sqlValue: SQLValue { .text(String(self)) }
}

extension Int32: SQLEncodable {
    public var sqlValue: SQLValue { .text(String(self)) }
}

extension Bool: SQLEncodable {
    public var sqlValue: SQLValue { .text(self ? "t" : "f") }
}

extension Double: SQLEncodable {
    public var sqlValue: SQLValue { .text(description) }
}

extension Identifier: SQLEncodable {
    public var sqlValue: SQLValue { .text(description) }
}

extension Timestamp: SQLEncodable {
    public var sqlValue: SQLValue { .text(description) }
}

extension JSON: SQLEncodable {
    /// The value as JSON text; JSON's `null` is the JSON value, not SQL's null.
    public var sqlValue: SQLValue { .text(description) }
}

extension Optional: SQLEncodable where Wrapped: SQLEncodable {
    public var sqlValue: SQLValue { self?.sqlValue ?? .null }
}

extension Array: SQLEncodable where Element: SQLEncodable {
    /// An array literal such as `{"a","b",NULL}`, for `= any(…)` and `unnest(…)`.
    public var sqlValue: SQLValue { .text(ArrayLiteral.encode(map(\.sqlValue))) }
}
