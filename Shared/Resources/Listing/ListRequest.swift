import Core
import Postgres

/// What a list route was asked for, checked.
struct ListRequest: Sendable {
    enum Count: String, Sendable, CaseIterable { case exact, estimate }
    /// Which deleted records there are; each object then tells when it was deleted.
    enum Deleted: String, Sendable, CaseIterable { case only, include }

    /// Rows on the page.
    var limit = Paging.defaultLimit
    var sort: SortOrder
    var cursor: Cursor?
    var count: Count?
    /// The columns of the answer, in the object's order.
    var selection: [Column]
    /// What is shown beside references.
    var expansions: [Expansion] = []
    /// The members that were asked for; `nil` for all.
    var fields: String?
    /// Conditions that all must hold.
    var conditions: [Condition] = []
    /// Words to search for.
    var search: String?
    /// What is searched for is one number, by which people call a record: that one comes first, whatever the order.
    var number: Int64?
    /// The record that came first is left out of the rows in order.
    var isWithoutNumber = false
    /// `nil` for the live records alone.
    var deleted: Deleted?

    /// Of the rows found, the place of what tells that large values were left out: behind what is shown, and what a cursor is made of.
    var lastColumn: Int { selection.count + expansions.cellCount + 2 }
}

/// The order of a list: a column, then the id, both in one direction. Null comes last going up and first going down, which is
/// the order of the indexes.
struct SortOrder: Sendable, Hashable {
    var column: String
    var isDescending = false
    var isNullable: Bool
    /// Whether its values are texts that people read: they go by the Unicode collation's root order, the same on every machine.
    var isText = false

    /// What is compared.
    var key: String { key(of: column) }

    func key(of value: String) -> String { isText ? "\(value) collate \(Self.collation)" : value }

    /// The root of the Unicode collation (UTS #10, CLDR), as ICU has it.
    static let collation = #""und-x-icu""#
}
