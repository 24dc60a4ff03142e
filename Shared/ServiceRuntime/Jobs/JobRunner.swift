import Core
import Logging
import Operations
import Postgres
import ServiceLifecycle

/// Takes jobs out of the queue and does them, some at a time; each process of a service has one (Shared/Decisions/0025).
///
/// A job that has had its turn is handed back behind the step that it is in and waits behind those of others, so a long one holds up none. When the process
/// is told to stop, all are handed back; what is still in the middle of a step some seconds later is broken off, and that step is done again elsewhere.
struct JobRunner: Service {
    let jobs: [String: Job]
    let service: ServiceName
    /// Does what tenants have asked for, bound to them by row security.
    let postgres: PostgresClient
    /// Takes jobs, and does the service's own.
    let systemPostgres: PostgresClient
    let metrics: JobMetrics
    let logger: Logger
    /// Jobs at the same time; one tenant has half of the places at most.
    let places: Int
    private let crew = JobCrew()
    /// Time between two looks at an empty queue.
    var interval: Duration = .milliseconds(500)
    /// How long a job is in one process's hands when others may wait.
    var turn: Duration = .seconds(5)

    init(
        jobs: [Job], service: ServiceName, postgres: PostgresClient, systemPostgres: PostgresClient, metrics: JobMetrics, logger: Logger,
        places: Int
    ) {
        self.jobs = Dictionary(jobs.map { ($0.kind, $0) }) { _, _ in preconditionFailure("two jobs of one kind") }
        self.service = service
        self.postgres = postgres
        self.systemPostgres = systemPostgres
        self.metrics = metrics
        self.logger = logger
        self.places = places
    }

    var queue: JobQueue { JobQueue(postgres: systemPostgres) { SystemContext(service: service.rawValue, timeout: $0) } }

    /// Takes no more jobs, and hands back those in hand: the process is about to stop.
    func leave() { crew.leave() }

    func run() async throws {
        // One signal is as good as many: whoever takes it looks at all there is.
        let (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { keepers in
                keepers.addTask {
                    while !Task.isCancelled {
                        signal.yield()
                        try? await Task.sleep(for: interval)
                    }
                }
                keepers.addTask { await keep() }
                keepers.addTask { await watch() }
                await withDiscardingTaskGroup { group in
                    await addPeriodic()
                    var room = JobQueue.Room(places: places, share: max(1, places / 2), taken: [:], last: TenantID())
                    for await _ in signals {
                        for job in await take(&room) {
                            group.addTask {
                                await work(job)
                                signal.yield()
                            }
                            // There may be more where these came from.
                            signal.yield()
                        }
                    }
                }
                keepers.cancelAll()
            }
        } onGracefulShutdown: {
            crew.leave()
            signal.finish()
        }
    }

    /// Does what is due, one look after the other, and returns when there is nothing any more.
    func runDue() async throws {
        var room = JobQueue.Room(places: places, share: places, taken: [:], last: TakenJob.noTenant)
        while true {
            let taken = try await queue.take(&room)
            if taken.isEmpty { return }
            await withDiscardingTaskGroup { group in
                for job in taken {
                    crew.begin(job)
                    group.addTask { await work(job) }
                }
            }
        }
    }

    /// Does a periodic job, whenever it is due, and no other.
    func runNow(_ periodic: Job) async throws {
        try await queue.add([periodic])
        var next = try await queue.take(periodic, in: [.scheduled, .queued])
        while let job = next {
            crew.begin(job)
            await work(job)
            // There may be more to do than one turn.
            next = try await queue.take(periodic, in: [.queued])
        }
    }

    // MARK: The queue

    private func addPeriodic() async {
        await untilItSucceeds { try await queue.add(jobs.values.filter { $0.interval != nil }) }
    }

    private func take(_ room: inout JobQueue.Room) async -> [TakenJob] {
        room.places = places - crew.count
        room.taken = crew.tenants
        guard room.places > 0, !crew.isLeaving else { return [] }
        var taken: [TakenJob] = []
        await untilItSucceeds { taken = try await queue.take(&room) }
        for job in taken { crew.begin(job) }
        return taken
    }

    /// Tries again after a while when the database is away, until the process stops.
    private func untilItSucceeds(_ work: () async throws -> Void) async {
        var failures = 0
        while !Task.isCancelled {
            do { return try await work() } catch {
                if Task.isCancelled || Task.isShuttingDownGracefully { return }
                failures += 1
                logger.warning(
                    "the queue of jobs could not be read and will be tried again",
                    metadata: [LogKey.count: .stringConvertible(failures), LogKey.error: .string(describeForLog(error))])
                let pause = min(.seconds(5), interval * (1 << min(failures, 5)))
                await cancelWhenGracefulShutdown { try? await Task.sleep(for: pause) }
            }
        }
    }

    /// Gives signs of life of the jobs in hand, and breaks off those that are to stop.
    private func keep() async {
        var isLast = false
        while !Task.isCancelled {
            let next = ContinuousClock.now + TakenJob.renewal
            // From one round to the next, steps could still come to their end.
            if isLast { for job in crew.jobs { crew.stop(job, .leaving) } }
            isLast = crew.isLeaving
            do {
                let jobs = crew.jobs
                if !jobs.isEmpty {
                    let held = try await queue.renew(jobs)
                    for job in jobs where held[job.taking] != false { crew.stop(job, held[job.taking] == nil ? .lost : .cancelled) }
                }
            } catch {
                // The lease outlasts two failures; after that the job is another's, and its fence says so.
                if !Task.isCancelled {
                    logger.debug("no sign of life of jobs could be given", metadata: [LogKey.error: .string(describeForLog(error))])
                }
            }
            try? await Task.sleep(until: next, clock: .continuous)
        }
    }

    /// Looks from time to time at what waits.
    private func watch() async {
        while !Task.isCancelled {
            do {
                let waiting = try await queue.backlog()
                metrics.backlog(waiting.jobs, age: waiting.age)
            } catch {
                if !Task.isCancelled {
                    logger.debug("waiting jobs could not be counted", metadata: [LogKey.error: .string(describeForLog(error))])
                }
            }
            try? await Task.sleep(for: .seconds(15))
        }
    }

    // MARK: One job

    private func work(_ job: TakenJob) async {
        metrics.begin()
        let start = ContinuousClock.now
        let outcome = await outcome(of: job)
        crew.end(job)
        metrics.end(job.kind, outcome, after: ContinuousClock.now - start)
        let isOwn = job.tenant == TakenJob.noTenant
        logger.log(
            level: outcome == .handedBack || isOwn && outcome == .succeeded ? .debug : .info, "a job has had its turn",
            metadata: describe(job).merging([LogKey.outcome: .string(outcome.rawValue)]) { $1 })
    }

    private func outcome(of job: TakenJob) async -> JobOutcome {
        var job = job
        do {
            guard let kind = jobs[job.kind] else { return outcome(try await queue.settle(job, job.puttingOff), otherwise: .unknown) }
            if job.isCancelled { return outcome(try await queue.settle(job, job.cancelling)) }
            do {
                return try await perform(&job, kind)
            } catch JobStop.cancelled {
                return outcome(try await queue.settle(job, job.cancelling))
            } catch JobStop.leaving {
                return outcome(try await queue.settle(job, job.handingBack))
            } catch {
                if isLost(error) || Task.isCancelled { throw error }
                return try await fail(job, kind, error)
            }
        } catch {
            if !isLost(error), !Task.isCancelled {
                logger.warning(
                    "what became of a job could not be kept; it is taken again when its lease is over",
                    metadata: describe(job).merging([LogKey.error: .string(describeForLog(error))]) { $1 })
            }
            return .lost
        }
    }

    /// Does one step after the other until the job has ended or its turn is over.
    private func perform(_ job: inout TakenJob, _ kind: Job) async throws -> JobOutcome {
        // Those before have ended without a word.
        if job.attempt > kind.attempts { throw JobFailure("worker_lost") }
        let end = ContinuousClock.now + turn
        while true {
            let run = run(job, kind)
            let step = try await step(kind, run, crew.stops(of: job))
            let status = try await run.keep(step, handsBack: crew.isLeaving || ContinuousClock.now >= end, interval: kind.interval)
            if status != .running { return outcome(status, otherwise: step.isLast ? .succeeded : .handedBack) }
            job.attempt = 1
            if let progress = step.progress { job.progress = progress }
        }
    }

    private func step(_ kind: Job, _ run: JobRun, _ stops: AsyncStream<JobStop>) async throws -> JobStep {
        try await withThrowingTaskGroup(of: JobStep?.self) { group in
            group.addTask { try await kind.step(run) }
            group.addTask {
                for await stop in stops { throw stop }
                return nil
            }
            group.addTask {
                try await Task.sleep(for: kind.timeout)
                throw JobStop.timedOut
            }
            defer { group.cancelAll() }
            while let result = try await group.next() { if let result { return result } }
            throw CancellationError()
        }
    }

    private func run(_ job: TakenJob, _ kind: Job) -> JobRun {
        // What the step has come to is kept behind it, which takes time too.
        let edge = EdgeContext(requestID: job.requestID, deadline: Timestamp.now.advanced(by: kind.timeout + .seconds(10)))
        let isOwn = job.tenant == TakenJob.noTenant
        return JobRun(
            id: job.id, attempt: job.attempt, progress: job.progress, payload: job.payload,
            caller: isOwn
                ? .service(SystemContext(service: service.rawValue, edge: edge))
                : .member(RequestContext(tenant: job.tenant, user: job.user ?? .nobody, edge: edge)),
            taken: job, client: isOwn ? systemPostgres : postgres)
    }

    private func fail(_ job: TakenJob, _ kind: Job, _ error: any Error) async throws -> JobOutcome {
        var delay: Duration? = RetryDelay.after(attempt: job.attempt, chance: .random(in: 0..<1))
        if let interval = kind.interval { delay = min(delay ?? interval, interval) }
        if kind.interval == nil, error is JobFailure || job.attempt >= kind.attempts { delay = nil }
        let status = try await queue.settle(job, job.failing(Self.reason(error), after: delay))
        var metadata = describe(job)
        metadata[LogKey.count] = .stringConvertible(job.attempt)
        metadata[LogKey.error] = .string(describeForLog(error))
        switch status {
        case .failed: logger.error("a job has failed and is a dead letter", metadata: metadata)
        case .cancelled: logger.debug("a job failed that was to stop", metadata: metadata)
        case .scheduled, .queued, .running, .succeeded: logger.warning("a job failed and will be tried again", metadata: metadata)
        }
        return outcome(status, otherwise: .retried)
    }

    private func outcome(_ status: TakenJob.Status, otherwise: JobOutcome = .handedBack) -> JobOutcome {
        switch status {
        case .succeeded: .succeeded
        case .failed: .failed
        case .cancelled: .cancelled
        case .scheduled, .queued, .running: otherwise
        }
    }

    private func isLost(_ error: any Error) -> Bool {
        error as? JobStop == .lost || (error as? PostgresError)?.sqlState == TakenJob.lost
    }

    /// What is kept of a failure: nothing that somebody wrote.
    static func reason(_ error: any Error) -> String {
        switch error {
        case let failure as JobFailure: failure.reason
        case JobStop.timedOut: "timed_out"
        case is PayloadNotUnderstood: "payload_not_understood"
        case let problem as Problem: problem.code.rawValue
        case let error as PostgresError: error.description
        default: String(describing: type(of: error))
        }
    }

    private func describe(_ job: TakenJob) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            LogKey.worker: .string(job.kind), LogKey.jobID: .string(job.id.description), LogKey.requestID: .string(job.requestID),
        ]
        if job.tenant != TakenJob.noTenant { metadata[LogKey.tenantID] = .string(job.tenant.description) }
        return metadata
    }
}

/// An error in one line for the log: of a ``Problem`` also what its public text leaves out.
func describeForLog(_ error: any Error) -> String {
    guard let problem = error as? Problem else { return String(describing: error) }
    return [problem.description, problem.context].compactMap { $0 }.joined(separator: ": ")
}
