import Core
import Postgres
import Resources

/// What of the log is wanted.
struct AuditFilter: Sendable {
    var actor: String?
    var resource: String?
    var resourceID: String?
    var actions: [String] = []
    var after: Timestamp?
    var before: Timestamp?
    var isNewestFirst = true
}

/// Reads the log of the caller's tenant.
struct AuditStore: Sendable {
    let postgres: PostgresClient

    /// What is read of each entry, beside the columns that every reader wants.
    enum Content: String, Sendable {
        /// `before`, `after`, and `details`, which is the payload of an event that has neither.
        case change = """
            payload -> 'before' as before, payload -> 'after' as after,
            case when payload -> 'before' is null and payload -> 'after' is null then payload end as details
            """
        /// `tenant_id` and `payload`: what the hash is made of.
        case chain = "tenant_id, payload"
    }

    /// A page of up to `limit` entries beyond the position, in order; ``BoundedPage`` ends it earlier when they are large.
    ///
    /// - Returns: the entries; the column `page_follows` of the last tells whether there are more.
    func page(
        _ filter: AuditFilter, beyond position: Int64?, limit: Int, content: Content, as context: RequestContext
    ) async throws -> PostgresResult {
        var conditions: [SQL] = ["tenant_id = \(context.tenant)"]
        if let actor = filter.actor { conditions.append("actor = \(actor)") }
        if let resource = filter.resource { conditions.append("aggregate = \(resource)") }
        if let id = filter.resourceID { conditions.append("aggregate_id = \(id)") }
        if !filter.actions.isEmpty { conditions.append("kind = any (\(filter.actions))") }
        if let after = filter.after { conditions.append("occurred_at > \(after)") }
        if let before = filter.before { conditions.append("occurred_at < \(before)") }
        if let position { conditions.append(filter.isNewestFirst ? "sequence < \(position)" : "sequence > \(position)") }
        let order = filter.isNewestFirst ? "sequence desc" : "sequence asc"
        let columns = "sequence, id, occurred_at, source, kind, aggregate, aggregate_id, actor, request_id, previous_hash, hash"
        let rows: SQL = """
            select \(unescaped: columns), tenant_id, payload, bytes from event
            where \(SQL.joined(conditions, separator: " and ")) order by \(unescaped: order) limit \(limit + 1)
            """
        let page = BoundedPage.query(
            "\(columns), \(content.rawValue)", from: rows, size: "bytes + 500", order: order, limit: limit)
        return try await postgres.batch(as: context, [page])[0]
    }
}
