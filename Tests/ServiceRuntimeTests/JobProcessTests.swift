import CRM
import Core
import Foundation
import Operations
import Postgres
import TestSupport
import Testing

/// Processes that do jobs, and what becomes of these when they are killed, stopped and told to go.
@Suite(.serialized) struct JobProcessTests {
    private struct Workers: Sendable {
        let database: TestDatabase
        let processes: [ChildProcess]
        let admins: [APIClient]

        func texts(_ statement: SQL) async throws -> [String?] {
            try await database.query(in: .crm, [statement])[0].map { $0.count == 0 ? nil : $0.text(0) }
        }

        func count(_ rows: SQL) async throws -> Int {
            try await texts("select count(*) from \(rows)").first.flatMap { $0.flatMap { Int($0) } } ?? -1
        }

        func enqueue(_ kind: String, steps: Int, count: Int, tenants: [TenantID]) async throws {
            try await database.query(
                in: .crm,
                [
                    """
                    select count(enqueue_job(\(kind), jsonb_build_object('steps', \(steps)::integer), tenant => tenant))
                    from unnest(\(tenants)::uuid[]) as tenant, generate_series(1, \(count / tenants.count))
                    """
                ])
        }
    }

    private static func run(_ body: (Workers) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await TestPostgres.withClient(database.owner(of: .crm)) { owner in
                _ = try await owner.batch(
                    as: SystemContext(service: "test"),
                    [
                        "set local search_path = crm",
                        "create table trace (tenant_id uuid not null, job uuid not null, step bigint not null, process integer not null)",
                        "call isolate('trace', 'select, insert')",
                    ])
            }
            let folder = NSTemporaryDirectory() + "martlet-workers-\(UUID().uuidString.prefix(8))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let ports = try FreePorts.take(2)
            let processes = ports.map { port in
                ChildProcess(
                    "\(Platform.executables)/martlet-test-worker", ["worker"],
                    environment: RunningService.settings(of: .crm, on: database).merging([
                        "MARTLET_ADMIN_PORT": String(port), "MARTLET_GRACE_SECONDS": "20",
                    ]) { $1 },
                    logFile: "\(folder)/\(port).log")
            }
            let workers = Workers(
                database: database, processes: processes, admins: ports.map { APIClient(url: "http://127.0.0.1:\($0)") })
            let result: Result<Void, any Error>
            do { result = .success(try await body(workers)) } catch { result = .failure(error) }
            for process in processes {
                if process.isRunning { kill(process.processID, SIGCONT) }
                await process.stop(signal: SIGKILL)
            }
            try result.get()
        }
    }

    /// Goal: each step of each job has taken effect exactly once, whenever its process dies. Method: two processes, 1,600 jobs of three
    /// steps, and one process after the other is killed (-9) twenty times, spread over the work.
    @Test(.timeLimit(.minutes(5)))
    func noStepIsLostOrDoneTwiceWhenProcessesAreKilled() async throws {
        try await Self.run { workers in
            let (jobs, steps, kills) = (1600, 3, 20)
            try await workers.enqueue("test-count", steps: steps, count: jobs, tenants: (0..<4).map { _ in TenantID() })
            for process in workers.processes { try process.start() }
            for round in 0..<kills {
                try await eventually("there is progress", within: .seconds(60)) {
                    try await workers.count("trace") >= jobs * steps * (round + 1) / (kills + 2)
                }
                let victim = workers.processes[round % 2]
                #expect(try await workers.count("job where status = 'running'") > 0)
                await victim.stop(signal: SIGKILL)
                try victim.start()
            }
            #expect(try await workers.count("job where kind = 'test-count' and ended_at is null") > 0, "all was done before the last kill")
            try await eventually("all jobs have ended", within: .seconds(60)) {
                try await workers.count("job where kind = 'test-count' and ended_at is null") == 0
            }
            #expect(try await workers.count("job where status = 'succeeded' and done = \(steps)") == jobs)
            #expect(try await workers.count("trace") == jobs * steps)
            #expect(try await workers.count("(select distinct job, step from trace) as steps") == jobs * steps)
            #expect(try await workers.count("job where fence > 1 and kind = 'test-count'") > 0)
        }
    }

    /// Goal: whoever stood still and wakes up writes nothing. Method: the process that is in the middle of a step is stopped (SIGSTOP)
    /// until the other has done the job, then woken up.
    @Test(.timeLimit(.minutes(2)))
    func aProcessThatStoodStillWritesNothingWhenItWakesUp() async throws {
        try await Self.run { workers in
            let tenant = TenantID()
            try await workers.enqueue("test-wait", steps: 1, count: 1, tenants: [tenant])
            for process in workers.processes { try process.start() }
            try await eventually("one has it") { try await workers.count("trace where step = 0") == 1 }
            let holder = try await workers.texts("select process::text from trace")[0]
            let index = try #require(workers.processes.firstIndex { String($0.processID) == holder })
            kill(workers.processes[index].processID, SIGSTOP)
            let start = ContinuousClock.now
            try await eventually("the other has it", within: .seconds(20)) { try await workers.count("trace where step = 0") == 2 }
            #expect(ContinuousClock.now - start < .seconds(15))
            try await workers.database.query(in: .crm, ["insert into trace values (\(tenant), uuid_v7(), -1, 0)"])
            try await eventually("the other has done it") { try await workers.count("job where status = 'succeeded'") == 1 }
            kill(workers.processes[index].processID, SIGCONT)
            let lost = "martlet_jobs_total{kind=\"test-wait\",outcome=\"lost\"} 1\n"
            try await eventually("the one that was stopped has noticed") {
                try await workers.admins[index].send(.get, "/metrics", expecting: 200).text.contains(lost)
            }
            #expect(
                try await workers.texts("select process::text from trace where step = 1") == [
                    String(workers.processes[1 - index].processID)
                ])
            #expect(try await workers.count("trace where step = 0") == 2)
        }
    }

    /// Told to stop, a process keeps the step that it is in and hands its jobs back at once, with nothing counted against them; a step that
    /// does not end is broken off.
    @Test(.timeLimit(.minutes(2)))
    func aProcessThatIsToldToStopHandsItsJobsBack() async throws {
        try await Self.run { workers in
            let tenants = [TenantID(), TenantID()]
            try await workers.enqueue("test-count", steps: 1_000_000, count: 4, tenants: tenants)
            try await workers.enqueue("test-wait", steps: 1, count: 1, tenants: [TenantID()])
            let process = workers.processes[0]
            try process.start()
            try await eventually("all run") { try await workers.count("job where status = 'running' and kind like 'test-%'") == 5 }
            #expect(await process.stop(signal: SIGTERM) == 0)
            #expect(
                try await workers.count("job where status = 'queued' and attempt = 0 and lease_until is null and kind like 'test-%'") == 5)
            #expect(
                try await workers.count("trace where step > 0")
                    == workers.texts("select sum(done)::text from job").first.flatMap { Int($0 ?? "") })
        }
    }
}
