/// How a cell of Postgres' text format becomes JSON.
enum CellFormat: Sendable {
    /// JSON already: numbers, `jsonb`.
    case raw
    /// Needs quotes but no escapes: ids, dates, values of an enumeration.
    case plain
    case text
    /// `2026-01-31 09:30:00.12+00` becomes RFC 3339 with three digits.
    case timestamp
    case boolean
    case textArray
    /// `(lead,01a2…)`, a `record_reference`.
    case related
}

/// A column that is written as a member of the JSON object.
struct Column: Sendable {
    let name: String
    let format: CellFormat
    /// Whether a value may be so large that a page of them has to be bounded.
    var isWide = false
}
