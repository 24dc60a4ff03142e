import Core
import Postgres
import Resources

/// What of the log is wanted.
struct AuditFilter: Sendable {
    var actor: String?
    var resource: String?
    var resourceID: String?
    /// Any of these; none for all.
    var actions: Set<String> = []
    var after: Timestamp?
    var before: Timestamp?
    var isNewestFirst = true
}

/// Reads the log of the caller's tenant.
struct AuditStore: Sendable {
    let postgres: PostgresClient

    /// What is read of each entry, beside the columns that every reader wants.
    enum Content: String, Sendable {
        /// `before`, `after`, and `details`, which is the payload of an event that has neither; `erased`.
        case change = """
            payload -> 'before' as before, payload -> 'after' as after,
            case when payload -> 'before' is null and payload -> 'after' is null then payload end as details, payload is null as erased
            """
        /// What a line of the export is made of.
        case chain = "tenant_id, format, payload_hash, encode(salt, 'hex') as salt, payload"
    }

    /// A page of up to `limit` entries beyond the position, in order; ``BoundedPage`` ends it earlier when they are large.
    ///
    /// - Returns: the entries; the column `has_more` of the last tells whether there are more.
    func page(
        _ filter: AuditFilter, beyond position: Int64?, limit: Int, content: Content, as context: RequestContext
    ) async throws -> PostgresResult {
        try await postgres.batch(
            as: context, [Self.page(filter, beyond: position, limit: limit, content: content, of: context.tenant)])[0]
    }

    /// The hash of an entry; `nil` when there is none of that number.
    func findHash(of sequence: Int64, as context: RequestContext) async throws -> String? {
        let rows = try await postgres.batch(
            as: context, ["select hash from event where tenant_id = \(context.tenant) and sequence = \(sequence)"])[0]
        return try rows.first.map { try $0.decode("hash") }
    }

    /// Each filter has an index that leads with its value and then gives the order, so a page costs as many entries as it has, and a
    /// combination of filters those that the one of them passes by.
    static func page(_ filter: AuditFilter, beyond position: Int64?, limit: Int, content: Content, of tenant: TenantID) -> SQL {
        let order = filter.isNewestFirst ? "sequence desc" : "sequence asc"
        let columns = "sequence, id, occurred_at, source, kind, aggregate, aggregate_id, actor, request_id, previous_hash, hash"
        // In the text: a bound limit is unknown to the plan that Postgres would keep.
        let end: SQL = " order by \(unescaped: order) limit \(unescaped: String(limit + 1))"
        func entries(_ kind: SQL?) -> SQL {
            let conditions = conditions(filter, beyond: position, of: tenant) + (kind.map { ["kind = \($0)"] } ?? [])
            return """
                select \(unescaped: columns), tenant_id, format, payload_hash, salt, payload, bytes from event
                where \(SQL.joined(conditions, separator: " and "))
                """ + end
        }
        let kinds = filter.actions.sorted()
        let rows: SQL =
            if kinds.count > 1 {
                // The first of each kind, each from the index, and of those the first.
                """
                select entry.* from unnest(\(kinds)::text[]) as wanted (wanted_kind) cross join lateral (\(entries("wanted_kind"))) as entry
                """ + end
            } else {
                entries(kinds.first.map { "\($0)" })
            }
        return BoundedPage.query("\(columns), \(content.rawValue)", from: rows, size: "bytes + 500", order: order, limit: limit)
    }

    private static func conditions(_ filter: AuditFilter, beyond position: Int64?, of tenant: TenantID) -> [SQL] {
        var conditions: [SQL] = ["tenant_id = \(tenant)"]
        if let actor = filter.actor { conditions.append("actor = \(actor)") }
        if let resource = filter.resource { conditions.append("aggregate = \(resource)") }
        if let id = filter.resourceID { conditions.append("aggregate_id = \(id)") }
        if let after = filter.after { conditions.append("occurred_at > \(after)") }
        if let before = filter.before { conditions.append("occurred_at < \(before)") }
        if let position { conditions.append(filter.isNewestFirst ? "sequence < \(position)" : "sequence > \(position)") }
        // No hour, no bound, no entry.
        var hours: [SQL] = ["tenant_id = \(tenant)"]
        if let after = filter.after { hours.append("hour >= date_trunc('hour', \(after)::timestamptz, 'UTC')") }
        if let before = filter.before { hours.append("hour < \(before)") }
        if hours.count > 1 {
            let among = SQL.joined(hours, separator: " and ")
            conditions.append("sequence >= (select min(first_sequence) from event_hour where \(among))")
            conditions.append("sequence <= (select max(last_sequence) from event_hour where \(among))")
        }
        return conditions
    }
}
