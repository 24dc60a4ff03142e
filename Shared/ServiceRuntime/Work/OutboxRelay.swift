import Contracts
import Core
import Logging
import Operations
import Postgres
import ServiceLifecycle

/// Hands the events of a service's outbox to activity, in the order of their ids, and removes them once activity has them.
///
/// One process at a time does it: the one that holds the advisory lock of the schema. A batch is removed by its exact ids, never
/// "up to the last one seen": a transaction that took its id early may commit late, and its event must not be skipped. When the
/// relay dies between hand-over and removal the same events are sent again; activity knows them by `event_id`.
///
/// A batch that activity refuses is halved until the event that it refuses is alone; that one is set aside in
/// `outbox_dead_letter`, so that it does not hold up the others.
struct OutboxRelay: Service {
    let postgres: PostgresClient
    let services: ServiceClient
    let service: ServiceName
    let metrics: RelayMetrics
    let logger: Logger
    /// Events in one hand-over, and bytes of their payloads; one event may be larger.
    var batchSize = 500
    var batchBytes = 8 << 20
    /// Time between two looks at an empty outbox.
    var interval: Duration = .milliseconds(100)

    func run() async throws {
        await cancelWhenGracefulShutdown { await loop() }
    }

    private func loop() async {
        var failures = 0
        while !Task.isCancelled {
            var pause = interval
            do {
                // The other process is asked again after a second: that long an outbox waits when its relay dies.
                if try await !lead() {
                    pause = .seconds(1)
                    metrics.lag = .zero
                }
                failures = 0
            } catch {
                if Task.isCancelled { return }
                failures += 1
                logger.warning(
                    "the outbox could not be handed over and will be tried again",
                    metadata: [LogKey.count: .stringConvertible(failures), LogKey.error: .string(describeForLog(error))])
            }
            try? await Task.sleep(for: min(.seconds(2), pause * (1 << min(failures, 5))))
        }
    }

    /// Hands over batch after batch while this process holds the lock, which ends with the session.
    ///
    /// - Returns: false, at once, when another process has the lock.
    private func lead() async throws -> Bool {
        try await postgres.session(as: SystemContext(service: service.rawValue)) { session in
            let lock = try await session.query("select pg_try_advisory_lock(hashtextextended(current_schema() || '.outbox', 0)) as held")
            guard try lock.first?.decode("held", as: Bool.self) == true else { return false }
            metrics.isLeader = true
            defer { metrics.isLeader = false }
            while !Task.isCancelled {
                if try await relayBatch(session) == 0 { try await Task.sleep(for: interval) }
            }
            return true
        }
    }

    /// - Returns: how many events left the outbox.
    private func relayBatch(_ session: PostgresSession) async throws -> Int {
        let rows = try await session.query(
            """
            select id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at
            from (
                select first.*, sum(octet_length(payload)) over (order by id) - octet_length(payload) as bytes_before
                from (
                    select id, event_id, tenant_id, aggregatetype, aggregateid, type, payload::text as payload, actor, request_id,
                        occurred_at
                    from outbox order by id limit \(batchSize)
                ) as first
            ) as counted
            where bytes_before < \(batchBytes) order by id
            """)
        metrics.pending = rows.count
        let events = try rows.map { row in
            Queued(
                id: try row.decode("id"),
                event: Event(
                    id: try row.decode("event_id"), tenant: try row.decode("tenant_id"), source: service.rawValue,
                    aggregate: try row.decode("aggregatetype"), aggregateID: try row.decode("aggregateid"), kind: try row.decode("type"),
                    actor: try row.decode("actor"), requestID: try row.decode("request_id"), occurredAt: try row.decode("occurred_at"),
                    payload: try row.decode("payload", as: String.self)))
        }
        metrics.lag = max(.zero, events.first.map { .zero - $0.event.occurredAt.timeLeft } ?? .zero)
        if !events.isEmpty { try await handOver(events[...], session) }
        metrics.pending = 0
        return events.count
    }

    private struct Queued: Sendable {
        var id: Int64
        var event: Event
    }

    private func handOver(_ events: ArraySlice<Queued>, _ session: PostgresSession) async throws {
        let answer = try await services.call(
            .activity, .post, "/internal/events", bytes: Event.encode(events.map(\.event)),
            caller: .service(SystemContext(service: service.rawValue)))
        switch answer.status {
        case 204:
            _ = try await session.query("delete from outbox where id = any (\(events.map(\.id))::bigint[])")
            metrics.delivered += events.count
        // What is said of the body, and not of the caller or the moment.
        case 400, 413, 422:
            guard events.count > 1 else { return try await setAside(events[events.startIndex], answer, session) }
            let middle = events.startIndex + events.count / 2
            try await handOver(events[..<middle], session)
            try await handOver(events[middle...], session)
        default:
            throw Problem(.upstreamUnavailable, "Activity did not take the events.", context: "status \(answer.status)")
        }
    }

    private func setAside(_ queued: Queued, _ answer: ServiceAnswer, _ session: PostgresSession) async throws {
        let reason = "\(answer.status) \(answer.json["code"]?.string ?? "-")"
        _ = try await session.query(
            """
            with refused as (delete from outbox where id = \(queued.id) returning *)
            insert into outbox_dead_letter select refused.*, \(reason)::text from refused
            """)
        metrics.dead += 1
        logger.error(
            "an event was refused and set aside in outbox_dead_letter",
            metadata: ["event.id": .string(queued.event.id.description), LogKey.reason: .string(reason)])
    }
}
