import Core
import Postgres

/// What a list route was asked for, checked.
struct ListRequest: Sendable {
    enum Count: String, Sendable, CaseIterable { case exact, estimate }

    /// Rows on a page, 1…200.
    var limit = 50
    var sort: SortOrder
    var cursor: Cursor?
    var count: Count?
    /// The columns of the answer, in the object's order.
    var selection: [Column]
    /// Conditions that all must hold.
    var filters: [SQL] = []
    /// Words to search for.
    var search: String?
    var isDeleted = false
    /// What a cursor of this list belongs to.
    var binding: [UInt8]
}

/// The order of a list: a column, then the id, both in one direction. Null comes last going up and first going down, which is
/// the order of the indexes.
struct SortOrder: Sendable, Hashable {
    var column: String
    var isDescending: Bool
    var isNullable: Bool
}
