import Core
import Postgres

/// A job that this process has taken, and the statements that say what becomes of it. Each is for a transaction that ``hold`` begins.
struct TakenJob: Sendable {
    /// The nil UUID for a job of the service's own.
    let tenant: TenantID
    let id: RecordID
    let kind: String
    let payload: String
    /// The number of this taking.
    let fence: Int64
    let user: UserID?
    let requestID: String
    /// Whether somebody wanted it to stop before it was taken.
    let isCancelled: Bool
    var attempt: Int
    var progress: JobProgress

    /// What tells a taking of a job from those before.
    struct Taking: Hashable {
        let id: RecordID
        let fence: Int64
    }

    var taking: Taking { Taking(id: id, fence: fence) }

    enum Status: String {
        case scheduled, queued, running, succeeded, failed, cancelled

        /// - Throws: ``PostgresError`` for a result that tells none.
        init(_ result: PostgresResult?) throws {
            guard let name = try result?.first?.decode("status", as: String.self), let status = Status(rawValue: name) else {
                throw PostgresError(.invalidValue, message: "no status of a job")
            }
            self = status
        }
    }

    static let noTenant = TenantID(high: 0, low: 0)
    /// By the database's clock, from the last sign of life.
    static let lease: SQL = "clock_timestamp() + interval '10 seconds'"
    /// Time between two signs of life: two may fail before the lease is over.
    static let renewal: Duration = .seconds(3)
    /// The SQLSTATE of ``hold``, the same as of a lease.
    static let lost = Lease.lost

    static let columns = """
        tenant_id, id, kind, payload, fence, user_id, request_id, is_cancelled, attempt, state, done, total, counts
        """

    init(row: PostgresRow) throws {
        tenant = try row.decode("tenant_id")
        id = try row.decode("id")
        kind = try row.decode("kind")
        payload = try row.decode("payload")
        fence = try row.decode("fence")
        user = try row.decode("user_id")
        // What nobody has asked for is a request of its own each time.
        requestID = tenant == Self.noTenant ? Identifier<Never>().description : try row.decode("request_id")
        isCancelled = try row.decode("is_cancelled")
        attempt = try row.decode("attempt")
        progress = JobProgress()
        progress.state = try row.decode("state")
        progress.done = try row.decode("done")
        progress.total = try row.decode("total")
        for member in try row.decode("counts", as: JSON.self).object?.members ?? [] {
            progress.counts[member.name] = member.value.integer
        }
    }

    /// Fails the transaction with ``lost`` when another process has taken the job, and else keeps it from that until the end.
    var hold: SQL { "select hold_job(\(tenant), \(id), \(fence))" }

    var renewal: SQL { "update job set lease_until = \(Self.lease) where \(isThis)" }

    private var isThis: SQL { "tenant_id = \(tenant) and id = \(id)" }

    /// What a step has come to.
    ///
    /// - Parameters:
    ///   - handsBack: whether the job is to wait for another turn when there is more to do.
    ///   - interval: of a periodic job.
    func keeping(_ step: JobStep, handsBack: Bool, interval: Duration?) -> SQL {
        let progress = step.progress ?? progress
        let kept: SQL = """
            reason = null, steps = steps + 1, state = \(progress.state)::jsonb, done = \(progress.done),
                total = \(progress.total.sqlValue)::bigint, counts = \(JSON.counts(progress.counts))::jsonb
            """
        if !step.isLast {
            return handsBack
                ? ending("\(kept), attempt = 0, \(unlessCancelled("queued")), run_at = clock_timestamp()")
                : ending("\(kept), attempt = 1, \(unlessCancelled("running"))", lease: Self.lease)
        }
        guard let interval else { return ending("\(kept), status = 'succeeded', ended_at = clock_timestamp()") }
        let period = Self.seconds(interval)
        return ending(
            """
            reason = null, state = 'null', done = 0, total = null, counts = '{}', attempt = 0, status = 'scheduled',
                run_at = case when run_at + \(period) > clock_timestamp() then run_at else clock_timestamp() end + \(period)
            """)
    }

    /// The job waits for another turn as if it had not been taken.
    var handingBack: SQL { ending("\(untaken), \(unlessCancelled("queued")), run_at = clock_timestamp()") }

    /// The attempt has failed; there is another one after the delay, none for `nil`.
    func failing(_ reason: String, after delay: Duration?) -> SQL {
        guard let delay else {
            return ending(
                "reason = \(reason), status = case when is_cancelled then 'cancelled' else 'failed' end, ended_at = clock_timestamp()")
        }
        return ending("reason = \(reason), \(unlessCancelled("scheduled")), run_at = clock_timestamp() + \(Self.seconds(delay))")
    }

    /// This process does not know how to do it, which another one may.
    var puttingOff: SQL {
        ending("\(untaken), \(unlessCancelled("scheduled")), run_at = clock_timestamp() + interval '1 minute'")
    }

    /// Nothing has come of it, so who asks for its key again asks for this one; unless he has asked meanwhile for another.
    private var untaken: SQL {
        """
        attempt = attempt - 1, started_at = case when steps > 0 or exists (
            select from job as waiting
            where waiting.tenant_id = job.tenant_id and waiting.kind = job.kind and waiting.key = job.key
                and waiting.started_at is null and waiting.ended_at is null) then started_at end
        """
    }

    var cancelling: SQL { ending("status = 'cancelled', ended_at = clock_timestamp()") }

    private func ending(_ assignments: SQL, lease: SQL = "null") -> SQL {
        "update job set lease_until = \(lease), \(assignments) where \(isThis) returning status"
    }

    private func unlessCancelled(_ status: String) -> SQL {
        """
        status = case when is_cancelled then 'cancelled' else '\(unescaped: status)' end,
            ended_at = case when is_cancelled then clock_timestamp() end
        """
    }

    private static func seconds(_ duration: Duration) -> SQL { "make_interval(secs => \(duration / .seconds(1))::float8)" }
}

extension JSON {
    fileprivate static func counts(_ counts: [String: Int64]) -> JSON {
        var object = JSONObject()
        for (name, count) in counts.sorted(by: { $0.key < $1.key }) { object[name] = .number(count) }
        return .object(object)
    }
}
