/// Which decimal numbers a value may be. They are exact texts, such as `1.0842`, from end to end: nothing here computes, Postgres does, in
/// `numeric`.
public struct DecimalFormat: Sendable {
    /// The digits before and behind the point, at most.
    public let whole: Int
    public let fraction: Int
    /// In words, for the public document and for refusals.
    public let rule: String
    /// What all of its numbers match, and nothing else does; for JSON Schema.
    public let pattern: String
    public let example: String
    private let isAllowed: @Sendable (_ whole: Int, _ isZero: Bool, _ isWhole: Bool) -> Bool

    /// From 0 to 100.
    public static let percentage = DecimalFormat(
        whole: 3, fraction: 4, "From 0 to 100, with up to 4 digits behind the point.",
        pattern: #"^(?:100(?:\.0{1,4})?|(?:0|[1-9][0-9]?)(?:\.[0-9]{1,4})?)$"#, example: "19"
    ) { whole, _, isWhole in whole < 100 || whole == 100 && isWhole }

    /// Above 0, with so many digits before and behind the point; at most 18 before it.
    public static func positive(whole: Int, fraction: Int, example: String) -> DecimalFormat {
        DecimalFormat(
            whole: whole, fraction: fraction, "Above 0, with up to \(whole) digits before the point and \(fraction) behind it.",
            pattern: #"^(?=.*[1-9])(?:0|[1-9][0-9]{0,\#(whole - 1)})(?:\.[0-9]{1,\#(fraction)})?$"#, example: example
        ) { _, isZero, _ in !isZero }
    }

    private init(
        whole: Int, fraction: Int, _ rule: String, pattern: String, example: String,
        _ isAllowed: @escaping @Sendable (_ whole: Int, _ isZero: Bool, _ isWhole: Bool) -> Bool
    ) {
        self.whole = whole
        self.fraction = fraction
        self.rule = rule
        self.pattern = pattern
        self.example = example
        self.isAllowed = isAllowed
    }

    /// The number in its one spelling: without zeros at the end of what is behind the point.
    ///
    /// - Throws: ``ValueFault`` for what is no number without sign and exponent, and for one that is too large or has too many digits.
    public func checked(_ given: String) throws(ValueFault) -> String {
        let parts = given.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy(Self.isDigits), parts[0] == "0" || !parts[0].hasPrefix("0") else {
            throw .format("a decimal number as text, such as \"\(example)\"")
        }
        let behind = parts.count > 1 ? parts[1] : ""
        var kept = behind
        while kept.last == "0" { kept.removeLast() }
        guard parts[0].count <= whole, behind.count <= fraction, let number = Int(parts[0]),
            isAllowed(number, number == 0 && kept.isEmpty, kept.isEmpty)
        else { throw ValueFault(.outOfRange, rule) }
        return kept.isEmpty ? String(parts[0]) : "\(parts[0]).\(kept)"
    }

    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
    }
}
