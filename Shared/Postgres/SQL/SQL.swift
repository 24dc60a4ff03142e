/// A statement with its values kept apart from its text.
///
/// Written as a literal: `"select name from lead where id = \(id)"` has the text `… where id = $1` and one bind, so a value can
/// never become SQL. Another ``SQL`` is spliced with its binds renumbered. Raw text enters only by `\(unescaped: text)`.
public struct SQL: Sendable, Hashable, ExpressibleByStringInterpolation {
    /// The statement with `$1`, `$2`, … where its values go.
    public private(set) var text: String
    /// The values in the order of their numbers; at most 65,535 in one statement.
    public private(set) var binds: [SQLValue]
    /// Whether the server plans it anew each time, knowing the values. Statements that come often are planned once for all values
    /// otherwise, which saves 50 µs and more, and is wrong where the best plan for one tenant is not that of another.
    public private(set) var isPlannedForItsValues = false

    /// The same statement, planned anew each time.
    public var plannedForItsValues: SQL {
        var sql = self
        sql.isPlannedForItsValues = true
        return sql
    }

    public init(stringLiteral text: String) {
        self.text = text
        self.binds = []
    }

    public init(stringInterpolation: StringInterpolation) { self = stringInterpolation.sql }

    /// A text made by code, such as one built once at start, whose `$n` stand for the n-th of the binds. The text is not escaped.
    public init(unescaped text: String, binds: [SQLValue] = []) {
        self.text = text
        self.binds = binds
    }

    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var sql = SQL(unescaped: "")

        public init(literalCapacity: Int, interpolationCount: Int) {
            sql.text.reserveCapacity(literalCapacity + 3 * interpolationCount)
            sql.binds.reserveCapacity(interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) { sql.text.append(literal) }
        public mutating func appendInterpolation(_ value: some SQLEncodable) { sql.append(value.sqlValue) }
        public mutating func appendInterpolation(_ other: SQL) { sql.append(other) }
        /// Puts text into the statement as it is. Only for text that no user can influence.
        public mutating func appendInterpolation(unescaped text: String) { sql.text.append(text) }
    }

    private mutating func append(_ value: SQLValue) {
        binds.append(value)
        text.append("$")
        text.append(String(binds.count))
    }

    private mutating func append(_ other: SQL) {
        if binds.isEmpty || other.binds.isEmpty {
            text.append(other.text)
        } else {
            text.append(Placeholders.renumbered(other.text, by: binds.count))
        }
        binds.append(contentsOf: other.binds)
    }

    public static func + (left: SQL, right: SQL) -> SQL {
        var sum = left
        sum.append(right)
        return sum
    }

    public static func += (left: inout SQL, right: SQL) { left.append(right) }

    /// The parts one after another with the separator between; empty for no parts.
    public static func joined(_ parts: [SQL], separator: SQL) -> SQL {
        var sum = SQL(unescaped: "")
        for (index, part) in parts.enumerated() {
            if index > 0 { sum.append(separator) }
            sum.append(part)
        }
        return sum
    }
}

/// Finds `$1`, `$2`, … in a statement, passing over quoted text, quoted names and line comments.
private enum Placeholders {
    static func renumbered(_ text: String, by offset: Int) -> String {
        let bytes = Array(text.utf8)
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + 8)
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            output.append(byte)
            position += 1
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                copy(bytes, from: &position, through: byte, to: &output)
            case UInt8(ascii: "-") where position < bytes.count && bytes[position] == byte:
                copy(bytes, from: &position, through: UInt8(ascii: "\n"), to: &output)
            case UInt8(ascii: "$"):
                var number = 0
                let start = position
                while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
                    number = number * 10 + Int(bytes[position] - UInt8(ascii: "0"))
                    position += 1
                }
                if position > start { output.append(contentsOf: String(number + offset).utf8) }
            default: break
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func copy(_ bytes: [UInt8], from position: inout Int, through end: UInt8, to output: inout [UInt8]) {
        while position < bytes.count {
            output.append(bytes[position])
            position += 1
            if bytes[position - 1] == end { return }
        }
    }
}
