import Contracts
import Core
import Logging
import Operations
import Postgres
import ServiceLifecycle

/// Hands the events of a service's outbox to activity, those of a tenant in the order of their ids, and removes them once activity has them.
///
/// One process at a time does it: the one that holds the ``Lease``. A batch is removed by its exact ids, never "up to the last one
/// seen": a transaction that took its id early may commit late, and its event must not be skipped. When the relay dies between hand-over
/// and removal the same events are sent again; activity knows them by `event_id`.
///
/// Each look takes the oldest events of every lane (``OutboxReader``), so a tenant with many delays no other lane, and hands them over in
/// some deliveries at once. A delivery that activity refuses is halved until the event that it refuses is alone; that one is set aside in
/// `outbox_dead_letter`, and an event `audit.gap` takes its place.
struct OutboxRelay: Service {
    let postgres: PostgresClient
    let services: ServiceClient
    let service: ServiceName
    let metrics: RelayMetrics
    let logger: Logger
    /// Deliveries at the same time; the lanes are shared out between them.
    static let deliveries = 4
    /// Time between two looks at an empty outbox.
    var interval: Duration = .milliseconds(100)

    func run() async throws {
        let leadership = Leadership(
            lease: .relay, postgres: postgres, service: service, pause: interval,
            failure: "the outbox could not be handed over and will be tried again", logger: logger)
        await cancelWhenGracefulShutdown {
            await leadership.run(isLeader: { metrics.isLeader = $0 }, elsewhere: { metrics.lag = .zero }) { session, lease in
                let turn = RelayTurn(relay: self, session: session, lease: lease)
                var reader = try await OutboxReader(session, of: service)
                while true {
                    let events = try await reader.read()
                    metrics.lag = events.map { .zero - $0.event.occurredAt.timeLeft }.max().map { max(.zero, $0) } ?? .zero
                    metrics.pending = events.count
                    try await turn.handOver(events)
                    reader.delivered(events)
                    metrics.pending = 0
                    if events.isEmpty { try await Task.sleep(for: interval) }
                }
            }
        }
    }
}

/// Brings the events of one look to activity, in the name of one lease.
private struct RelayTurn: Sendable {
    let relay: OutboxRelay
    let session: PostgresSession
    let lease: Lease

    /// Returns when all have left the outbox.
    func handOver(_ events: [QueuedEvent]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for part in 0..<OutboxRelay.deliveries {
                let share = events.filter { $0.lane % OutboxRelay.deliveries == part }
                if !share.isEmpty { group.addTask { try await deliver(share[...]) } }
            }
            try await group.waitForAll()
        }
    }

    private func deliver(_ events: ArraySlice<QueuedEvent>) async throws {
        let answer = try await relay.services.call(
            .activity, .post, "/internal/events?fence=\(lease.fence)", bytes: Event.encode(events.map(\.event)),
            caller: .service(SystemContext(service: relay.service.rawValue)))
        switch answer.status {
        case 204: try await remove(events)
        case 409: throw Lease.Lost(name: lease.name)
        // What is said of the body, and not of the caller or the moment.
        case 400, 413, 422:
            guard events.count > 1 else { return try await setAside(events[events.startIndex], answer) }
            let middle = events.startIndex + events.count / 2
            try await deliver(events[..<middle])
            try await deliver(events[middle...])
        default:
            throw Problem(.upstreamUnavailable, "Activity did not take the events.", context: "status \(answer.status)")
        }
    }

    private func remove(_ events: ArraySlice<QueuedEvent>) async throws {
        let result = try await session.query(QueuedEvent.removal(of: events) + " and " + lease.isHeld)
        guard result.affectedRows > 0 else { throw Lease.Lost(name: lease.name) }
        relay.metrics.count(delivered: events.count)
    }

    private func setAside(_ queued: QueuedEvent, _ answer: ServiceAnswer) async throws {
        let reason = "\(answer.status) \(answer.json["code"]?.string ?? "-")"
        let gap = try await session.query(
            """
            select \(unescaped: QueuedEvent.columns) from set_aside(\(lease.fence), \(queued.lane)::smallint, \(queued.id), \(reason))
            """
        ).map { try QueuedEvent(row: $0, source: relay.service) }
        guard !gap.isEmpty || queued.event.kind == Event.gap else { throw Lease.Lost(name: lease.name) }
        relay.metrics.count(dead: 1)
        relay.logger.error(
            "an event was refused and set aside in outbox_dead_letter",
            metadata: ["event.id": .string(queued.event.id.description), LogKey.reason: .string(reason)])
        if !gap.isEmpty { try await deliver(gap[...]) }
    }
}
