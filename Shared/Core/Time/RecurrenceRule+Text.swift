extension RecurrenceRule {
    /// Reads a rule, with or without `RRULE:` before it; letters may be small.
    ///
    /// - Throws: ``ValueFault`` naming the part that is wrong or that there is none of.
    public init(_ text: String) throws(ValueFault) {
        if text.utf8.count > Self.maximumLength { throw ValueFault(.tooLong, "Expected at most \(Self.maximumLength) characters.") }
        var parts = try Parts(text)
        guard let name = parts.take("FREQ") else { throw ValueFault(.invalidFormat, "The rule has no FREQ, such as FREQ=WEEKLY.") }
        guard let frequency = Frequency(rawValue: name) else {
            let names = Frequency.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValueFault(.notAllowed, "FREQ is one of \(names), not \(Parts.shown(name)).")
        }
        self.frequency = frequency
        interval = try parts.numbers("INTERVAL", 1...999, maximumCount: 1).first ?? 1
        let count = try parts.numbers("COUNT", 1...10_000, maximumCount: 1).first
        let until = try parts.take("UNTIL").map { text throws(ValueFault) in try Self.end(text) }
        if count != nil, until != nil { throw ValueFault(.notAllowed, "COUNT and UNTIL cannot be in one rule.") }
        end = count.map { .count(Int($0)) } ?? until
        let weeks: ClosedRange<Int64> = frequency == .yearly ? 1...53 : 1...5
        weekdays = try parts.list("BYDAY", maximumCount: 50) { item throws(ValueFault) in
            try Self.weekday(item, ordinals: frequency == .monthly || frequency == .yearly ? weeks : nil)
        }
        monthDays = try parts.numbers("BYMONTHDAY", 1...31, orNegative: true, maximumCount: 62)
        if !monthDays.isEmpty, frequency == .weekly { throw ValueFault(.notAllowed, "BYMONTHDAY does not go with FREQ=WEEKLY.") }
        months = try parts.numbers("BYMONTH", 1...12, maximumCount: 12)
        positions = try parts.numbers("BYSETPOS", 1...366, orNegative: true, maximumCount: 50)
        if !positions.isEmpty, weekdays.isEmpty, monthDays.isEmpty, months.isEmpty {
            throw ValueFault(.notAllowed, "BYSETPOS goes with BYDAY, BYMONTHDAY or BYMONTH only.")
        }
        weekStart = try parts.take("WKST").map { text throws(ValueFault) in try Self.weekday(text, ordinals: nil, of: "WKST").day } ?? 0
        if let longest = months.map({ CivilDay.days(inMonth: $0, of: 2024) }).max(), !monthDays.isEmpty,
            monthDays.allSatisfy({ abs($0) > longest })
        {
            throw ValueFault(.notAllowed, "No month of BYMONTH has a day of BYMONTHDAY.")
        }
        if !isEver { throw ValueFault(.notAllowed, "There is never a day that all parts of the rule hold for.") }
    }

    private static func weekday(
        _ text: String, ordinals: ClosedRange<Int64>?, of part: String = "BYDAY"
    ) throws(ValueFault) -> Weekday {
        guard text.utf8.count >= 2, let day = weekdayNames.firstIndex(of: String(text.suffix(2))) else {
            throw ValueFault(.invalidFormat, "\(part) has days such as MO, not \(Parts.shown(text)).")
        }
        let ordinal = text.dropLast(2)
        if ordinal.isEmpty { return Weekday(ordinal: nil, day: Int64(day)) }
        guard let ordinals else {
            throw ValueFault(.notAllowed, "\(part) has no numbers\(part == "WKST" ? "" : " but with FREQ=MONTHLY or FREQ=YEARLY").")
        }
        guard let number = Parts.number(ordinal), ordinals.contains(abs(number)) else {
            throw ValueFault(.outOfRange, "A number in \(part) is up to \(ordinals.upperBound) or down to -\(ordinals.upperBound).")
        }
        return Weekday(ordinal: number, day: Int64(day))
    }

    /// `20261231T225959Z` or `20261231`.
    private static func end(_ text: String) throws(ValueFault) -> End {
        let digits = Array(text.utf8)
        func part(_ range: Range<Int>) -> String { String(decoding: digits[range], as: UTF8.self) }
        if digits.count == 8 || digits.count == 16, digits.allSatisfy({ $0 < 0x80 }) {
            let date = "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))"
            if digits.count == 8, let instant = Timestamp("\(date)T00:00:00Z") { return .day(CivilDay.split(instant.milliseconds).day) }
            if digits.count == 16, part(8..<9) == "T", part(15..<16) == "Z",
                let instant = Timestamp("\(date)T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z")
            {
                return .instant(instant)
            }
        }
        throw ValueFault(.invalidFormat, "UNTIL is a time in UTC such as 20261231T225959Z, or a day such as 20261231.")
    }
}

/// The parts of a rule by their names, each once.
private struct Parts {
    private var values: [String: String] = [:]

    init(_ text: String) throws(ValueFault) {
        let rule = text.uppercased()
        for part in (rule.hasPrefix("RRULE:") ? rule.dropFirst(6) : rule[...]).split(separator: ";", omittingEmptySubsequences: false) {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard halves.count == 2, !halves[1].isEmpty else {
                throw .format("parts such as FREQ=WEEKLY, joined by semicolons, as in FREQ=WEEKLY;BYDAY=MO,TH")
            }
            guard RecurrenceRule.parts.contains(halves[0]) else {
                throw ValueFault(
                    .notAllowed, "\(Self.shown(halves[0])) is not supported. A rule has \(RecurrenceRule.parts.joined(separator: ", ")).")
            }
            if values.updateValue(halves[1], forKey: halves[0]) != nil { throw ValueFault(.notAllowed, "\(halves[0]) is there twice.") }
        }
    }

    static func shown(_ text: String) -> String { Suggestion.shown(text) }

    /// A whole number as RFC 5545 writes one: a sign may stand before it.
    static func number(_ text: some StringProtocol) -> Int64? { text.utf8.count <= 6 ? Int64(text) : nil }

    mutating func take(_ name: String) -> String? { values.removeValue(forKey: name) }

    /// In their order, each once.
    mutating func list<Item: Hashable & Comparable>(
        _ name: String, maximumCount: Int, _ read: (String) throws(ValueFault) -> Item
    ) throws(ValueFault) -> [Item] {
        guard let text = take(name) else { return [] }
        let items = text.split(separator: ",", omittingEmptySubsequences: false)
        if items.count > maximumCount {
            throw ValueFault(.tooMany, maximumCount == 1 ? "\(name) is one number." : "\(name) has at most \(maximumCount) values.")
        }
        var found: Set<Item> = []
        for item in items { found.insert(try read(String(item))) }
        return found.sorted()
    }

    mutating func numbers(
        _ name: String, _ range: ClosedRange<Int64>, orNegative: Bool = false, maximumCount: Int
    ) throws(ValueFault) -> [Int64] {
        try list(name, maximumCount: maximumCount) { item throws(ValueFault) in
            if let number = Self.number(item), range.contains(orNegative ? abs(number) : number) { return number }
            let numbers = "\(range.lowerBound) to \(range.upperBound)"
            throw ValueFault(.outOfRange, "\(name) goes from \(numbers)\(orNegative ? ", or from -\(range.upperBound) to -1" : "").")
        }
    }
}

extension RecurrenceRule: CustomStringConvertible {
    /// The rule as it is kept: parts in one order, values in theirs.
    public var description: String {
        func list(_ name: String, _ values: [String]) -> [String] { values.isEmpty ? [] : ["\(name)=\(values.joined(separator: ","))"] }
        var parts = ["FREQ=\(frequency.rawValue)"]
        if interval > 1 { parts.append("INTERVAL=\(interval)") }
        switch end {
        case .count(let count): parts.append("COUNT=\(count)")
        case .instant(let instant):
            let text = instant.description
            parts.append("UNTIL=\(text.prefix(19).filter { $0 != "-" && $0 != ":" })Z")
        case .day(let day): parts.append("UNTIL=\(day.description.filter { $0 != "-" })")
        case nil: break
        }
        parts += list("BYMONTH", months.map { "\($0)" }) + list("BYMONTHDAY", monthDays.map { "\($0)" })
        parts += list("BYDAY", weekdays.map { "\($0.ordinal.map { "\($0)" } ?? "")\(Self.weekdayNames[Int($0.day)])" })
        parts += list("BYSETPOS", positions.map { "\($0)" })
        if weekStart > 0 { parts.append("WKST=\(Self.weekdayNames[Int(weekStart)])") }
        return parts.joined(separator: ";")
    }
}
