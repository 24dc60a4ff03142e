import Core
import Postgres

/// The table `job` as those see it who take jobs out of it, over all tenants.
struct JobQueue: Sendable {
    /// As the role that works for no tenant.
    let postgres: PostgresClient
    /// Of the service, for a time.
    let context: @Sendable (Duration) -> SystemContext

    private func batch(_ statements: [SQL], within timeout: Duration = .seconds(30)) async throws -> [PostgresResult] {
        try await postgres.batch(as: context(timeout), statements)
    }

    /// Sees to it that each periodic job is there, once: its id is made of its kind.
    func add(_ periodic: [Job]) async throws {
        guard !periodic.isEmpty else { return }
        _ = try await batch([
            """
            insert into job (tenant_id, id, kind, status, run_at, request_id)
            select \(TakenJob.noTenant), md5(kind)::uuid, kind, 'queued', clock_timestamp(), 'periodic'
            from unnest(\(periodic.map(\.kind))::text[]) as kind
            on conflict (tenant_id, id) do nothing
            """
        ])
    }

    /// Takes a periodic job, and no other, if it has one of the statuses.
    func take(_ periodic: Job, in statuses: [TakenJob.Status]) async throws -> TakenJob? {
        try await batch([
            """
            update job set \(Self.beginning), run_at = least(run_at, now())
            where \(Self.isOf(periodic)) and status = any (\(statuses.map(\.rawValue))::text[]) returning \(unescaped: TakenJob.columns)
            """
        ])[0].first.map { try TakenJob(row: $0) }
    }

    /// Why a periodic job failed when it was done last, if it did.
    func failure(of periodic: Job) async throws -> String? {
        try await batch(["select reason from job where \(Self.isOf(periodic))"])[0].first?.text(0)
    }

    private static func isOf(_ periodic: Job) -> SQL { "tenant_id = \(TakenJob.noTenant) and id = md5(\(periodic.kind))::uuid" }

    /// Who has the next turn, and how many jobs each tenant has here already.
    struct Room {
        /// Jobs to take, at most.
        var places: Int
        /// Jobs of one tenant at the same time, in this process.
        var share: Int
        var taken: [TenantID: Int]
        /// The tenant that had the last turn.
        var last: TenantID
        /// The tenant at which the last look for what has become due beside a crowd ended.
        var lastDue = TakenJob.noTenant
    }

    /// Lets jobs become due and takes back those whose worker has given no sign of life, then takes some and notes whose turn it was.
    func take(_ room: inout Room) async throws -> [TakenJob] {
        let results = try await batch([Self.becomingDue(behind: room.lastDue), Self.takingBack, Self.taking(room)])
        let taken = try results[2].map { try TakenJob(row: $0) }
        room.lastDue = try results[0].first?.decode("tenant_id") ?? room.lastDue
        // The one that is farthest round the table.
        let last = room.last
        room.last = taken.map(\.tenant).max { ($0 > last ? 0 : 1, $0) < ($1 > last ? 0 : 1, $1) } ?? last
        return taken
    }

    /// The oldest first. When they are a crowd, also some of other tenants, which would come behind it: it goes round those that have jobs
    /// for a time to come, from where the last look ended, which it tells.
    static func becomingDue(behind last: TenantID) -> SQL {
        """
        with recursive first as materialized (
            select ctid as place, tenant_id from job where status = 'scheduled' and run_at <= now()
            order by run_at limit \(crowd) for update skip locked
        ), visit as (
            select 1 as number, \(tenant(behind: "\(last)", with: "scheduled")) as tenant_id
            from (select count(*) as jobs from first) as found where jobs = \(crowd)
            union all
            select number + 1, \(tenant(behind: "visit.tenant_id", with: "scheduled")) from visit where number < 100 and tenant_id is not null
        ), others as materialized (
            select waiting.place
            from (select distinct tenant_id from visit where tenant_id not in (select tenant_id from first)) as visit
            cross join lateral (
                select ctid as place from job where status = 'scheduled' and tenant_id = visit.tenant_id and run_at <= now()
                order by run_at limit 4 for update skip locked
            ) as waiting
        ), due as (
            update job set status = 'queued' where ctid = any (array(select place from first union all select place from others))
        )
        select tenant_id from visit where tenant_id is not null order by number desc limit 1
        """
    }

    private static let crowd = 500

    /// A row that a transaction holds is of a worker that lives. From the second time on it waits: it may be what its workers die of.
    static let takingBack: SQL = """
        update job set lease_until = null, reason = 'worker_lost',
            status = case when is_cancelled then 'cancelled' when attempt < 2 then 'queued' else 'scheduled' end,
            ended_at = case when is_cancelled then clock_timestamp() end,
            run_at = case when attempt < 2 then run_at else clock_timestamp() + \(RetryDelay.afterDeath) end
        where ctid = any (array(
            select ctid from job where status = 'running' and lease_until < now() order by lease_until limit 100 for update skip locked))
        """

    /// Goes from tenant to tenant as from place to place of a round table, beginning behind the last one, and takes of each as many jobs as
    /// it has come by: two look-ups in an index for a tenant, however many jobs there are.
    static func taking(_ room: Room) -> SQL {
        let visits = room.places + room.taken.count { $0.value >= room.share }
        let tenants = room.taken.keys.sorted()
        return """
            with recursive visit as (
                select 1 as number, \(tenant(behind: "\(room.last)", with: "queued")) as tenant_id
                union all
                select number + 1, \(tenant(behind: "visit.tenant_id", with: "queued")) from visit where number < \(visits) and tenant_id is not null
            ), turn as (
                select tenant_id, min(number) as place, count(*) as visits from visit where tenant_id is not null group by tenant_id
            ), picked as materialized (
                select waiting.place
                from (select * from turn order by place) as turn
                left join unnest(\(tenants)::uuid[], \(tenants.map { room.taken[$0] ?? 0 })::integer[]) as taken (tenant_id, jobs)
                    on taken.tenant_id = turn.tenant_id
                cross join lateral (
                    select ctid as place from job where status = 'queued' and tenant_id = turn.tenant_id
                    order by run_at, id limit greatest(least(turn.visits, \(room.share) - coalesce(taken.jobs, 0)), 0)
                    for update skip locked
                ) as waiting
                limit \(room.places)
            )
            update job set \(beginning) where ctid = any (array(select place from picked)) returning \(unescaped: TakenJob.columns)
            """
    }

    private static let beginning: SQL = """
        status = 'running', fence = fence + 1, attempt = attempt + 1, started_at = coalesce(started_at, now()), lease_until = \(TakenJob.lease)
        """

    /// The next tenant round the table that has jobs of a status.
    private static func tenant(behind last: SQL, with status: String) -> SQL {
        """
        coalesce(
            (select tenant_id from job where status = '\(unescaped: status)' and tenant_id > \(last) order by tenant_id limit 1),
            (select tenant_id from job where status = '\(unescaped: status)' order by tenant_id limit 1))
        """
    }

    /// Gives a sign of life of some jobs.
    ///
    /// - Returns: those that are still theirs who give it, and whether somebody wants one to stop.
    func renew(_ jobs: [TakenJob]) async throws -> [TakenJob.Taking: Bool] {
        let held: SQL = """
            unnest(\(jobs.map(\.tenant))::uuid[], \(jobs.map(\.id))::uuid[], \(jobs.map(\.fence))::bigint[]) as held (tenant_id, id, fence)
            cross join lateral (
                select ctid as place, is_cancelled from job
                where tenant_id = held.tenant_id and id = held.id and fence = held.fence and status = 'running'
            """
        // One that hangs must leave time for the next.
        let results = try await batch(
            [
                // A row that is locked is in a transaction of the job's own, which renews it and must not be waited for.
                """
                update job set lease_until = \(TakenJob.lease)
                where ctid = any (array(select place from \(held) for update skip locked) as found))
                """,
                "select held.id, held.fence, is_cancelled from \(held)) as found",
            ], within: TakenJob.renewal)
        return try Dictionary(results[1].map { (TakenJob.Taking(id: try $0.decode(0), fence: try $0.decode(1)), try $0.decode(2)) }) { $1 }
    }

    /// Says what becomes of a job.
    ///
    /// - Throws: ``PostgresError`` with ``TakenJob/lost`` when another process has taken it.
    func settle(_ job: TakenJob, _ ending: SQL) async throws -> TakenJob.Status {
        try TakenJob.Status(try await batch([job.hold, ending]).last)
    }

    /// Jobs that are due and wait, as far as they are counted, and since when the oldest of them is due, of a thousand tenants.
    func backlog() async throws -> (jobs: Int, age: Duration) {
        let row = try await batch(
            [
                """
                with recursive tenant as (
                    select 1 as number, (select tenant_id from job where status = 'queued' order by tenant_id limit 1) as id
                    union all
                    select number + 1, (select tenant_id from job where status = 'queued' and tenant_id > tenant.id order by tenant_id limit 1)
                    from tenant where number < 1000 and id is not null
                )
                select (select count(*) from (
                        (select 1 from job where status = 'queued' limit \(Self.counted)) union all
                        (select 1 from job where status = 'scheduled' and run_at <= now() limit \(Self.counted)) limit \(Self.counted)) as due),
                    coalesce(greatest(extract(epoch from now() - least(
                        (select min(oldest.run_at) from tenant cross join lateral (
                            select run_at from job where status = 'queued' and tenant_id = tenant.id order by run_at, id limit 1) as oldest),
                        (select run_at from job where status = 'scheduled' order by run_at limit 1))), 0), 0)::float8
                """
            ])[0][0]
        return (try row.decode(0), .seconds(try row.decode(1, as: Double.self)))
    }

    private static let counted = 10_000
}

extension JobKind {
    /// The statement that wants a job of the tenant to stop, for a batch of a member: one that waits stops at once; one that runs does so within
    /// some seconds, in the middle of the step that it is in, of which what ``JobRun/write(_:)`` has written stays. It waits for a transaction of
    /// the job's own that is under way. It tells the job's `status` then; no row when there is no such job or it has ended.
    public func cancel(_ id: RecordID, of tenant: TenantID) -> SQL {
        """
        update job set is_cancelled = true, status = case when status = 'running' then 'running' else 'cancelled' end,
            ended_at = case when status <> 'running' then clock_timestamp() end
        where tenant_id = \(tenant) and id = \(id) and kind = \(name) and ended_at is null returning status
        """
    }

    /// The statement that wants the tenant's job of a key to stop, for a batch of a member: a reminder whose task is gone. It tells the job's
    /// `id`; no row when there is none that has not begun.
    public func cancel(key: String, of tenant: TenantID) -> SQL {
        """
        update job set is_cancelled = true, status = 'cancelled', ended_at = clock_timestamp()
        where tenant_id = \(tenant) and kind = \(name) and key = \(key) and started_at is null and ended_at is null returning id
        """
    }
}
