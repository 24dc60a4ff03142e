/// Reads JSON text strictly (RFC 8259): UTF-8 without a byte order mark, one value, no duplicate member, no lone surrogate, no
/// more combining marks in a row than any text has.
public struct JSONParser {
    /// Limits that keep hostile text cheap.
    public struct Limits: Sendable {
        /// Arrays and objects inside each other; default 32.
        public var depth: Int
        /// Values in the whole text; default 100,000.
        public var values: Int
        /// Bytes of one number; default ``JSON/maximumNumberLength``, so that what was kept can be read wherever it goes.
        public var numberLength: Int

        public init(depth: Int = 32, values: Int = 100_000, numberLength: Int = JSON.maximumNumberLength) {
            self.depth = depth
            self.values = values
            self.numberLength = numberLength
        }
    }

    /// Parses the text.
    ///
    /// - Throws: ``Problem`` with the code `invalid_json`, naming the byte offset, or for a duplicate member its pointer.
    public static func parse(_ bytes: [UInt8], limits: Limits = Limits()) throws(Problem) -> JSON {
        var parser = JSONParser(bytes: bytes, limits: limits)
        return try parser.document()
    }

    public static func parse(_ text: String) throws(Problem) -> JSON { try parse(Array(text.utf8)) }

    private let bytes: [UInt8]
    private let limits: Limits
    private var position = 0
    private var depth = 0
    private var values = 0
    /// The way from the root to the value being read.
    private var path: [Step] = []

    private enum Step {
        case member(String)
        case element(Int)

        var segment: String {
            switch self {
            case .member(let name): JSONPointer.segment(name)
            case .element(let index): "/\(index)"
            }
        }
    }

    private init(bytes: [UInt8], limits: Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    private func fault(_ detail: String) -> Problem {
        Problem(
            .invalidJSON, "\(detail) at byte \(position).",
            faults: [.init(pointer: pointer, code: .invalidJSON, detail: "\(detail) at byte \(position).")])
    }

    private var pointer: String { path.map(\.segment).joined() }

    private mutating func document() throws(Problem) -> JSON {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw fault("A byte order mark is not allowed") }
        skipSpace()
        if position == bytes.count { throw fault("The body is empty where JSON is expected") }
        let value = try value()
        skipSpace()
        if position < bytes.count { throw fault("Text follows the JSON value") }
        return value
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private mutating func value() throws(Problem) -> JSON {
        values += 1
        if values > limits.values { throw fault("More than \(limits.values) values") }
        guard position < bytes.count else { throw fault("The text ends too early") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw fault("A value is expected")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(Problem) -> JSON {
        let length = word.utf8CodeUnitCount
        guard bytes.count - position >= length,
            bytes[position..<position + length].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: length))
        else { throw fault("A value is expected") }
        position += length
        return value
    }

    private mutating func enter() throws(Problem) {
        depth += 1
        if depth > limits.depth { throw fault("Nested deeper than \(limits.depth)") }
        position += 1
        skipSpace()
    }

    private mutating func object() throws(Problem) -> JSON {
        try enter()
        defer { depth -= 1 }
        var object = JSONObject()
        var names = Names()
        if take(UInt8(ascii: "}")) { return .object(object) }
        while true {
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw fault("A member name is expected") }
            let name = try string()
            path.append(.member(name))
            guard names.take(name, after: object) else {
                let detail = "The member '\(Suggestion.shown(name))' occurs twice."
                throw Problem(.invalidJSON, detail, faults: [.init(pointer: pointer, code: .duplicateMember, detail: detail)])
            }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw fault("A colon is expected") }
            skipSpace()
            object.append(name, try value())
            path.removeLast()
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(object) }
            guard take(UInt8(ascii: ",")) else { throw fault("A comma or the end of the object is expected") }
            skipSpace()
        }
    }

    private mutating func array() throws(Problem) -> JSON {
        try enter()
        defer { depth -= 1 }
        var elements: [JSON] = []
        if take(UInt8(ascii: "]")) { return .array(elements) }
        path.append(.element(0))
        while true {
            path[path.count - 1] = .element(elements.count)
            elements.append(try value())
            skipSpace()
            if take(UInt8(ascii: "]")) {
                path.removeLast()
                return .array(elements)
            }
            guard take(UInt8(ascii: ",")) else { throw fault("A comma or the end of the array is expected") }
            skipSpace()
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func digits() -> Int {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
        return position - start
    }

    private mutating func number() throws(Problem) -> JSON {
        let start = position
        _ = take(UInt8(ascii: "-"))
        let integerStart = position
        let integerDigits = digits()
        if integerDigits == 0 || (integerDigits > 1 && bytes[integerStart] == UInt8(ascii: "0")) {
            throw fault("A number is malformed")
        }
        if take(UInt8(ascii: ".")), digits() == 0 { throw fault("A number is malformed") }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            if digits() == 0 { throw fault("A number is malformed") }
        }
        if position - start > limits.numberLength { throw fault("A number is longer than \(limits.numberLength) characters") }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func string() throws(Problem) -> String {
        position += 1
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                let text = try text(bytes[start..<position])
                position += 1
                return text
            case UInt8(ascii: "\\"):
                return try escapedString(from: start)
            case 0..<0x20:
                throw fault("A control character in a string must be escaped")
            default:
                position += 1
            }
        }
        throw fault("A string is not closed")
    }

    private func text(_ utf8: ArraySlice<UInt8>) throws(Problem) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else { throw fault("Invalid UTF-8") }
        guard PlainText.isStreamSafe(text) else { throw fault("More than \(PlainText.maximumMarks) combining marks in a row") }
        return text
    }

    /// The slow path: the string has an escape at `position`.
    private mutating func escapedString(from start: Int) throws(Problem) -> String {
        var unescaped = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                let text = try text(unescaped[...])
                position += 1
                return text
            case UInt8(ascii: "\\"):
                position += 1
                guard position < bytes.count else { throw fault("A string is not closed") }
                switch bytes[position] {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(bytes[position])
                case UInt8(ascii: "b"): unescaped.append(0x08)
                case UInt8(ascii: "f"): unescaped.append(0x0C)
                case UInt8(ascii: "n"): unescaped.append(0x0A)
                case UInt8(ascii: "r"): unescaped.append(0x0D)
                case UInt8(ascii: "t"): unescaped.append(0x09)
                case UInt8(ascii: "u"):
                    // A scalar always has an encoding.
                    unescaped.append(contentsOf: UTF8.encode(try unicodeEscape())!)
                    continue
                default: throw fault("An unknown escape")
                }
                position += 1
            case 0..<0x20:
                throw fault("A control character in a string must be escaped")
            default:
                unescaped.append(byte)
                position += 1
            }
        }
        throw fault("A string is not closed")
    }

    /// Reads `u` and four hexadecimal digits, and the low surrogate that must follow a high one.
    private mutating func unicodeEscape() throws(Problem) -> Unicode.Scalar {
        let first = try hexUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard (0xD800..<0xDC00).contains(first), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
            bytes[position + 1] == UInt8(ascii: "u")
        else { throw fault("A lone surrogate") }
        position += 1
        let second = try hexUnit()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw fault("A lone surrogate") }
        return scalar
    }

    private mutating func hexUnit() throws(Problem) -> UInt32 {
        position += 1
        guard position + 4 <= bytes.count else { throw fault("A string is not closed") }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Hex.value(of: byte) else { throw fault("An unknown escape") }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}

/// The names of the members that were read of one object. They are one when they are the same bytes (RFC 8259, section 8.3).
private struct Names {
    /// Up to so many are compared one after another, which takes less than to hash them.
    private static let few = 16

    private struct Name: Hashable {
        let text: String

        static func == (left: Self, right: Self) -> Bool { left.text.isSame(as: right.text) }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    private var many: Set<Name> = []

    /// Whether the name is a new one.
    mutating func take(_ name: String, after object: JSONObject) -> Bool {
        if object.members.count < Self.few { return !object.members.contains { $0.name.isSame(as: name) } }
        if many.isEmpty { many = Set(object.members.map { Name(text: $0.name) }) }
        return many.insert(Name(text: name)).inserted
    }
}

extension String {
    /// Whether the bytes are the same; canonical equivalence does not count.
    fileprivate func isSame(as other: String) -> Bool { utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8) }
}
