import Contracts
import Core
import Logging
import Operations
import Postgres
import ServiceLifecycle

/// Keeps one of a service's copies up to date by following the log of events in activity (Shared/Decisions/0023).
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
            lease: .follower(of: copy.aggregate), postgres: postgres, service: service, pause: interval,
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
    /// Those in doubt are asked for in rounds: the one that is behind the last question of this round, whatever came of that. Without a record
    /// all those of the tenant; `nil` at the beginning.
    private var askedFor: (tenant: TenantID, record: String?)?
    /// Whether one of this round has stayed in doubt.
    private var isLeftInDoubt = false
    /// The owner is not asked before, after it could not say: for the next page of a renewal, and for those in doubt.
    private var (nextPage, nextDoubts) = (ContinuousClock.now, ContinuousClock.now)

    init(follower: LogFollower, session: PostgresSession, lease: Lease) {
        self.follower = follower
        self.session = session
        self.lease = lease
    }

    private var copy: LogCopy { follower.copy }
    private var metrics: FollowerMetrics { follower.metrics }
    /// Of this copy, in the tables that all of the service's followers share.
    private var isOwn: SQL { "aggregate = \(copy.aggregate)" }
    private var context: SystemContext { SystemContext(service: follower.service.rawValue) }

    mutating func follow() async throws {
        metrics.current = .now
        try await session.query(
            "insert into log_follower (aggregate) values (\(copy.aggregate)) on conflict on constraint log_follower_pkey do nothing")
        let row = try await session.query("select position, format, renewed_to from log_follower where \(isOwn)")[0]
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
                if position >= page.head, !hasQuestion { try await Task.sleep(for: follower.interval) }
            } else {
                if isWhole { metrics.current = page.events[0].event.occurredAt }
                try await apply(page.events, upTo: page.position)
                position = page.position
                metrics.position = position
            }
        }
    }

    private func read(after position: Int64) async throws -> LogPage {
        let target = "/internal/log?after=\(position)&aggregates=\(copy.aggregate)&limit=\(follower.limit)"
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
            "update log_follower set position = \(position), format = \(copy.format), renewed_to = '' where \(isOwn)",
            "delete from followed_doubt where \(isOwn)",
        ])
        renewed = ""
        return position
    }

    /// Whether the owner is to be asked at once.
    private var hasQuestion: Bool { renewed != nil && nextPage <= .now || hasDoubts && nextDoubts <= .now }

    /// Asks for the next page of a renewal and for records in doubt. That one cannot be answered holds up neither the other nor any event.
    private mutating func askOwner() async throws {
        if let renewed, nextPage <= .now {
            do {
                let told = try await copy.all(owner, renewed.isEmpty ? nil : renewed)
                try await commit(told, further: ["update log_follower set renewed_to = \(told.end.sqlValue) where \(isOwn)"])
                self.renewed = told.end
            } catch {
                nextPage = try later(because: error)
            }
        }
        if hasDoubts, nextDoubts <= .now {
            do {
                try await settleDoubts()
            } catch {
                isLeftInDoubt = true
                nextDoubts = try later(because: error)
            }
        }
    }

    /// When the owner is asked again after it could not say, or has told what the copies do not take.
    ///
    /// - Throws: what stands in the way of more than the question.
    private func later(because error: any Error) throws -> ContinuousClock.Instant {
        guard error is Problem || (error as? PostgresError)?.isOfValues == true else { throw error }
        follower.logger.warning(
            "the owner of copied records could not be asked and will be again", metadata: [LogKey.error: .string(describeForLog(error))])
        return .now + .seconds(1)
    }

    private var owner: LogCopy.Owner { .init(services: follower.services, name: copy.source, context: context) }

    /// Asks for the next records in doubt of the round, those of one tenant.
    private mutating func settleDoubts() async throws {
        let next: SQL =
            switch askedFor {
            case (let tenant, let record?)?: "(tenant_id, record_id) > (\(tenant)::uuid, \(record)::text)"
            case (let tenant, nil)?: "tenant_id > \(tenant)"
            case nil: "true"
            }
        let rows = try await session.query(
            """
            select tenant_id, record_id from followed_doubt
            where tenant_id = (select tenant_id from followed_doubt where \(isOwn) and \(next) order by tenant_id limit 1) and \(isOwn) and \(next)
            order by record_id limit 200
            """)
        let ids = try rows.map { try $0.decode("record_id", as: String.self) }
        guard let tenant = try rows.first?.decode("tenant_id", as: TenantID.self) else {
            if askedFor == nil { hasDoubts = false }
            if isLeftInDoubt { nextDoubts = .now + .seconds(1) }
            (askedFor, isLeftInDoubt) = (nil, false)
            return
        }
        // What cannot be told of one tenant holds up no other.
        askedFor = (tenant, nil)
        let told = try await copy.named(owner, tenant, ids)
        let left = try await commit(
            told, settling: ["delete from followed_doubt where tenant_id = \(tenant) and \(isOwn) and record_id = any (\(ids))"])
        if left { isLeftInDoubt = true }
        askedFor = (tenant, ids.last)
    }

    /// Makes the copies equal to what was told, in one transaction with the rest. It is tried again without a record that fails it, as often as there
    /// are such: those are left without a copy, and in doubt.
    ///
    /// - Parameters:
    ///   - settling: what comes before.
    ///   - further: what comes after.
    /// - Returns: whether a record was left in doubt.
    @discardableResult private mutating func commit(_ told: LogCopy.Told, settling: [SQL] = [], further: [SQL] = []) async throws -> Bool {
        var refused: [Int: String] = [:]
        for (index, record) in told.records.enumerated() where record.statement == nil { refused[index] = "it is not all of a record" }
        while true {
            var statements: [SQL] = []
            /// Of each statement the record that it is for.
            var origins: [Int] = []
            for (index, record) in told.records.enumerated() {
                let done = refused[index] == nil ? record.statement.map { [$0] } ?? [] : doubting(record.tenant, record.id)
                statements += done
                origins += Array(repeating: index, count: done.count)
            }
            do {
                try await commit(settling + statements + told.statements + further)
            } catch let error as PostgresError where error.isOfValues {
                // The first statement holds the lease.
                guard let place = error.statementIndex.map({ $0 - 1 - settling.count }), origins.indices.contains(place),
                    refused[origins[place]] == nil
                else { throw error }
                refused[origins[place]] = error.description
                continue
            }
            for (index, reason) in refused {
                follower.logger.error(
                    "what its owner tells of a record cannot be copied: it is left in doubt",
                    metadata: [
                        LogKey.tenantID: .string(told.records[index].tenant.description), "record.id": .string(told.records[index].id),
                        LogKey.reason: .string(reason),
                    ])
            }
            if !refused.isEmpty { hasDoubts = true }
            return !refused.isEmpty
        }
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
            // Record by record in the order of their ids, as others that write several of them do: so no two wait for each other.
            let order = events.indices.sorted { (events[$0].event.aggregateID, $0) < (events[$1].event.aggregateID, $1) }
            for index in order where events[index].event.source == copy.source.rawValue {
                let entry = events[index]
                var own: [SQL]?
                if refused[index] == nil {
                    do {
                        own = try copy.statements(entry.event)
                    } catch {
                        refused[index] = String(describing: error)
                    }
                }
                let done = own ?? doubting(entry.event.tenant, entry.event.aggregateID)
                statements += done
                origins += Array(repeating: index, count: done.count)
            }
            let asides = refused.sorted { $0.key < $1.key }.map { setAside(events[$0.key], because: $0.value) }
            do {
                try await commit(statements + asides + ["update log_follower set position = \(position) where \(isOwn)"])
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
    private func doubting(_ tenant: TenantID, _ id: String) -> [SQL] {
        copy.removal(tenant, id).map { $0 + [LogCopy.doubt(copy.aggregate, tenant, id)] } ?? []
    }

    private func setAside(_ entry: LogPage.Entry, because reason: String) -> SQL {
        """
        insert into followed_dead_letter (tenant_id, position, event_id, kind, aggregate_id, reason)
        values (\(entry.event.tenant), \(entry.position), \(entry.event.id), \(entry.event.kind), \(entry.event.aggregateID),
            \(reason))
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
