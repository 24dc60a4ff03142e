import Core
import Postgres

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

    /// Up to `limit` entries beyond the position, in order.
    func entries(_ filter: AuditFilter, beyond position: Int64?, limit: Int, as context: RequestContext) async throws -> PostgresResult {
        var conditions: [SQL] = ["tenant_id = \(context.tenant)"]
        if let actor = filter.actor { conditions.append("actor = \(actor)") }
        if let resource = filter.resource { conditions.append("aggregate = \(resource)") }
        if let id = filter.resourceID { conditions.append("aggregate_id = \(id)") }
        if !filter.actions.isEmpty { conditions.append("kind = any (\(filter.actions))") }
        if let after = filter.after { conditions.append("occurred_at > \(after)") }
        if let before = filter.before { conditions.append("occurred_at < \(before)") }
        if let position { conditions.append(filter.isNewestFirst ? "sequence < \(position)" : "sequence > \(position)") }
        let direction: SQL = filter.isNewestFirst ? "desc" : "asc"
        return try await postgres.batch(
            as: context,
            [
                """
                select sequence, id, tenant_id, occurred_at, source, kind, aggregate, aggregate_id, actor, request_id, payload,
                    previous_hash, hash, payload -> 'before' as before, payload -> 'after' as after
                from event where \(SQL.joined(conditions, separator: " and ")) order by sequence \(direction) limit \(limit)
                """
            ])[0]
    }
}
