import Contracts
import Core
import Logging
import Postgres
import ServiceLifecycle

/// Hands the events of a service's outbox to activity, in the order of their ids, and removes them once activity has them.
///
/// One process at a time does it: the one that holds the advisory lock of the schema. A batch is removed by its exact ids, never
/// "up to the last one seen": a transaction that took its id early may commit late, and its event must not be skipped. When the
/// relay dies between hand-over and removal the same events are sent again; activity knows them by `event_id`.
struct OutboxRelay: Service {
    let postgres: PostgresClient
    let services: ServiceClient
    let service: ServiceName
    let metrics: RelayMetrics
    let logger: Logger
    /// Events in one hand-over.
    var batchSize = 500
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
                if try await !lead() { pause = .seconds(1) }
                failures = 0
            } catch {
                if Task.isCancelled { return }
                failures += 1
                logger.warning(
                    "the outbox could not be handed over and will be tried again",
                    metadata: [LogKey.count: .stringConvertible(failures), LogKey.error: .string(String(describing: error))])
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
                if try await relayBatch(session) < batchSize { try await Task.sleep(for: interval) }
            }
            return true
        }
    }

    /// - Returns: how many events were handed over.
    private func relayBatch(_ session: PostgresSession) async throws -> Int {
        let rows = try await session.query(
            """
            select id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at
            from outbox order by id limit \(batchSize)
            """)
        metrics.pending = rows.count
        if rows.isEmpty { return 0 }
        let ids = try rows.map { try $0.decode("id", as: Int64.self) }
        let events = try rows.map { row in
            Event(
                id: try row.decode("event_id"), tenant: try row.decode("tenant_id"), source: service.rawValue,
                aggregate: try row.decode("aggregatetype"), aggregateID: try row.decode("aggregateid"), kind: try row.decode("type"),
                actor: try row.decode("actor"), requestID: try row.decode("request_id"), occurredAt: try row.decode("occurred_at"),
                payload: try row.decode("payload", as: String.self))
        }
        let answer = try await services.call(
            .activity, .post, "/internal/events", bytes: Event.encode(events), caller: .service(SystemContext(service: service.rawValue)))
        guard answer.status == 204 else {
            throw Problem(.upstreamUnavailable, "Activity did not take the events.", context: "status \(answer.status)")
        }
        _ = try await session.query("delete from outbox where id = any (\(ids)::bigint[])")
        metrics.delivered += rows.count
        metrics.pending = 0
        return rows.count
    }
}
