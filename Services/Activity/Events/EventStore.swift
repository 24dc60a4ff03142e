import Contracts
import Core
import Postgres

/// Appends deliveries to the log.
struct EventStore: Sendable {
    let postgres: PostgresClient

    /// Appends the events that the log does not have yet, in the order given, each tenant's with its next sequence numbers. All or
    /// none; a repeat of the same delivery, or of a part of it, changes nothing.
    func append(_ events: [Event], as context: SystemContext) async throws {
        let tenants = Set(events.map(\.tenant)).sorted()
        if tenants.isEmpty { return }
        let parsed = try events.map { (event: $0, payload: try JSONParser.parse($0.payload)) }
        try await postgres.transaction(as: context) { transaction in
            // The heads are locked in the order of their tenants, so two deliveries cannot wait for each other in a circle. What is
            // known is read after the lock: whoever held it before has committed.
            let results = try await transaction.batch([
                "insert into event_head (tenant_id) select unnest(\(tenants)::uuid[]) order by 1 on conflict do nothing",
                "select tenant_id, sequence, hash from event_head where tenant_id = any (\(tenants)::uuid[]) order by tenant_id for update",
                "select id from event where tenant_id = any (\(tenants)::uuid[]) and id = any (\(events.map(\.id))::uuid[])",
            ])
            var heads: [TenantID: (sequence: Int64, hash: String)] = [:]
            for row in results[1] {
                heads[try row.decode("tenant_id")] = (try row.decode("sequence"), try row.decode("hash"))
            }
            var known = Set(try results[2].map { try $0.decode("id", as: EventID.self) })
            var entries: [EventChain.Entry] = []
            var hashes: [String] = []
            for (event, payload) in parsed where known.insert(event.id).inserted {
                guard let head = heads[event.tenant] else { throw Problem.internal("no head for a tenant of the delivery") }
                let entry = EventChain.Entry(sequence: head.sequence + 1, event: event, payload: payload, previousHash: head.hash)
                let hash = entry.hash
                heads[event.tenant] = (entry.sequence, hash)
                entries.append(entry)
                hashes.append(hash)
            }
            if entries.isEmpty { return }
            let changed = heads.sorted { $0.key < $1.key }
            _ = try await transaction.batch([
                """
                insert into event (tenant_id, sequence, id, source, aggregate, aggregate_id, kind, actor, request_id, occurred_at,
                    payload, previous_hash, hash)
                select * from unnest(
                    \(entries.map(\.event.tenant))::uuid[], \(entries.map { String($0.sequence) })::bigint[],
                    \(entries.map(\.event.id))::uuid[], \(entries.map(\.event.source))::text[],
                    \(entries.map(\.event.aggregate))::text[], \(entries.map(\.event.aggregateID))::text[],
                    \(entries.map(\.event.kind))::text[], \(entries.map(\.event.actor))::text[],
                    \(entries.map(\.event.requestID))::text[], \(entries.map(\.event.occurredAt.description))::timestamptz[],
                    \(entries.map(\.payload.description))::json[], \(entries.map(\.previousHash))::text[], \(hashes)::text[])
                """,
                """
                update event_head set sequence = new.sequence, hash = new.hash
                from unnest(\(changed.map(\.key))::uuid[], \(changed.map { String($0.value.sequence) })::bigint[],
                    \(changed.map(\.value.hash))::text[]) as new (tenant_id, sequence, hash)
                where event_head.tenant_id = new.tenant_id
                """,
            ])
        }
    }
}
