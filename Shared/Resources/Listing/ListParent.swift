import Core
import Postgres

/// The record of another resource that all of a list belong to: by a field that refers to it, or by a link.
struct ListParent {
    let field: Field
    let id: RecordID
    let links: LinkTable?

    init(_ field: Field, _ id: RecordID, orIn links: LinkTable?) {
        (self.field, self.id, self.links) = (field, id, links)
    }
}

/// A table of the service's own that links records of two resources. It has an index on (tenant_id, from, to).
public struct LinkTable: Sendable {
    let table: String
    let source: String
    let target: String

    /// - Parameters:
    ///   - source: the column with the ids that a list is asked for by.
    ///   - target: the one with the ids of the records that it shows.
    public init(_ table: String, from source: String, to target: String) {
        (self.table, self.source, self.target) = (table, source, target)
    }

    /// That a row is linked to the record, or refers to it as the condition says. Of live rows both have an index, and one condition of either would be
    /// served by none: so their ids are gathered.
    func condition(of id: RecordID, or refers: Condition, in name: String, as context: RequestContext) -> Condition {
        let linked: SQL = """
            select \(unescaped: target) from \(unescaped: table) where tenant_id = \(context.tenant) and \(unescaped: source) = \(id)
            """
        var condition = Condition("(" + refers.sql + " or id = any(array(" + linked + ")))", .key)
        let referring: SQL =
            "select id from \(unescaped: name) where tenant_id = \(context.tenant) and deleted_at is null and " + refers.sql
        condition.lookup = "id = any(array(" + referring + " union all " + linked + "))"
        return condition
    }
}
