import Contracts
import Core

/// What a forecast is asked for, checked.
struct ForecastQuery: Sendable {
    enum Period: String, CaseIterable, Sendable { case month, quarter }
    enum Group: String, CaseIterable, Sendable { case currency, owner, team, pipeline }

    let period: Period
    let group: Group
    /// The first day of the first period.
    let start: String
    let count: Int
    /// The month that a fiscal year begins with, where quarters are counted from.
    let firstMonth: Int
    /// `nil` for now.
    let asOf: Timestamp?

    static let maximumCount = 24
    private static let defaultCount = 4

    /// How many months a period has.
    var length: Int { period == .month ? 1 : 3 }

    /// - Parameter fiscalYearStarts: the tenant's; the query may name another.
    /// - Throws: ``Problem`` `invalid_parameter`.
    init(_ query: Query, fiscalYearStarts: Int, now: Timestamp = .now) throws(Problem) {
        period = try Self.choice("period", query) ?? .month
        group = try Self.choice("group", query) ?? .currency
        firstMonth = try Self.number("fiscal_year_starts", query, in: FiscalYear.months) ?? fiscalYearStarts
        count = try Self.number("periods", query, in: 1...Self.maximumCount) ?? Self.defaultCount
        if let text = query["as_of"] {
            guard let instant = Timestamp(Timestamp.inQuery(text)) else {
                throw .invalidParameter("as_of", ValueFault.format("a time such as 2026-01-31T09:30:00.000Z").detail)
            }
            guard instant <= now else { throw .invalidParameter("as_of", "Expected a time that is not to come.") }
            asOf = instant
        } else {
            asOf = nil
        }
        let day = query["from"] ?? String((asOf ?? now).description.prefix(10))
        guard Timestamp.isDate(day), let year = Int(day.prefix(4)), let month = Int(day.dropFirst(5).prefix(2)),
            (1000...9000).contains(year)
        else { throw .invalidParameter("from", ValueFault.format("a date such as 2026-01-31").detail) }
        // Months since the year 0, less those that its period has had.
        let months = year * 12 + month - 1
        let begun = period == .month ? 0 : (month - firstMonth + 12) % 3
        start = Self.day(months: months - begun)
    }

    /// The first day of the month.
    private static func day(months: Int) -> String {
        let (year, month) = (months / 12, months % 12 + 1)
        return "\(year)-\(month < 10 ? "0" : "")\(month)-01"
    }

    private static func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ query: Query
    ) throws(Problem) -> Choice? where Choice.RawValue == String {
        guard let text = query[name] else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        let names = Choice.allCases.map(\.rawValue)
        throw .invalidParameter(name, "Expected one of \(names.joined(separator: ", ")).\(Suggestion.hint(for: text, among: names))")
    }

    private static func number(_ name: String, _ query: Query, in range: ClosedRange<Int>) throws(Problem) -> Int? {
        guard let text = query[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .invalidParameter(name, "Expected \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// For the public document.
    static let parameters: [Operation.Parameter] = [
        .init(
            "period", in: .query,
            schema: ["type": "string", "enum": .array(Period.allCases.map { .string($0.rawValue) }), "default": "month"],
            "How long a period is."),
        .init(
            "group", in: .query,
            schema: ["type": "string", "enum": .array(Group.allCases.map { .string($0.rawValue) }), "default": "currency"],
            "What is told apart beside currencies, which always are. A deal counts for each team that its owner is in by now."),
        .init(
            "from", in: .query, schema: ["type": "string", "format": "date"], "A day of the first period; the day of as_of unless given."),
        .init(
            "periods", in: .query,
            schema: ["type": "integer", "minimum": 1, "maximum": .number(maximumCount), "default": .number(defaultCount)],
            "How many periods."),
        .init(
            "fiscal_year_starts", in: .query, schema: ["type": "integer", "minimum": 1, "maximum": 12],
            "The month that a fiscal year begins with, from which its quarters are counted; the tenant's unless given."),
        .init(
            "as_of", in: .query, schema: ["type": "string", "format": "date-time"],
            "How it stood then: with the stages, amounts, owners and days of that moment."),
    ]
}
