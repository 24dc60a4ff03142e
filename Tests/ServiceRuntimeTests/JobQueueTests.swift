import Core
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

/// Who has the next turn, and what it costs to find out.
@Suite struct JobQueueTests {
    // MARK: Turns

    @Test func aTenantWithTenThousandJobsDelaysNoSingleOne() async throws {
        try await JobBench.run { bench in
            let (busy, quiet) = (TenantID(), TenantID())
            try await bench.fill(busy, 10_000, at: "now() - interval '1 hour'")
            try await bench.fill(quiet, 1)
            #expect(try await bench.take(2, share: 2).map(\.tenant).contains(quiet))
            #expect(try await bench.take(4, share: 4).map(\.tenant) == [busy, busy, busy, busy])
        }
    }

    @Test func aTenantHasItsShareOfThePlacesAndNoMore() async throws {
        try await JobBench.run { bench in
            let (one, other) = (TenantID(), TenantID())
            try await bench.fill(one, 20)
            #expect(try await bench.take(8, share: 4).count == 4)
            #expect(try await bench.take(4, share: 4, taken: [one: 3]).count == 1)
            #expect(try await bench.take(4, share: 4, taken: [one: 4]).count == 0)
            try await bench.fill(other, 20)
            let taken = try await bench.take(4, share: 4, taken: [one: 4], last: other)
            #expect(!taken.isEmpty && taken.allSatisfy { $0.tenant == other })
        }
    }

    @Test func tenantsHaveTurnsOneAfterTheOther() async throws {
        try await JobBench.run { bench in
            let tenants = (0..<5).map { _ in TenantID() }.sorted()
            for tenant in tenants { try await bench.fill(tenant, 3) }
            var last = tenants[2]
            var order: [Int] = []
            while let job = try await bench.take(1, last: last).first {
                last = job.tenant
                order.append(tenants.firstIndex(of: last) ?? -1)
            }
            #expect(order == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2])
        }
    }

    @Test func twoWhoTakeAtTheSameTimeTakeDifferentJobs() async throws {
        try await JobBench.run { bench in
            let tenant = TenantID()
            try await bench.fill(tenant, 200)
            let taken = try await withThrowingTaskGroup(of: [RecordID].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        var ids: [RecordID] = []
                        while case let jobs = try await bench.take(5), !jobs.isEmpty { ids += jobs.map(\.id) }
                        return ids
                    }
                }
                return try await group.reduce([], +)
            }
            #expect(taken.count == 200 && Set(taken).count == 200)
        }
    }

    private final class Count: Sendable {
        let left: Mutex<Int>
        init(_ count: Int) { left = Mutex(count) }
    }

    /// Goal: no change is missed by the job that it asks for. Method: eight writers note a number and ask for a job under one key, again and
    /// again, while jobs are done that note how many numbers they see. The first job to begin asks once more itself, so at least one ask
    /// always meets a job that has begun.
    @Test func aJobThatBeginsSeesAllThatAskedForIt() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let seen = Mutex(0)
            let runner = bench.runner([
                JobBench.kind.job { _, context, run in
                    let count = try await bench.postgres.batch(as: context, ["select count(*) from trace"])[0][0].decode(0, as: Int.self)
                    let isFirst = seen.withLock { seen in
                        defer { seen = max(seen, count) }
                        return seen == 0
                    }
                    if isFirst {
                        _ = try await bench.postgres.batch(as: anna, [bench.trace("x", anna), JobBench.kind.enqueue(.init(), key: "all")])
                    }
                    return .done()
                }
            ])
            let writers = Count(8)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<25 {
                            let ask = try JobBench.kind.enqueue(.init(), key: "all")
                            _ = try await bench.postgres.batch(as: anna, [bench.trace("x", anna), ask])
                        }
                        writers.left.withLock { $0 -= 1 }
                    }
                }
                group.addTask {
                    while writers.left.withLock({ $0 > 0 }) { try await runner.runDue() }
                    try await runner.runDue()
                }
                try await group.waitForAll()
            }
            #expect(seen.withLock { $0 } == 201)
            #expect(try await bench.texts("select (count(*) between 2 and 201)::text from job") == ["true"])
            #expect(Set(try await bench.statuses()) == ["succeeded"])
        }
    }

    // MARK: Time

    /// A thousand of one tenant become due at one moment, and one of another a moment later.
    @Test func aCrowdThatBecomesDueDelaysNoOtherTenant() async throws {
        try await JobBench.run { bench in
            let (busy, quiet) = (TenantID(), TenantID())
            try await bench.fill(busy, 1000, status: "scheduled", at: "now() - interval '1 minute'")
            try await bench.fill(quiet, 1, status: "scheduled")
            try await bench.fill(quiet, 1, status: "scheduled", at: "now() + interval '1 minute'")
            #expect(try await bench.take(2, share: 1).map(\.tenant).contains(quiet))
            #expect(
                try await bench.texts("select status || count(*) from job group by status order by 1") == [
                    "queued499", "running2", "scheduled501",
                ])
        }
    }

    /// Two crowds, and among 150 tenants with jobs for a time to come one that has one due: it comes up as fast as looks go round them.
    @Test func noCrowdsThatBecomeDueDelayAThirdTenant() async throws {
        try await JobBench.run { bench in
            let tenants = (0..<153).map { _ in TenantID() }.sorted()
            let quiet = tenants[140]
            try await bench.fill(tenants[0], 2000, status: "scheduled", at: "now() - interval '2 minutes'")
            try await bench.fill(tenants[1], 2000, status: "scheduled", at: "now() - interval '1 minute'")
            for tenant in tenants[2...] { try await bench.fill(tenant, 1, status: "scheduled", at: "now() + interval '1 day'") }
            try await bench.fill(quiet, 1, status: "scheduled")
            var room = JobQueue.Room(places: 4, share: 1, taken: [:], last: TakenJob.noTenant)
            let first = try await bench.queue.take(&room)
            #expect(Set(first.map(\.tenant)) == [tenants[0], tenants[1]])
            #expect(room.lastDue == tenants[99])
            let second = try await bench.queue.take(&room)
            #expect(second.contains { $0.tenant == quiet })
        }
    }

    @Test func eachDueTimeOfAPeriodicJobIsOneForAllProcesses() async throws {
        try await JobBench.run { bench in
            let count = Mutex(0)
            let job = Job.periodic("clock", every: .seconds(3600)) { _, _ in
                count.withLock { $0 += 1 }
                return .done()
            }
            let runners = (0..<4).map { _ in bench.runner([job]) }
            for round in 1...10 {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for runner in runners {
                        group.addTask {
                            try await runner.queue.add([job])
                            try await runner.runDue()
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(count.withLock { $0 } == round)
                #expect(
                    try await bench.texts(
                        "select status || (run_at between now() + interval '59 minutes' and now() + interval '61 minutes') from job")
                        == ["scheduledtrue"])
                try await bench.passTime()
            }
            // Due times that nobody was there for: one run, and the next an interval later.
            try await bench.texts("update job set run_at = now() - interval '1 day' where status = 'scheduled'")
            for runner in runners { try await runner.runDue() }
            #expect(count.withLock { $0 } == 11)
        }
    }

    /// By hand, and that one alone: another's is neither done nor put off.
    @Test func aPeriodicJobIsDoneNow() async throws {
        try await JobBench.run { bench in
            let count = Mutex(0)
            let job = Job.periodic("clock", every: .seconds(3600)) { _, run in
                count.withLock { $0 += 1 }
                var progress = run.progress
                progress.done += 1
                return progress.done == 1 ? .more(progress: progress) : .done()
            }
            try await bench.enqueue("x", as: bench.member())
            var runner = bench.runner([job])
            runner.turn = .zero
            for round in 1...2 {
                try await runner.runNow(job)
                #expect(count.withLock { $0 } == 2 * round)
            }
            #expect(try await bench.texts("select kind || status || attempt from job order by 1") == ["clockscheduled0", "testqueued0"])
        }
    }

    @Test func aPeriodicJobThatFailsIsTriedForEver() async throws {
        try await JobBench.run { bench in
            let job = Job.periodic("clock", every: .seconds(10)) { _, _ in throw Problem.internal("broken") }
            let runner = bench.runner([job])
            try await runner.queue.add([job])
            for _ in 0..<12 {
                try await runner.runDue()
                #expect(
                    try await bench.texts("select status || (run_at <= now() + interval '10 seconds') || reason from job") == [
                        "scheduledtrueinternal"
                    ])
                try await bench.passTime()
            }
            #expect(runner.metrics.count("clock", .retried) == 12)
        }
    }

    @Test func jobsThatHaveEndedAreKeptForAWhile() async throws {
        try await JobBench.run { bench in
            let tenant = TenantID()
            _ = try await bench.system.batch(
                as: SystemContext(service: "test"),
                [
                    """
                    insert into job (tenant_id, kind, status, run_at, request_id, ended_at)
                    select \(tenant), 'test', status, now(), '', now() - days * interval '1 day'
                    from unnest(array['succeeded', 'cancelled', 'failed']) as status, unnest(array[6, 8, 89, 91]) as days
                    """
                ])
            let jobs = Retention.all.filter { ["job-retention", "failed-job-retention"].contains($0.kind) }
            let runner = bench.runner(jobs)
            try await runner.queue.add(jobs)
            try await runner.runDue()
            #expect(
                try await bench.texts(
                    "select status || round(extract(epoch from now() - ended_at) / 86400) from job where ended_at is not null order by 1")
                    == ["cancelled6", "failed6", "failed8", "failed89", "succeeded6"])
        }
    }

    // MARK: What it costs

    /// Goal: jobs of others cost nothing. Method: pages that taking four jobs touches, with 20,000 jobs of a busy tenant, as many for a
    /// time to come and as many that have ended, on statistics of the empty table.
    @Test func takingJobsCostsTheSameHoweverManyThereAre() async throws {
        try await JobBench.run { bench in
            func pages() async throws -> Int {
                let room = JobQueue.Room(places: 4, share: 4, taken: [:], last: TakenJob.noTenant)
                var total = 0
                for statement in [JobQueue.becomingDue(behind: room.lastDue), JobQueue.takingBack, JobQueue.taking(room)] {
                    let plan = try await bench.texts("explain (analyze, buffers, costs off, timing off) \(statement)").compactMap(\.self)
                    #expect(!plan.contains { $0.contains("Seq Scan") }, "\(plan.joined(separator: "\n"))")
                    let line = plan.first { $0.contains("Buffers: shared") } ?? ""
                    total += line.matches(of: /(hit|read)=([0-9]+)/).reduce(0) { $0 + (Int($1.2) ?? 0) }
                }
                return total
            }
            let tenants = (0..<3).map { _ in TenantID() }
            for tenant in tenants { try await bench.fill(tenant, 30) }
            let few = try await pages()
            let busy = TenantID()
            try await bench.fill(busy, 20_000)
            try await bench.fill(busy, 20_000, status: "scheduled", at: "now() + interval '1 day'")
            _ = try await bench.system.batch(
                as: SystemContext(service: "test"), pace: .long,
                [
                    """
                    insert into job (tenant_id, kind, status, run_at, request_id, ended_at)
                    select \(busy), 'test', 'succeeded', now(), '', now() from generate_series(1, 20000)
                    """
                ])
            let many = try await pages()
            #expect(many < few + 40, "\(few) pages, then \(many)")
        }
    }

    @Test func whatWaitsIsToldToMetrics() async throws {
        try await JobBench.run { bench in
            #expect(try await bench.queue.backlog() == (0, .zero))
            // Nothing is said before somebody has looked.
            let metrics = JobMetrics(kinds: [])
            var text = ""
            metrics.write(to: &text)
            #expect(!text.contains("martlet_jobs_queued"))
            metrics.backlog(3, age: .seconds(2))
            metrics.write(to: &text)
            #expect(text.contains("martlet_jobs_queued 3\n") && text.contains("martlet_jobs_oldest_seconds 2.0\n"))
            try await bench.fill(TenantID(), 3)
            try await bench.fill(TenantID(), 1, at: "now() - interval '1 minute'")
            try await bench.fill(TenantID(), 2, status: "scheduled")
            try await bench.fill(TenantID(), 5, status: "scheduled", at: "now() + interval '1 minute'")
            let (jobs, age) = try await bench.queue.backlog()
            #expect(jobs == 6)
            #expect(age >= .seconds(60) && age < .seconds(120))
        }
    }

    // MARK: Isolation

    /// The service's own jobs are nobody's, and a tenant's are its own.
    @Test func aTenantSeesItsOwnJobs() async throws {
        try await JobBench.run { bench in
            try await bench.queue.add([Job.periodic("clock", every: .seconds(1)) { _, _ in .done() }])
            let (anna, ben) = (bench.member(), bench.member())
            try await bench.enqueue("x", as: anna)
            func seen(_ context: RequestContext) async throws -> [String?] {
                try await bench.postgres.batch(as: context, ["select kind from job"])[0].map { $0.text(0) }
            }
            #expect(try await seen(anna) == ["test"])
            #expect(try await seen(ben) == [])
            #expect(try await bench.postgres.batch(as: SystemContext(service: "test"), ["select from job"])[0].isEmpty)
            for statement: SQL in [
                "select enqueue_job('test', '{}', tenant => \(anna.tenant))",
                "select enqueue_job('test', '{}', tenant => \(TakenJob.noTenant))",
            ] {
                let error = await #expect(throws: PostgresError.self) { try await bench.postgres.batch(as: ben, [statement]) }
                #expect(error?.sqlState == "42501")
            }
            let removal = await #expect(throws: PostgresError.self) { try await bench.postgres.batch(as: anna, ["delete from job"]) }
            #expect(removal?.sqlState == "42501")
            try await IsolationCheck(bench.postgres, schema: bench.database.schema).run(as: SystemContext(service: "test"))
        }
    }
}
