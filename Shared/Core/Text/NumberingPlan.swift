import Synchronization

/// How the numbers of a country are made up and dialled.
struct NumberingPlan: Sendable {
    /// 1 to 3 digits.
    let callingCode: [UInt8]
    /// The digits that a number within the country has.
    let lengths: [ClosedRange<Int>]
    /// What a number within the country looks like.
    let pattern: DigitPattern
    /// What is dialled before a number abroad.
    let internationalPrefix: DigitPattern?
    /// What is dialled before a number within the country.
    let nationalPrefix: DigitPattern?
    /// What stands in its place, and the number of the group that is put behind it; `nil` when it is left out.
    private let replacement: (digits: [UInt8], group: Int)?

    /// - Parameter line: one of ``NumberingPlanMetadata``.
    fileprivate init(_ line: Substring) {
        let columns = line.split(separator: " ")
        callingCode = columns[0].utf8.map { $0 - 0x30 }
        lengths = columns[2].split(separator: ",").map { part in
            let bounds = part.split(separator: "-").compactMap { Int($0) }
            return bounds[0]...bounds[bounds.count - 1]
        }
        pattern = DigitPattern(columns[3])
        internationalPrefix = columns[4] == "-" ? nil : DigitPattern(columns[4])
        nationalPrefix = columns[5] == "-" ? nil : DigitPattern(columns[5])
        let rule = columns[6].split(separator: "\\", omittingEmptySubsequences: false)
        replacement = rule.count < 2 ? nil : Int(rule[1]).map { (rule[0].utf8.map { $0 - 0x30 }, $0 - 1) }
    }

    enum Length { case tooShort, possible, between, tooLong }

    func length(of digits: [UInt8]) -> Length {
        if lengths.contains(where: { $0.contains(digits.count) }) { return .possible }
        if digits.count < lengths[0].lowerBound { return .tooShort }
        return digits.count > lengths[lengths.count - 1].upperBound ? .tooLong : .between
    }

    /// Whether it is the whole number of somebody within the country.
    func has(_ digits: [UInt8]) -> Bool { length(of: digits) == .possible && pattern.matches(digits) }

    /// The number without what is dialled before it within the country; the number itself when it would be none then.
    func withoutNationalPrefix(_ digits: [UInt8]) -> [UInt8] {
        guard let match = nationalPrefix?.prefix(of: digits) else { return digits }
        var rest = Array(digits[match.end...])
        if let replacement, let last = match.groups.last, last != nil {
            rest = replacement.digits + (match.groups[replacement.group].map { Array(digits[$0]) } ?? []) + rest
        }
        return pattern.matches(digits) && !pattern.matches(rest) ? digits : rest
    }

    // MARK: All of them

    static var countries: some Collection<String> { index.regions.keys }

    /// The plan of a country (ISO 3166-1); `nil` when there is none.
    static func of(country: String) -> NumberingPlan? { index.regions[country].map(plan) }

    /// The plans of all countries with the calling code, the main one's first.
    static func all(with callingCode: [UInt8]) -> some Collection<NumberingPlan> {
        (index.codes[callingCode] ?? []).lazy.map(plan)
    }

    /// Where in ``lines`` the plans stand.
    private struct Index: Sendable {
        var lines: [Substring] = []
        var regions: [String: Int] = [:]
        var codes: [[UInt8]: [Int]] = [:]
    }

    private static let index: Index = {
        var index = Index()
        for line in NumberingPlanMetadata.lines.split(separator: "\n") {
            let columns = line.split(separator: " ", maxSplits: 2)
            let place = index.lines.count
            index.lines.append(line)
            if columns[1] != "001" { index.regions[String(columns[1])] = place }
            index.codes[columns[0].utf8.map { $0 - 0x30 }, default: []].append(place)
        }
        return index
    }()

    /// Plans that were asked for before: to read one takes longer than to read a number by it.
    private static let known = Mutex<[Int: NumberingPlan]>([:])

    private static func plan(_ place: Int) -> NumberingPlan {
        if let plan = known.withLock({ $0[place] }) { return plan }
        let plan = NumberingPlan(index.lines[place])
        known.withLock { $0[place] = plan }
        return plan
    }
}
