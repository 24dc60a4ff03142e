import Core
import Postgres

/// The deals that count in one of a forecast's periods, as they were at its moment.
///
/// There are three ways into it, each by an index of its own, and of the past the same three: so it reads what counts in the periods asked for, however
/// much has happened in others.
struct ForecastStates {
    let query: ForecastQuery
    let tenant: TenantID
    /// Which deals are the caller's; `nil` for all of them.
    let reach: SQL?

    private static let columns = "pipeline_id, status, amount_minor, currency, probability, expected_close_on, closed_at"

    var sql: SQL {
        let isReached = reach.map { " and " + $0 } ?? ""
        let own: SQL = " where tenant_id = \(tenant) and deleted_at is null" + isReached
        let owner = "case when owner_id is null then created_by else owner_id end"
        guard let instant = query.asOf else { return find(owner, "deal", own) }
        // What has not changed since is as it is; of all else the history knows how it was. Each deal is asked for by itself (`offset 0`), as the
        // server would otherwise gather all that was changed since.
        let unchanged: SQL = """
             and created_at <= \(instant) and not exists (select from deal_history as later where later.tenant_id = \(tenant) \
            and later.deal_id = deal.id and later.valid_to > \(instant) offset 0)
            """
        var past: SQL = " as past where tenant_id = \(tenant) and valid_to > \(instant) and valid_from <= \(instant) and not is_deleted"
        // Whose it is to read is told by who has it now.
        if reach != nil { past += " and exists (select from deal where tenant_id = \(tenant) and id = past.deal_id\(isReached) offset 0)" }
        let maker =
            "case when owner_id is null then (select created_by from deal where tenant_id = past.tenant_id and id = past.deal_id) else owner_id end"
        return find(owner, "deal", own + unchanged) + " union all " + find(maker, "deal_history", past)
    }

    private func find(_ owner: String, _ table: String, _ conditions: SQL) -> SQL {
        let from: SQL = "select \(unescaped: Self.columns), \(unescaped: owner) as owner from \(unescaped: table)" + conditions
        let end: SQL = "(\(query.start)::date + make_interval(months => \(query.count * query.length)))::date"
        return SQL.joined(
            [
                from + " and status = 'open' and expected_close_on >= \(query.start)::date and expected_close_on < " + end,
                from + " and status = 'open' and expected_close_on is null",
                from + " and status = 'won' and closed_at >= \(query.start)::timestamp at time zone 'UTC' and closed_at < (" + end
                    + ")::timestamp at time zone 'UTC'",
            ], separator: " union all ")
    }
}
