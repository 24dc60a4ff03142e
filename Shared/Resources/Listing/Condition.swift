import Core
import Postgres

/// A condition of a list in SQL, with what finds the records that it holds for.
struct Condition: Sendable {
    enum Index: Sendable, Hashable {
        /// The primary key: few records, each known.
        case key
        /// Values that few records have each, deleted ones or not.
        case few
        /// One value of a column. Its index is on (tenant_id, column, created_at, id), so that it also gives the usual order, or on
        /// (tenant_id, column, id) where it serves the order by the column too.
        case value(of: String, inOrderOfCreation: Bool)
        /// A range of a column; the index of its order has it.
        case range(of: String)
        /// Words or exact values in the column `search`.
        case words
        /// Several values of a column, which its index finds in no order.
        case values
        /// One of several owners, whose index gives the order of creation for each of them.
        case owners
    }

    /// Holds for a row of the table.
    var sql: SQL
    var index: Index
    /// What finds the rows in the index on `search`: a `tsquery`. Where it leads to them, the condition is not looked at.
    var words: SQL?
    /// Whether it holds for most records as a rule, so that any other condition says more.
    var isRest = false
    /// The same as conditions of which only one holds for a row, where its index has each of them in order; empty where it has all.
    var parts: [SQL] = []
    /// For ``Index/owners``: who they are.
    var owners: Owners?
    /// A column that is null in all its rows; the order by its index begins with it.
    var nullColumn: String?

    /// Whether its index gives the usual order too.
    var givesOrderOfCreation: Bool { if case .value(_, inOrderOfCreation: true) = index { true } else { false } }

    /// The same as the server finds live records by it best, where that is not ``sql``.
    var lookup: SQL?

    /// Holds where rows are found by it instead of walked.
    func found(isLive: Bool) -> SQL { owners?.lookup ?? (isLive ? lookup : nil) ?? sql }

    init(_ sql: SQL, _ index: Index) {
        self.sql = sql
        self.index = index
    }

    /// A condition on the column `search`. The query is made once a statement, not once a row.
    init(words query: SQL) {
        sql = "search @@ (select " + query + ")"
        index = .words
        words = query
    }

    /// A condition on a row that the query finds in the column `search`.
    init(_ sql: SQL, words query: SQL, isRest: Bool = false) {
        self.sql = sql
        self.words = query
        self.isRest = isRest
        index = .words
    }
}
