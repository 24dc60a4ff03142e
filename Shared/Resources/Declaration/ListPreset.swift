import Core
import Postgres

/// A parameter of a list that stands for a span of time, such as `due=today`: records with an instant within it, which a column of the table has that
/// no object shows. The table has an index on (tenant_id, that column, id) of the live rows that have one.
public struct ListPreset: Sendable {
    /// What the instants lie between; each end is open where it is `nil`.
    public struct Span: Sendable {
        /// The first.
        public var start: Timestamp?
        /// The first behind it.
        public var end: Timestamp?

        public init(from start: Timestamp? = nil, before end: Timestamp? = nil) {
            self.start = start
            self.end = end
        }
    }

    let name: String
    /// The values that it takes.
    let values: [String]
    let column: String
    /// The fields that it tells of: it is there for who sees them all.
    let fields: [String]
    let description: String
    /// What one of the values stands for.
    let span: @Sendable (_ value: String, _ context: RequestContext, _ now: Timestamp) -> Span

    public init(
        _ name: String, _ values: [String], column: String, of fields: [String], _ description: String,
        span: @escaping @Sendable (_ value: String, _ context: RequestContext, _ now: Timestamp) -> Span
    ) {
        self.name = name
        self.values = values
        self.column = column
        self.fields = fields
        self.description = description
        self.span = span
    }

    var document: Operation.Parameter {
        .init(name, in: .query, schema: ["type": "string", "enum": .array(values.map { .string($0) })], description)
    }

    /// - Throws: ``ValueFault`` for a value that it does not take.
    func condition(_ value: String, as context: RequestContext) throws(ValueFault) -> Condition {
        guard values.contains(value) else {
            throw ValueFault(.notAllowed, "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: value, among: values))")
        }
        return condition(span(value, context, .now))
    }

    func condition(_ span: Span) -> Condition {
        let start = span.start.map { start -> SQL in "\(unescaped: column) >= \(start)" }
        let end = span.end.map { end -> SQL in "\(unescaped: column) < \(end)" }
        let ends = [start, end].compactMap(\.self)
        let parts = ends.isEmpty ? ["\(unescaped: column) is not null"] : ends
        return Condition(SQL.joined(parts, separator: " and "), .range(of: column))
    }
}
