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
/// cannot be applied is set aside in `followed_dead_letter` and holds up no other. The log is followed from where the copies began: what was
/// before is asked of the records' owner, as they are by then.
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
                var turn = FollowerTurn(follower: self, session: session, lease: lease)
                try await turn.follow()
            }
        }
    }
}

/// Follows the log in the name of one lease.
private struct FollowerTurn: Sendable {
    let follower: LogFollower
    let session: PostgresSession
    let lease: Lease
    /// Up to where the owner has told of its records while the copies are renewed, empty at the beginning; `nil` when they are whole.
    private var renewed: String?
    /// Whether there may be records in doubt.
    private var hasDoubts = true
    /// The owner is not asked before, after it could not say.
    private var nextQuestion = ContinuousClock.now

    init(follower: LogFollower, session: PostgresSession, lease: Lease) {
        self.follower = follower
        self.session = session
        self.lease = lease
    }

    private var copy: LogCopy { follower.copy }
    private var metrics: FollowerMetrics { follower.metrics }
    private var context: SystemContext { SystemContext(service: follower.service.rawValue) }

    mutating func follow() async throws {
        metrics.current = .now
        let row = try await session.query("select position, format, renewed_to from log_follower")[0]
        var position = try row.decode("position", as: Int64.self)
        renewed = try row.decode("renewed_to", as: String?.self)
        let format = try row.decode("format", as: Int.self)
        if format != copy.format {
            // From its beginning the log would show what has been, also to those who read the copies meanwhile.
            position = try await renew(from: format == 0 ? try await read(after: 0).head : position)
        }
        while true {
            let asked = Timestamp.now
            try await askOwner()
            let isWhole = renewed == nil && !hasDoubts
            let page = try await read(after: position)
            if page.head < position {
                // Positions are never taken back: this log is another one, such as one put back from a backup.
                follower.logger.error("the log of events ends before what was followed of it; the copies are renewed")
                position = try await renew(from: page.head)
                continue
            }
            if page.events.isEmpty {
                // Nothing was there of what concerns the copies. Where that leads to is not written down: it is soon passed again.
                position = page.position
                if isWhole { metrics.current = asked }
                metrics.position = position
                if position >= page.head, isWhole || nextQuestion > .now { try await Task.sleep(for: follower.interval) }
            } else {
                if isWhole { metrics.current = page.events[0].event.occurredAt }
                try await apply(page.events, upTo: page.position)
                position = page.position
                metrics.position = position
            }
        }
    }

    private func read(after position: Int64) async throws -> LogPage {
        let target = "/internal/log?after=\(position)&aggregates=\(copy.aggregates.joined(separator: ","))&limit=\(follower.limit)"
        let answer = try await follower.services.call(.activity, .get, target, as: context)
        guard answer.status == 200 else {
            throw Problem(.upstreamUnavailable, "Activity did not tell of the log.", context: "status \(answer.status)")
        }
        return try LogPage(json: answer.json)
    }

    // MARK: Asking the owner

    /// Begins to renew all copies. Each stays as it is until its owner has told of it; the log is followed from the position meanwhile, which is to
    /// be no later than the first answer.
    private mutating func renew(from position: Int64) async throws -> Int64 {
        try await commit([
            "update log_follower set position = \(position), format = \(copy.format), renewed_to = ''", "delete from followed_doubt",
        ])
        renewed = ""
        return position
    }

    /// Asks for the next page of a renewal and for the records in doubt. That it cannot be answered holds up no event.
    private mutating func askOwner() async throws {
        guard renewed != nil || hasDoubts, nextQuestion <= .now else { return }
        do {
            if let renewed {
                let told = try await copy.all(owner, renewed.isEmpty ? nil : renewed)
                try await commit(told.statements + ["update log_follower set renewed_to = \(told.end.sqlValue)"])
                self.renewed = told.end
            }
            if hasDoubts { try await settleDoubts() }
        } catch let problem as Problem {
            follower.logger.warning(
                "the owner of copied records could not be asked and will be again",
                metadata: [LogKey.error: .string(describeForLog(problem))])
            nextQuestion = .now + .seconds(1)
        }
    }

    private var owner: LogCopy.Owner { .init(services: follower.services, name: copy.source, context: context) }

    /// Asks for the first records in doubt, those of one tenant.
    private mutating func settleDoubts() async throws {
        let rows = try await session.query(
            """
            select tenant_id, record_id from followed_doubt where tenant_id = (select tenant_id from followed_doubt order by 1 limit 1)
            order by record_id limit 200
            """)
        guard let tenant = try rows.first?.decode("tenant_id", as: TenantID.self) else { return hasDoubts = false }
        let ids = try rows.map { try $0.decode("record_id", as: String.self) }
        let told = try await copy.named(owner, tenant, ids)
        try await commit(told.statements + ["delete from followed_doubt where tenant_id = \(tenant) and record_id = any (\(ids))"])
    }

    // MARK: Applying

    /// Applies the events and moves the position, in one transaction. It is tried again without an event that fails it, as often as there are
    /// such events.
    private mutating func apply(_ events: [LogPage.Entry], upTo position: Int64) async throws {
        var refused: [Int: String] = [:]
        while true {
            var statements: [SQL] = []
            /// Of each statement the event that it is for.
            var origins: [Int] = []
            for (index, entry) in events.enumerated() where entry.event.source == copy.source.rawValue {
                var own: [SQL]?
                if refused[index] == nil {
                    do {
                        own = try copy.statements(entry.event)
                    } catch {
                        refused[index] = String(describing: error)
                    }
                }
                let done = own ?? doubting(entry.event)
                statements += done
                origins += Array(repeating: index, count: done.count)
            }
            let asides = refused.sorted { $0.key < $1.key }.map { setAside(events[$0.key], because: $0.value) }
            do {
                try await commit(statements + asides + ["update log_follower set position = \(position)"])
            } catch let error as PostgresError where error.isOfValues {
                // The first statement holds the lease.
                guard let place = error.statementIndex.map({ $0 - 1 }), origins.indices.contains(place), refused[origins[place]] == nil
                else { throw error }
                refused[origins[place]] = error.description
                continue
            }
            hasDoubts = true
            metrics.count(applied: events.count - refused.count, dead: refused.count)
            for (index, reason) in refused {
                follower.logger.error(
                    "an event could not be applied and was set aside in followed_dead_letter",
                    metadata: ["event.id": .string(events[index].event.id.description), LogKey.reason: .string(reason)])
            }
            return
        }
    }

    /// What is known of a record without what the event told is not trusted: it may be rights that were taken away.
    private func doubting(_ event: Event) -> [SQL] {
        copy.removal(event.tenant, event.aggregateID).map { $0 + [LogCopy.doubt(event.tenant, event.aggregateID)] } ?? []
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
