import Contracts
import Operations
import Postgres

/// What a service keeps of the records of another one, made from the log of events.
public struct LogCopy: Sendable {
    /// The service whose records they are. What another says of records under the same names is not listened to.
    public var source: ServiceName
    /// The kinds of records: `member`.
    public var aggregates: [String]
    /// Raised by a release whose copies are of another form: they are then made anew from the log's beginning. 1 or more.
    public var format: Int
    /// The tables, of which each holds nothing but copies.
    public var tables: [String]
    /// What is done for an event. It must come to the same when the event was applied before, and must not undo what a later one has
    /// brought.
    ///
    /// - Throws: when the event cannot be understood; it is set aside with the error's description.
    public var statements: @Sendable (Event) throws -> [SQL]

    public init(
        source: ServiceName, aggregates: [String], format: Int, tables: [String], statements: @escaping @Sendable (Event) throws -> [SQL]
    ) {
        self.source = source
        self.aggregates = aggregates
        self.format = format
        self.tables = tables
        self.statements = statements
    }
}
