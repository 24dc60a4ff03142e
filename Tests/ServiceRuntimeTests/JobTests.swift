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

    // MARK: Failing

    /// What it says of the reason is a code; the detail may be somebody's data.
    @Test func aJobThatFailsIsTriedAgainLaterAndInTheEndIsADeadLetter() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            let runner = bench.runner([
                JobBench.kind.job(attempts: 3) { _, _, _ in throw Problem(.conflict, "anna@example.test is taken") }
            ])
            for attempt in 1...3 {
                try await runner.runDue()
                #expect(try await bench.texts("select attempt || reason from job") == ["\(attempt)conflict"])
                if attempt < 3 {
                    let longest = RetryDelay.after(attempt: attempt, chance: 0) / .seconds(1)
                    #expect(
                        try await bench.texts(
                            """
                            select (status = 'scheduled' and run_at between created_at + \(longest / 2) * interval '1 second'
                                and now() + \(longest) * interval '1 second')::text from job
                            """) == ["true"])
                }
                try await bench.passTime()
            }
            #expect(try await bench.texts("select status || (ended_at is not null) from job") == ["failedtrue"])
            try await runner.runDue()
            #expect(runner.metrics.count("test", .retried) == 2 && runner.metrics.count("test", .failed) == 1)
            #expect(bench.log.lines.contains { $0.hasPrefix("error a job has failed and is a dead letter") })
        }
    }

    @Test func whatCannotSucceedIsNotTriedAgain() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            let runner = bench.runner([JobBench.kind.job { _, _, _ in throw JobFailure("file_is_empty") }])
            try await runner.runDue()
            #expect(try await bench.texts("select status || reason from job") == ["failedfile_is_empty"])
        }
    }

    /// Another release may have asked for it, and understand it.
    @Test func aPayloadThatIsNotUnderstoodIsTriedAgain() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            try await bench.texts("update job set payload = '{\"name\": 7}'")
            let runner = bench.runner([JobBench.kind.job { _, _, _ in .done() }])
            try await runner.runDue()
            #expect(try await bench.texts("select status || reason from job") == ["scheduledpayload_not_understood"])
        }
    }

    @Test func aStepThatTakesTooLongIsBrokenOff() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            let runner = bench.runner([
                JobBench.kind.job(timeout: .milliseconds(50)) { _, _, _ in
                    try await Task.sleep(for: .seconds(60))
                    return .done()
                }
            ])
            try await runner.runDue()
            #expect(try await bench.texts("select status || reason from job") == ["scheduledtimed_out"])
        }
    }

    /// A release before this one is still running: it leaves alone what it does not know.
    @Test func aJobOfAnUnknownKindWaitsForAProcessThatKnowsIt() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            let old = bench.runner([])
            for _ in 0..<2 {
                try await old.runDue()
                try await bench.passTime()
            }
            #expect(try await bench.texts("select status || attempt from job") == ["scheduled0"])
            var text = ""
            old.metrics.write(to: &text)
            #expect(text.contains("martlet_jobs_total{kind=\"-\",outcome=\"unknown\"} 2\n"))
            let new = bench.runner([JobBench.kind.job { _, _, _ in .done() }])
            try await new.runDue()
            #expect(try await bench.statuses() == ["succeeded"])
        }
    }

    // MARK: Leases and fences

    /// Goal: who has lost a job changes nothing by it. Method: a job is taken, its lease runs out, and another takes it.
    @Test func whoHasLostAJobWritesNothing() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            try await bench.enqueue("x", as: anna)
            let stopped = try #require(try await bench.take().first)
            try await bench.texts("update job set lease_until = now() - interval '1 second'")
            let next = try #require(try await bench.take().first)
            #expect(next.id == stopped.id && next.fence == stopped.fence + 1 && next.attempt == 2)
            let run = JobRun(
                id: stopped.id, attempt: 1, progress: stopped.progress, payload: "", caller: .member(anna), taken: stopped,
                client: bench.postgres)
            for work: @Sendable () async throws -> Void in [
                { try await run.write([bench.trace("late", anna)]) },
                { _ = try await run.keep(.done(writing: [bench.trace("late", anna)]), handsBack: false, interval: nil) },
                { _ = try await bench.queue.settle(stopped, stopped.failing("late", after: nil)) },
                { _ = try await bench.queue.settle(stopped, stopped.handingBack) },
            ] {
                let error = await #expect(throws: PostgresError.self) { try await work() }
                #expect(error?.sqlState == TakenJob.lost)
            }
            #expect(try await bench.queue.renew([stopped, next]) == [next.taking: false])
            #expect(try await bench.queue.renew([stopped]) == [:])
            #expect(try await bench.traces(of: anna) == [])
            #expect(try await bench.statuses() == ["running"])
            // What stops the earlier taking leaves the later one alone, in one process too.
            let crew = JobCrew()
            for job in [stopped, next] { crew.begin(job) }
            crew.stop(stopped, .lost)
            crew.end(stopped)
            #expect(crew.jobs == [next])
            crew.stop(next, .cancelled)
            let stop = await crew.stops(of: next).first { _ in true }
            #expect(stop == .cancelled)
            // Also between the end of the lease and the next taking.
            try await bench.texts("update job set status = 'queued'")
            await #expect(throws: PostgresError.self) { try await bench.queue.settle(next, next.cancelling) }
        }
    }

    /// A transaction of the job's own that takes longer than its lease: nobody takes the job, nor waits for it.
    @Test func aJobIsNotTakenFromATransactionOfItsOwn() async throws {
        try await JobBench.run { bench in
            let anna = bench.member()
            try await bench.enqueue("x", as: anna)
            let job = try #require(try await bench.take().first)
            try await bench.texts("update job set lease_until = now() - interval '1 second'")
            try await bench.postgres.transaction(as: anna) { transaction in
                try await transaction.query(job.hold)
                #expect(try await bench.take() == [])
                #expect(try await bench.queue.renew([job]) == [job.taking: false])
                try await transaction.query(job.renewal)
            }
            #expect(try await bench.take() == [])
            #expect(try await bench.queue.settle(job, job.cancelling) == .cancelled)
        }
    }

    @Test func aJobWhoseWorkersAllEndWithoutAWordIsADeadLetter() async throws {
        try await JobBench.run { bench in
            try await bench.enqueue("x", as: bench.member())
            for attempt in 1...3 {
                #expect(try await bench.take().first?.attempt == attempt)
                try await bench.texts("update job set lease_until = now() - interval '1 second'")
                if attempt == 1 { continue }
                // It may be what they die of: it comes back after a while.
                #expect(try await bench.take() == [])
                let longest = RetryDelay.after(attempt: attempt, chance: 0) / .seconds(1)
                #expect(
                    try await bench.texts(
                        """
                        select concat_ws(' ', status, reason, run_at - now() between \(longest / 4) * interval '1 second'
                            and \(longest) * interval '1 second') from job
                        """) == ["scheduled worker_lost t"])
                try await bench.passTime()
            }
            let runner = bench.runner([JobBench.kind.job(attempts: 3) { _, _, _ in .done() }])
            try await runner.runDue()
            #expect(try await bench.texts("select status || reason from job") == ["failedworker_lost"])
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
            try await bench.texts("update job set lease_until = now() - interval '1 second' where status = 'running'")
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
