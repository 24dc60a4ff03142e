import Contracts
import Core
import Postgres

/// The one order over the events of all tenants: positions 1, 2, 3, … without a gap, in which services follow the log.
///
/// A delivery takes its positions last of all it does, under a lock that it holds until it has committed. So positions become visible in their
/// order, and whoever has seen one has seen all before it. The sequence numbers of the tenants cannot serve: they are many orders; nor can
/// numbers that are drawn without a lock: of two deliveries the one that drew first may commit last.
struct EventPositions: Sendable {
    /// Consecutive events of a tenant in a delivery.
    struct Run: Sendable {
        var tenant: TenantID
        var firstSequence: Int64
        var count: Int
        var aggregates: Set<String>
    }

    /// The last statements of a delivery: one after the other, as the end of the order is read after the lock.
    static func take(for runs: [Run]) -> [SQL] {
        var rows: (tenants: [TenantID], aggregates: [String], firsts: [Int], lasts: [Int], sequences: [Int64]) = ([], [], [], [], [])
        var taken = 0
        for run in runs {
            for aggregate in run.aggregates.sorted() {
                rows.tenants.append(run.tenant)
                rows.aggregates.append(aggregate)
                rows.firsts.append(taken + 1)
                rows.lasts.append(taken + run.count)
                rows.sequences.append(run.firstSequence)
            }
            taken += run.count
        }
        return [
            "select pg_advisory_xact_lock(hashtextextended('activity.event_position', 0))",
            """
            insert into event_position (tenant_id, aggregate, first_position, last_position, first_sequence)
            select tenant, aggregate, taken.position + first, taken.position + last, sequence
            from (select coalesce(max(last_position), 0) as position from event_position) as taken,
                unnest(\(rows.tenants)::uuid[], \(rows.aggregates)::text[], \(rows.firsts)::bigint[], \(rows.lasts)::bigint[],
                    \(rows.sequences)::bigint[]) as run (tenant, aggregate, first, last, sequence)
            """,
        ]
    }

    /// Bytes of the payloads of one answer, beyond which one event may still go; one of more than ``largestPayload`` comes without it.
    static let bytes = 2 << 20
    static let largestPayload = 4 << 20

    /// The events of these kinds behind a position, in the order of their positions, as many as there is room for.
    static func read(after position: Int64, of aggregates: [String], limit: Int) -> SQL {
        // One statement, so one snapshot. Rows of positions are read by kind and as many as events may come at most; payloads last.
        """
        with head as materialized (
            select coalesce(max(last_position), 0) as position from event_position
        ), run as materialized (
            select next.* from unnest(\(aggregates)::text[]) as wanted (kind) cross join lateral (
                select * from event_position where aggregate = kind and last_position > \(position) order by last_position limit \(limit)
            ) as next
            -- Those of one run have one position, so all or none of them are here.
            order by last_position fetch first (\(limit)) rows with ties
        ), known as (
            select case when count(*) < \(limit) then (select position from head) else max(last_position) end as position from run
        ), found as (
            select tenant_id, sequence, place, count(*) over () as total, row_number() over (order by place) as number,
                sum(bytes) over (order by place) - bytes as bytes_before
            from (
                select entry.tenant_id, entry.sequence, entry.bytes, run.first_position + entry.sequence - run.first_sequence as place
                from run cross join lateral (
                    select tenant_id, sequence, bytes from event
                    where event.tenant_id = run.tenant_id and event.aggregate = run.aggregate
                        and event.sequence >= run.first_sequence + greatest(\(position) - run.first_position + 1, 0)
                        and event.sequence <= run.first_sequence + run.last_position - run.first_position
                ) as entry
            ) as placed
        )
        select (select position from head) as head, known.position as known, found.place, found.total, event.id, event.tenant_id, event.source,
            event.aggregate, event.aggregate_id, event.kind, event.actor, event.request_id, event.occurred_at,
            case when event.bytes <= \(largestPayload) then event.payload::text end as payload
        from known left join found on number <= \(limit) and bytes_before < \(bytes)
        left join event on event.tenant_id = found.tenant_id and event.sequence = found.sequence
        order by found.place
        """
    }
}
