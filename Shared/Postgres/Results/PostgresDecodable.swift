import Core

/// What can be read from a column's text format.
public protocol PostgresDecodable {
    /// `nil` when the text is not of this type; the argument is `nil` for NULL.
    init?(postgresText: UnsafeBufferPointer<UInt8>?)
}

extension String: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let postgresText else { return nil }
        self.init(decoding: postgresText, as: UTF8.self)
    }
}

extension Int: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let value = Int64(postgresText: postgresText) else { return nil }
        self.init(value)
    }
}

extension Int64: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let text = String(postgresText: postgresText) else { return nil }
        self.init(text)
    }
}

extension Bool: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let postgresText, postgresText.count == 1 else { return nil }
        switch postgresText[0] {
        case UInt8(ascii: "t"): self = true
        case UInt8(ascii: "f"): self = false
        default: return nil
        }
    }
}

extension Double: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let text = String(postgresText: postgresText) else { return nil }
        self.init(text)
    }
}

extension Identifier: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let text = String(postgresText: postgresText) else { return nil }
        self.init(text)
    }
}

extension Timestamp: PostgresDecodable {
    /// Reads `2026-01-31 09:30:00.123+00`; the sessions of this module have UTC as their time zone. Digits beyond milliseconds
    /// are dropped; `infinity` and years outside 1 to 9999 are refused.
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard var text = String(postgresText: postgresText), text.utf8.count >= 19 else { return nil }
        if text.hasSuffix("+00") { text.removeLast(3) }
        let separator = text.utf8.index(text.startIndex, offsetBy: 10)
        guard text.utf8[separator] == UInt8(ascii: " ") else { return nil }
        self.init("\(text[..<separator])T\(text[text.utf8.index(after: separator)...])Z")
    }
}

extension JSON: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let postgresText, let value = try? JSONParser.parse(Array(postgresText)) else { return nil }
        self = value
    }
}

extension Array: PostgresDecodable where Element: PostgresDecodable {
    /// Reads a one-dimensional array. A NULL in it needs an optional element.
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard let postgresText, let texts = ArrayLiteral.decode(postgresText) else { return nil }
        self.init()
        reserveCapacity(texts.count)
        for text in texts {
            guard var text else {
                guard let element = Element(postgresText: nil) else { return nil }
                append(element)
                continue
            }
            guard let element = text.withUTF8({ Element(postgresText: $0) }) else { return nil }
            append(element)
        }
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    public init?(postgresText: UnsafeBufferPointer<UInt8>?) {
        guard postgresText != nil else {
            self = .none
            return
        }
        guard let value = Wrapped(postgresText: postgresText) else { return nil }
        self = .some(value)
    }
}
