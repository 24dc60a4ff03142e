import Contracts
import Core
import Logging
import Operations
import Postgres
import ServiceLifecycle

/// Keeps a service's copies up to date by following the log of events in activity (Shared/Decisions/0023).
///
/// One process of the service at a time does it, the one that holds the ``Lease``. It asks for what is behind its position, and applies what comes
/// and moves the position in one transaction: so after a death at any moment nothing is skipped, and nothing is there twice. An event that
/// cannot be applied is set aside in `followed_dead_letter` and holds up no other.
struct LogFollower: Service {
    let copy: LogCopy
    let postgres: PostgresClient
    let services: ServiceClient
    let service: ServiceName
    let metrics: FollowerMetrics
    let logger: Logger
    /// Time between two looks at the end of the log.
    var interval: Duration = .milliseconds(200)
    /// Events in one look.
    var limit = 500

    func run() async throws {
        let leadership = Leadership(
            lease: .follower, postgres: postgres, service: service, pause: interval,
            failure: "the log of events could not be followed and will be tried again", logger: logger)
        await cancelWhenGracefulShutdown {
            await leadership.run(isLeader: { metrics.isLeader = $0 }, elsewhere: { metrics.current = nil }) { session, lease in
                try await FollowerTurn(follower: self, session: session, lease: lease).follow()
            }
        }
    }
}

/// Follows the log in the name of one lease.
private struct FollowerTurn: Sendable {
    let follower: LogFollower
    let session: PostgresSession
    let lease: Lease

    private var copy: LogCopy { follower.copy }
    private var metrics: FollowerMetrics { follower.metrics }

    func follow() async throws {
        var position = try await start()
        while true {
            let asked = Timestamp.now
            let page = try await read(after: position)
            if page.head < position {
                // Positions are never taken back: this log is another one, such as one put back from a backup.
                follower.logger.error("the log of events ends before what was followed of it; the copies are made anew")
                position = try await startAnew()
                continue
            }
            if page.events.isEmpty {
                // Nothing was there of what concerns the copies. Where that leads to is not written down: it is soon passed again.
                position = page.position
                metrics.current = asked
                metrics.position = position
                if position >= page.head { try await Task.sleep(for: follower.interval) }
            } else {
                metrics.current = page.events[0].event.occurredAt
                try await apply(page.events, upTo: page.position)
                position = page.position
                metrics.position = position
            }
        }
    }

    // MARK: Where to begin

    private func start() async throws -> Int64 {
        let row = try await session.query("select position, format from log_follower")[0]
        if try row.decode("format", as: Int.self) == copy.format { return try row.decode("position") }
        return try await startAnew()
    }

    /// Empties the copies, which then pass through what has been, page by page, until they are at the log's end again. Who is in none of
    /// them yet is confirmed by the owner, and alone in his team.
    private func startAnew() async throws -> Int64 {
        try await commit(
            copy.tables.map { "delete from \(unescaped: $0)" }
                + ["update log_follower set position = 0, format = \(copy.format)"])
        return 0
    }

    private func read(after position: Int64) async throws -> LogPage {
        let target = "/internal/log?after=\(position)&aggregates=\(copy.aggregates.joined(separator: ","))&limit=\(follower.limit)"
        let answer = try await follower.services.call(
            .activity, .get, target, as: SystemContext(service: follower.service.rawValue))
        guard answer.status == 200 else {
            throw Problem(.upstreamUnavailable, "Activity did not tell of the log.", context: "status \(answer.status)")
        }
        return try LogPage(json: answer.json)
    }

    // MARK: Applying

    /// Applies the events and moves the position, in one transaction. It is tried again without an event that fails it, as often as there are
    /// such events.
    private func apply(_ events: [LogPage.Entry], upTo position: Int64) async throws {
        var refused: [Int: String] = [:]
        while true {
            var statements: [SQL] = []
            /// Of each statement the event that it is for.
            var origins: [Int] = []
            for (index, entry) in events.enumerated() where refused[index] == nil && entry.event.source == copy.source.rawValue {
                do {
                    let own = try copy.statements(entry.event)
                    statements += own
                    origins += Array(repeating: index, count: own.count)
                } catch {
                    refused[index] = String(describing: error)
                }
            }
            let asides = refused.sorted { $0.key < $1.key }.map { setAside(events[$0.key], because: $0.value) }
            do {
                try await commit(statements + asides + ["update log_follower set position = \(position)"])
            } catch let error as PostgresError where error.isOfValues {
                // The first statement holds the lease.
                guard let place = error.statementIndex.map({ $0 - 1 }), origins.indices.contains(place) else { throw error }
                refused[origins[place]] = error.description
                continue
            }
            metrics.count(applied: events.count - refused.count, dead: refused.count)
            for (index, reason) in refused {
                follower.logger.error(
                    "an event could not be applied and was set aside in followed_dead_letter",
                    metadata: ["event.id": .string(events[index].event.id.description), LogKey.reason: .string(reason)])
            }
            return
        }
    }

    private func setAside(_ entry: LogPage.Entry, because reason: String) -> SQL {
        """
        insert into followed_dead_letter (tenant_id, position, event_id, kind, aggregate_id, payload, reason)
        values (\(entry.event.tenant), \(entry.position), \(entry.event.id), \(entry.event.kind), \(entry.event.aggregateID),
            \(entry.event.payload), \(reason))
        on conflict on constraint followed_dead_letter_pkey do nothing
        """
    }

    /// - Throws: ``Lease/Lost`` when another process follows by now.
    private func commit(_ statements: [SQL]) async throws {
        do {
            try await session.batch([lease.hold] + statements)
        } catch let error as PostgresError where error.sqlState == Lease.lost {
            throw Lease.Lost(name: lease.name)
        }
    }
}

extension PostgresError {
    /// Whether the values that a statement was given are to blame (SQLSTATE classes 22 and 23), which another trial would not mend.
    fileprivate var isOfValues: Bool { sqlState.map { $0.hasPrefix("22") || $0.hasPrefix("23") } ?? false }
}
