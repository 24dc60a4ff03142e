import Core
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

/// What becomes of one job.
@Suite struct JobTests {
    private struct Broken: Error {}

    // MARK: Asking for one

    @Test func aJobIsThereWithTheChangeThatAsksForItAndNotWithoutIt() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let ask = try JobBench.kind.enqueue(.init(name: "one"))
            await #expect(throws: PostgresError.self) {
                try await bench.postgres.batch(as: anna, [ask, "select 1 / (select count(*) from trace)"])
            }
            #expect(try await bench.statuses() == [])
            _ = try await bench.postgres.batch(as: anna, [bench.trace("change", anna), ask])
            #expect(try await bench.statuses() == ["queued"])
        }
    }

    /// It is done under the tenant's row security, in the name of who asked, whose request the log names.
    @Test func aJobIsDoneInTheNameOfWhoAsked() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let other = bench.member()
            _ = try await bench.postgres.batch(as: other, [bench.trace("foreign", other)])
            try await bench.enqueue("one", as: anna)
            let runner = bench.runner([
                JobBench.kind.job { work, context, run in
                    #expect(context.tenant == anna.tenant && context.user == anna.user && context.requestID == anna.requestID)
                    let seen = try await run.write(["select from trace"])[0]
                    #expect(seen.isEmpty)
                    await #expect(throws: PostgresError.self) { try await run.write([bench.trace("theirs", other)]) }
                    return .done(writing: [bench.trace(work.name, context)])
                }
            ])
            try await runner.runDue()
            #expect(try await bench.traces(of: anna) == ["one"])
            #expect(
                try await bench.postgres.batch(as: anna, ["select actor from trace"])[0].map { $0.text(0) } == [anna.user.description])
            #expect(try await bench.statuses() == ["succeeded"])
            let line = try #require(bench.log.lines.last)
            #expect(line.hasPrefix("info a job has had its turn") && line.contains(anna.requestID) && line.contains("succeeded"))
        }
    }

    /// What nobody asked for is in nobody's name: the trail has it as the system's, and so has what it asks for.
    @Test func aJobThatNobodyAskedForIsDoneInNobodysName() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            try await bench.enqueue("first", as: anna)
            try await bench.texts("update job set user_id = null")
            let runner = bench.runner([
                JobBench.kind.job { work, context, _ in
                    #expect(context.user == .nobody)
                    let next = try work.name == "first" ? [JobBench.kind.enqueue(.init(name: "second"))] : []
                    return .done(writing: [bench.trace(work.name, context)] + next)
                }
            ])
            try await runner.runDue()
            #expect(try await bench.postgres.batch(as: anna, ["select actor from trace"])[0].map { $0.text(0) } == ["", ""])
            #expect(try await bench.texts("select (user_id is null)::text from job") == ["true", "true"])
        }
    }

    @Test func aTriggerMayAskForOne() async throws {
        try await JobBench.run { bench in
            try await bench.database.asOwner([
                "set local search_path = \(unescaped: bench.database.schema)",
                """
                create function ask() returns trigger language plpgsql as $$ begin
                    perform enqueue_job('test', jsonb_build_object('name', new.name)); return null;
                end $$
                """,
                "create trigger ask after insert on trace for each row when (new.name = 'asks') execute function ask()",
            ])
            let anna = bench.member()
            _ = try await bench.postgres.batch(as: anna, [bench.trace("asks", anna)])
            let runner = bench.runner([JobBench.kind.job { work, context, _ in .done(writing: [bench.trace("did \(work.name)", context)]) }]
            )
            try await runner.runDue()
            #expect(try await bench.traces(of: anna) == ["asks", "did asks"])
        }
    }

    /// Of a kind and a key there is one that has not begun: it has the newest payload, and the earlier time unless one is given.
    @Test func oneJobOfAKindWaitsForAKey() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let hour = Timestamp.now.advanced(by: .seconds(3600))
            let first = try await bench.enqueue("a", as: anna, key: "k", at: hour)
            #expect(try await bench.enqueue("b", as: anna, key: "k", at: hour.advanced(by: .seconds(3600))) == first)
            #expect(try await bench.texts("select (run_at > now() + interval '90 minutes')::text || status from job") == ["truescheduled"])
            #expect(try await bench.enqueue("c", as: anna, key: "k") == first)
            #expect(try await bench.texts("select payload ->> 'name' || status from job") == ["cqueued"])
            // Another key, another tenant, no key.
            try await bench.enqueue("d", as: anna, key: "other")
            try await bench.enqueue("e", as: bench.member(), key: "k")
            for _ in 0..<2 { try await bench.enqueue("f", as: anna) }
            #expect(try await bench.statuses().count == 5)
            // One that has begun may have read what was before the change: the change asks for another.
            _ = try await bench.take()
            #expect(try await bench.enqueue("g", as: anna, key: "k") != first)
        }
    }

    /// One that was taken and came to nothing has not begun, unless another was asked for meanwhile.
    @Test func aJobThatIsHandedBackWaitsForItsKeyAgain() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let first = try await bench.enqueue("a", as: anna, key: "k")
            for ending in [\TakenJob.handingBack, \TakenJob.puttingOff] {
                let job = try #require(try await bench.take().first)
                _ = try await bench.queue.settle(job, job[keyPath: ending])
                #expect(try await bench.enqueue("b", as: anna, key: "k") == first)
            }
            let job = try #require(try await bench.take().first)
            let second = try await bench.enqueue("c", as: anna, key: "k")
            #expect(second != first)
            _ = try await bench.queue.settle(job, job.handingBack)
            #expect(try await bench.enqueue("d", as: anna, key: "k") == second)
            #expect(try await bench.statuses() == ["queued", "queued"])
            // A step that was kept has begun it.
            for job in try await bench.take() {
                _ = try await bench.queue.settle(job, job.keeping(.more(), handsBack: false, interval: nil))
                _ = try await bench.queue.settle(job, job.handingBack)
            }
            let third = try await bench.enqueue("e", as: anna, key: "k")
            #expect(third != first && third != second)
        }
    }

    // MARK: Steps

    /// The third step fails the first time: it alone is done again, and what each has written is there once.
    @Test func aJobGoesOnBehindTheLastStepThatWasKept() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let id = try await bench.enqueue("x", as: anna)
            let failures = Mutex(0)
            let runner = bench.runner([
                JobBench.kind.job { _, context, run in
                    var progress = run.progress
                    progress.done += 1
                    progress.total = 4
                    progress.state = ["next": .number(progress.done + 1)]
                    progress.counts["created", default: 0] += 2
                    if progress.done == 3,
                        failures.withLock({
                            $0 += 1; return $0
                        }) == 1
                    {
                        throw Broken()
                    }
                    #expect(run.progress.state["next"]?.integer ?? 1 == progress.done)
                    let trace = [bench.trace("\(progress.done)", context)]
                    return progress.done < 4 ? .more(writing: trace, progress: progress) : .done(writing: trace, progress: progress)
                }
            ])
            try await runner.runDue()
            #expect(try await bench.traces(of: anna) == ["1", "2"])
            #expect(
                try await bench.texts("select concat_ws(' ', status, attempt, done, total, reason) from job") == ["scheduled 1 2 4 Broken"])
            try await bench.passTime()
            try await runner.runDue()
            #expect(try await bench.traces(of: anna) == ["1", "2", "3", "4"])
            #expect(
                try await bench.texts(
                    "select concat_ws(' ', status, attempt, done, total, counts ->> 'created', reason) from job where id = \(id)")
                    == ["succeeded 1 4 4 8"])
        }
    }

    @Test func afterItsTurnAJobWaitsBehindTheOthers() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let order = Mutex<[String]>([])
            for name in ["long", "short"] { try await bench.enqueue(name, as: anna) }
            var runner = bench.runner(
                [
                    JobBench.kind.job { work, _, run in
                        order.withLock { $0.append(work.name) }
                        var progress = run.progress
                        progress.done += 1
                        return work.name == "short" || progress.done == 3 ? .done(progress: progress) : .more(progress: progress)
                    }
                ], places: 1)
            runner.turn = .zero
            try await runner.runDue()
            #expect(order.withLock { $0 } == ["long", "short", "long", "long"])
            #expect(runner.metrics.count("test", .handedBack) == 2)
            #expect(runner.metrics.count("test", .succeeded) == 2)
        }
    }

    // MARK: Cancelling

    @Test func aJobThatHasNotBegunIsCancelledAtOnceAndByItsTenantOnly() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let id = try await bench.enqueue("x", as: anna)
            func cancel(as context: RequestContext, _ tenant: TenantID) async throws -> [String?] {
                try await bench.postgres.batch(as: context, [JobBench.kind.cancel(id, of: tenant)])[0].map { $0.text(0) }
            }
            let other = bench.member()
            #expect(try await cancel(as: other, other.tenant) == [])
            #expect(try await cancel(as: other, anna.tenant) == [])
            #expect(try await cancel(as: anna, anna.tenant) == ["cancelled"])
            #expect(try await cancel(as: anna, anna.tenant) == [])
            #expect(try await bench.take() == [])
        }
    }

    @Test func aJobIsCancelledByItsKey() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let id = try await bench.enqueue("x", as: anna, key: "k", at: Timestamp.now.advanced(by: .seconds(3600)))
            func cancel(_ key: String) async throws -> [RecordID] {
                try await bench.postgres.batch(as: anna, [JobBench.kind.cancel(key: key, of: anna.tenant)])[0].map { try $0.decode(0) }
            }
            #expect(try await cancel("other") == [])
            #expect(try await cancel("k") == [id])
            #expect(try await cancel("k") == [])
            #expect(try await bench.statuses() == ["cancelled"])
            #expect(try await bench.enqueue("y", as: anna, key: "k") != id)
        }
    }

    /// Whatever becomes of the attempt that it is in, and of who does it.
    @Test func whatWasCancelledStaysCancelled() async throws {
        try await JobBench.run { bench in
            for _ in 0..<2 { try await bench.enqueue("x", as: bench.member()) }
            let jobs = try await bench.take()
            #expect(jobs.count == 2)
            try await bench.texts("update job set is_cancelled = true")
            #expect(try await bench.queue.settle(jobs[0], jobs[0].failing("broken", after: nil)) == .cancelled)
            try await bench.endLeases()
            #expect(try await bench.take() == [])
            #expect(try await bench.statuses() == ["cancelled", "cancelled"])
        }
    }

    /// Before the process has said goodbye to its clients, which may take all the time that it has.
    @Test func jobsAreHandedBackAsSoonAsAStopBegins() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            let runner = bench.runner([JobBench.kind.job { _, _, _ in .more() }])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runner.run() }
                try await eventually("it runs") { try await bench.statuses() == ["running"] }
                runner.leave()
                try await eventually("it waits for another process") {
                    try await bench.texts("select status || attempt from job") == ["queued0"]
                }
                group.cancelAll()
            }
        }
    }

    /// One goes from step to step, the other hangs in its only one.
    @Test(arguments: [true, false]) func aJobThatRunsIsCancelled(hasSteps: Bool) async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            let id = try await bench.enqueue("x", as: anna)
            let runner = bench.runner([
                JobBench.kind.job { _, _, _ in
                    if !hasSteps { try await Task.sleep(for: .seconds(60)) }
                    return .more()
                }
            ])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runner.run() }
                try await eventually("it runs") { try await bench.statuses() == ["running"] }
                _ = try await bench.postgres.batch(as: anna, [JobBench.kind.cancel(id, of: anna.tenant)])
                try await eventually("it is cancelled", within: .seconds(10)) {
                    try await bench.texts("select status || (ended_at is not null) from job") == ["cancelledtrue"]
                }
                group.cancelAll()
            }
        }
    }
}

extension TakenJob: Equatable {
    public static func == (left: TakenJob, right: TakenJob) -> Bool { left.id == right.id && left.fence == right.fence }
}
