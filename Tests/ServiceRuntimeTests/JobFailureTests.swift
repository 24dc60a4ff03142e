import Core
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

/// What becomes of a job whose steps fail, or whose worker stands still or ends.
@Suite struct JobFailureTests {
    private struct Broken: Error {}

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
            try await bench.endLeases()
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
            try await bench.endLeases()
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
                try await bench.endLeases()
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
}
