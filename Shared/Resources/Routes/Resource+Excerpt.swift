import Core
import Postgres

/// The first records of a list of the service's own making, for an answer that shows several such lists and asks for all in one round trip.
public struct Excerpt: Sendable {
    public let statement: SQL
    private let columns: [Column]
    private let limit: Int

    fileprivate init(_ statement: SQL, _ columns: [Column], limit: Int) {
        self.statement = statement
        self.columns = columns
        self.limit = limit
    }

    /// The records as a JSON array, and whether there are more.
    public func read(_ result: PostgresResult) -> (records: [UInt8], hasMore: Bool) {
        let renderer = RowRenderer(columns: columns)
        var output = Array("[".utf8)
        for (index, row) in result.prefix(limit).enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            renderer.append(row, to: &output)
        }
        output.append(UInt8(ascii: "]"))
        return (output, result.count > limit)
    }
}

extension Resource {
    /// The caller's own live records for which the conditions hold, without members that may be long.
    ///
    /// - Parameters:
    ///   - fields: the fields that it tells of.
    ///   - order: an index on (tenant_id, whose record it is, then this) should give it.
    ///   - newest: looked for among so many of them, the newest, where no index does.
    ///   - limit: records, at most.
    /// - Returns: `nil` when the caller may not read such records, or does not see one of the fields.
    public func excerptOfOwn(
        of fields: [String], where conditions: [SQL], order: String, amongNewest newest: Int? = nil, limit: Int = Paging.defaultLimit,
        as context: RequestContext
    ) -> Excerpt? {
        let view = access(of: context).view
        guard context.permissions.contains(permission(.read)), context.scopes[definition.permissions] != .none,
            fields.allSatisfy({ view.shown.field($0) != nil })
        else { return nil }
        let table: SQL = "\(unescaped: definition.table)"
        let own: SQL = "tenant_id = \(context.tenant) and \(unescaped: definition.ownerKey) = \(context.user) and deleted_at is null"
        var rows: SQL = "select * from " + table + " where "
        if let newest {
            let places: SQL =
                "select ctid from " + table + " where " + own + " order by created_at desc, id desc limit \(unescaped: String(newest))"
            rows += "ctid = any(array(" + places + ")) and tenant_id = \(context.tenant)"
        } else {
            rows += own
        }
        for condition in conditions { rows += " and " + condition }
        let columns = view.shown.columns.filter { !$0.isWide }
        let names = columns.map(\.name).joined(separator: ", ")
        let statement: SQL =
            "select \(unescaped: names) from (" + rows + " order by \(unescaped: order) limit \(unescaped: String(limit + 1))) as " + table
            + " order by \(unescaped: order)"
        return Excerpt(statement, columns, limit: limit)
    }
}
