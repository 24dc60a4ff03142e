import Contracts
import Core
import Postgres

/// Appends deliveries to the log.
struct EventStore: Sendable {
    let postgres: PostgresClient
    let fences: SourceFences

    init(postgres: PostgresClient) {
        self.postgres = postgres
        fences = SourceFences(postgres: postgres)
    }

    /// Appends the events that the log does not have yet, in the order given, each tenant's with its next sequence numbers. All or
    /// none; a repeat of the same delivery, or of a part of it, changes nothing.
    ///
    /// - Parameter fence: the number of the lease of the relay that delivers, if it is one.
    /// - Throws: ``Problem`` `conflict` when a later relay of the service has delivered.
    func append(_ events: [Event], fence: Int64?, as context: SystemContext) async throws {
        let tenants = Set(events.map(\.tenant)).sorted()
        if tenants.isEmpty { return }
        let parsed = try events.map { (event: $0, payload: try JSONParser.parse($0.payload).description) }
        if let fence { try await fences.raise(to: fence, as: context) }
        try await postgres.transaction(as: context) { transaction in
            // The logs are locked in the order of their tenants, so two deliveries cannot wait for each other in a circle. Their ends and
            // what is known are read after the lock: whoever held it before has committed.
            let results = try await transaction.batch(
                (fence.map { [SourceFences.hold($0, as: context)] } ?? []) + [
                    "insert into event_log (tenant_id) select unnest(\(tenants)::uuid[]) order by 1 on conflict do nothing",
                    "select tenant_id from event_log where tenant_id = any (\(tenants)::uuid[]) order by tenant_id for update",
                    """
                    select tenant, sequence, hash from unnest(\(tenants)::uuid[]) as tenants (tenant) cross join lateral (
                        select sequence, hash from event where tenant_id = tenant order by sequence desc limit 1
                    ) as head
                    """,
                    "select id from event where tenant_id = any (\(tenants)::uuid[]) and id = any (\(events.map(\.id))::uuid[])",
                ])
            if fence != nil, results[0].isEmpty { throw Problem(.conflict, "Another relay of this service delivers now.") }
            let (headRows, knownRows) = (results[results.count - 2], results[results.count - 1])
            var heads: [TenantID: EventChain.Position] = [:]
            for row in headRows {
                heads[try row.decode("tenant")] = .init(sequence: try row.decode("sequence"), hash: try row.decode("hash"))
            }
            var known = Set(try knownRows.map { try $0.decode("id", as: EventID.self) })
            var entries: [Entry] = []
            for (event, payload) in parsed where known.insert(event.id).inserted {
                let entry = Entry(event, payload: payload, after: heads[event.tenant] ?? .init(sequence: 0, hash: ""))
                heads[event.tenant] = .init(sequence: entry.header.sequence, hash: entry.hash)
                entries.append(entry)
            }
            if entries.isEmpty { return }
            // The order of all goes last, as its lock is everybody's.
            _ = try await transaction.batch(
                [Self.insertion(of: entries), Self.hours(of: entries)] + EventPositions.take(for: Self.runs(of: entries)))
        }
    }

    /// What of the log is behind a position, for services that follow it.
    func read(after position: Int64, of aggregates: [String], limit: Int, as context: SystemContext) async throws -> LogPage {
        let rows = try await postgres.batch(as: context, [EventPositions.read(after: position, of: aggregates, limit: limit)])[0]
        let end = rows[0]
        var page = LogPage(events: [], position: try end.decode("known"), head: try end.decode("head"))
        guard let total = try end.decode("total", as: Int?.self) else { return page }
        page.events = try rows.map { row in
            LogPage.Entry(
                position: try row.decode("place"),
                event: Event(
                    id: try row.decode("id"), tenant: try row.decode("tenant_id"), source: try row.decode("source"),
                    aggregate: try row.decode("aggregate"), aggregateID: try row.decode("aggregate_id"), kind: try row.decode("kind"),
                    actor: try row.decode("actor"), requestID: try row.decode("request_id"), occurredAt: try row.decode("occurred_at"),
                    payload: try row.decode("payload", as: String?.self) ?? LogPage.noPayload))
        }
        // What had no room comes behind the last one.
        if page.events.count < total, let last = page.events.last { page.position = last.position }
        return page
    }

    private static func runs(of entries: [Entry]) -> [EventPositions.Run] {
        var runs: [TenantID: EventPositions.Run] = [:]
        for header in entries.map(\.header) {
            let start = EventPositions.Run(tenant: header.event.tenant, firstSequence: header.sequence, count: 0, aggregates: [])
            runs[header.event.tenant, default: start].count += 1
            runs[header.event.tenant]?.aggregates.insert(header.event.aggregate)
        }
        return runs.values.sorted { $0.tenant < $1.tenant }
    }

    private struct Entry {
        let header: EventChain.Header
        let hash: String
        let salt: [UInt8]
        /// Compact.
        let payload: String

        init(_ event: Event, payload: String, after head: EventChain.Position) {
            let seal = EventChain.Seal(payload)
            header = .init(sequence: head.sequence + 1, event: event, payloadHash: seal.hash, previousHash: head.hash)
            hash = header.hash
            salt = seal.salt
            self.payload = payload
        }
    }

    private static func insertion(of entries: [Entry]) -> SQL {
        let events = entries.map(\.header.event)
        return """
            insert into event (tenant_id, sequence, format, id, source, aggregate, aggregate_id, kind, actor, request_id, occurred_at,
                salt, payload, payload_hash, previous_hash, hash)
            select * from unnest(
                \(events.map(\.tenant))::uuid[], \(entries.map(\.header.sequence))::bigint[], \(entries.map(\.header.format))::smallint[],
                \(events.map(\.id))::uuid[], \(events.map(\.source))::text[], \(events.map(\.aggregate))::text[],
                \(events.map(\.aggregateID))::text[], \(events.map(\.kind))::text[], \(events.map(\.actor))::text[],
                \(events.map(\.requestID))::text[], \(events.map(\.occurredAt.description))::timestamptz[],
                \(entries.map { "\\x" + Hex.encode($0.salt) })::bytea[], \(entries.map(\.payload))::json[],
                \(entries.map(\.header.payloadHash))::text[], \(entries.map(\.header.previousHash))::text[], \(entries.map(\.hash))::text[])
            """
    }

    /// Notes in which hours the entries' events happened. The last number is rounded up, as it is a bound and no more: a row that each
    /// delivery changes has a version of it for each while a snapshot is open, and the next delivery walks over all of them.
    private static func hours(of entries: [Entry]) -> SQL {
        """
        insert into event_hour (tenant_id, hour, first_sequence, last_sequence)
        select tenant, date_trunc('hour', occurred, 'UTC'), min(number), (max(number) + 999) / 1000 * 1000
        from unnest(\(entries.map(\.header.event.tenant))::uuid[], \(entries.map(\.header.event.occurredAt.description))::timestamptz[],
            \(entries.map(\.header.sequence))::bigint[]) as entry (tenant, occurred, number)
        group by 1, 2
        on conflict (tenant_id, hour) do update set first_sequence = least(event_hour.first_sequence, excluded.first_sequence),
            last_sequence = greatest(event_hour.last_sequence, excluded.last_sequence)
        where event_hour.first_sequence > excluded.first_sequence or event_hour.last_sequence < excluded.last_sequence
        """
    }
}
