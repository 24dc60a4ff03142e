/// The value of a JSON number, however it is spelt: `42`, `42.0` and `4.2e1` are one.
struct JSONNumber: Hashable, Sendable {
    private var isNegative = false
    /// Decimal digits, neither the first nor the last a zero; none for zero.
    private var digits: [UInt8] = []
    /// The power of ten of the last digit.
    private var exponent = 0

    /// - Parameter text: a number as the parser takes it.
    init(_ text: String) {
        var bytes = text.utf8[...]
        if bytes.first == UInt8(ascii: "-") {
            isNegative = true
            bytes.removeFirst()
        }
        var isFraction = false
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "."): isFraction = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"):
                // One that does not fit an integer makes nothing or more than anything: either way the same as a million.
                let limit = 1_000_000
                let written = String(Substring(bytes))
                exponent += max(-limit, min(limit, Int(written) ?? (written.hasPrefix("-") ? -limit : limit)))
                bytes = bytes[bytes.endIndex...]
            default:
                digits.append(byte)
                if isFraction { exponent -= 1 }
            }
        }
        digits.removeFirst(digits.prefix { $0 == UInt8(ascii: "0") }.count)
        while digits.last == UInt8(ascii: "0") {
            digits.removeLast()
            exponent += 1
        }
        if digits.isEmpty {
            isNegative = false
            exponent = 0
        }
    }

    var isWhole: Bool { exponent >= 0 }

    /// The value when it is whole and fits.
    var integer: Int64? {
        guard isWhole, digits.count + exponent <= 19 else { return nil }
        return Int64(
            (isNegative ? "-" : "") + String(decoding: digits, as: UTF8.self) + String(repeating: "0", count: exponent)
                + (digits.isEmpty ? "0" : ""))
    }

    /// Whether it is zero or its size is from 1e-308 to 1e308, as a double can hold it, and it can be written without exponent, as Postgres
    /// does in `jsonb`, within ``JSON/maximumNumberLength``.
    var isOrdinary: Bool {
        if digits.isEmpty { return true }
        let power = exponent + digits.count - 1
        let length = (isNegative ? 1 : 0) + max(power, 0) + 1 + (exponent < 0 ? 1 - exponent : 0)
        return length <= JSON.maximumNumberLength && ((-308..<308).contains(power) || (power == 308 && digits == [UInt8(ascii: "1")]))
    }

    /// Whether the text is the one spelling already, as that of most numbers is.
    static func isCanonical(_ text: String) -> Bool {
        let digits = text.utf8
        guard let last = digits.last, last != UInt8(ascii: "0") else { return digits.count == 1 }
        // No whole number that the parser takes has a zero at its beginning.
        return digits.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
    }

    /// One spelling for one value.
    var canonical: String {
        if digits.isEmpty { return "0" }
        return (isNegative ? "-" : "") + String(decoding: digits, as: UTF8.self) + (exponent == 0 ? "" : "e\(exponent)")
    }
}

extension JSON {
    /// The whole number that fits 64 bits: also of `42.0` and `4.2e1`, as in JSON Schema; `nil` for anything else.
    public var integer: Int64? {
        guard case .number(let text) = self else { return nil }
        return Int64(text) ?? JSONNumber(text).integer
    }

    /// Whether it is a number without fraction, be it larger than 64 bits.
    public var isWholeNumber: Bool { if case .number(let text) = self { JSONNumber(text).isWhole } else { false } }

    /// The most characters of a number, without exponent.
    public static let maximumNumberLength = 400

    /// The sizes of numbers that can be kept as they are, as members of a JSON Schema.
    public static let numberLimits: [(name: String, value: JSON)] = [("minimum", .number("-1e308")), ("maximum", .number("1e308"))]

    /// A value of the tenant's own naming as it is kept: a text, number or boolean; null for a text that shows nothing.
    ///
    /// - Parameter maximum: Unicode scalars of a text; it may have several lines.
    /// - Throws: ``ValueFault`` for an array or object, for a number beyond ``numberLimits`` or nearer to zero than 1e-308, and as
    ///   ``PlainText/checked(_:as:maximum:)``.
    public func checkedScalar(maximum: Int) throws(ValueFault) -> JSON {
        switch self {
        case .null, .bool: return self
        case .string(let given):
            let text = try PlainText.checked(given, as: .lines, maximum: maximum)
            return text.isEmpty ? .null : .string(text)
        case .number(let text):
            let number = JSONNumber(text)
            guard number.isOrdinary else {
                throw ValueFault(.outOfRange, "Expected zero or a number of a size from 1e-308 to 1e308.")
            }
            // As given where it is written out already, with all its zeros.
            return .number(text.utf8.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }) ? number.canonical : text)
        case .array, .object: throw .type("a string, number or boolean", self)
        }
    }

    /// The same value in one spelling: members in the order of their names, numbers without a choice. For comparing, as RFC 8785 does, but
    /// that numbers keep all their digits.
    public var canonical: JSON {
        switch self {
        case .null, .bool, .string: return self
        case .number(let text): return .number(JSONNumber.isCanonical(text) ? text : JSONNumber(text).canonical)
        case .array(let elements): return .array(elements.map(\.canonical))
        case .object(let object):
            var sorted = JSONObject()
            for member in object.members.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
                sorted.append(member.name, member.value.canonical)
            }
            return .object(sorted)
        }
    }
}
