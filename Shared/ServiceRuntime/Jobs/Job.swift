import Core
import Foundation
import Postgres

/// A kind of work in the background and what does it, as a service registers it in ``ServiceParts/jobs`` (Shared/Decisions/0025).
///
/// The work goes in steps. A step takes some seconds at most; what it writes, and how far it has come, is kept in one transaction, or not at
/// all. Between two steps a job can be handed to another process, or make room for others. So a job that was killed goes on
/// behind the last step that was kept, and whoever was taken for dead and wakes up later keeps nothing.
public struct Job: Sendable {
    /// The name in the column `kind`: `lead-import`.
    public let kind: String
    /// How often it is tried, counted from the last step that was kept; then it has failed for good. A periodic one is tried for ever.
    let attempts: Int
    /// The longest that one step may take.
    let timeout: Duration
    /// Of a periodic one, from one due time to the next.
    let interval: Duration?
    let step: @Sendable (JobRun) async throws -> JobStep

    /// Work of the service's own, for no tenant: once each interval, whatever number of processes there is.
    ///
    /// - Parameters:
    ///   - interval: from one due time to the next. Due times that nobody was there for are not made up for.
    ///   - timeout: the longest that one step may take.
    ///   - step: does a part of the work. What it throws is logged, and tried again after a while, at its next due time at the latest.
    public static func periodic(
        _ kind: String, every interval: Duration, timeout: Duration = .seconds(60),
        step: @escaping @Sendable (SystemContext, JobRun) async throws -> JobStep
    ) -> Job {
        Job(kind: kind, attempts: .max, timeout: timeout, interval: interval) { run in
            guard case .service(let context) = run.caller else { throw JobFailure("not_of_a_tenant") }
            return try await step(context, run)
        }
    }
}

/// A kind of job that is asked for, in the name of a tenant: its name and what it must know.
///
///     static let reminder = JobKind<Reminder>("task-reminder")
///     // beside the change that asks for it, in the same batch:
///     try reminder.enqueue(Reminder(task: id), key: id.description, at: task.remindAt)
///
/// In SQL, in a trigger for one, it is `enqueue_job('task-reminder', jsonb_build_object('task', new.id), …)`.
public struct JobKind<Payload: Codable & Sendable>: Sendable {
    public let name: String

    public init(_ name: String) { self.name = name }

    /// The statement that asks for a job, for the batch of a member: the job is there when the batch is committed, and not before.
    ///
    /// - Parameters:
    ///   - key: of this kind and key there is one job that has not begun; it takes on the payload, and the time if one is given. Who asks for
    ///     several in a transaction does so in the order of their keys, or two of them may wait for each other.
    ///   - due: `nil` for as soon as there is a place.
    /// - Throws: what the payload throws when it is encoded.
    public func enqueue(_ payload: Payload, key: String? = nil, at due: Timestamp? = nil) throws -> SQL {
        let text = String(decoding: try JSONEncoder().encode(payload), as: UTF8.self)
        return "select enqueue_job(\(name), \(text)::jsonb, \(key.sqlValue)::text, \(due.sqlValue)::timestamptz) as id"
    }

    /// What does jobs of this kind.
    ///
    /// - Parameters:
    ///   - attempts: how often one is tried, counted from the last step that was kept.
    ///   - timeout: the longest that one step may take.
    ///   - step: does a part of the work, bound to the tenant by row security as a request is. The context's user is who asked, or
    ///     ``UserID/nobody``; it has no permissions and no limits of a plan, so what needs these has them in its payload.
    public func job(
        attempts: Int = 10, timeout: Duration = .seconds(60),
        step: @escaping @Sendable (Payload, RequestContext, JobRun) async throws -> JobStep
    ) -> Job {
        Job(kind: name, attempts: attempts, timeout: timeout, interval: nil) { run in
            guard case .member(let context) = run.caller else { throw JobFailure("of_no_tenant") }
            let payload: Payload
            do {
                payload = try JSONDecoder().decode(Payload.self, from: Data(run.payload.utf8))
            } catch {
                throw PayloadNotUnderstood()
            }
            return try await step(payload, context, run)
        }
    }
}

/// Another release may have asked for the job, and have processes that understand it: it is tried again.
struct PayloadNotUnderstood: Error {}

/// What a step has come to.
public struct JobStep: Sendable {
    let isLast: Bool
    let statements: [SQL]
    let progress: JobProgress?

    /// The job is done. The statements are kept in the transaction that says so: they have taken effect exactly once.
    public static func done(writing statements: [SQL] = [], progress: JobProgress? = nil) -> JobStep {
        JobStep(isLast: true, statements: statements, progress: progress)
    }

    /// There is more to do, from what the progress says. The statements are kept in the transaction that says so.
    public static func more(writing statements: [SQL] = [], progress: JobProgress? = nil) -> JobStep {
        JobStep(isLast: false, statements: statements, progress: progress)
    }
}

/// How far a job is, for the next step and for whoever asks.
public struct JobProgress: Sendable, Equatable {
    /// Where the next step goes on.
    public var state: JSON = .null
    /// Units of work that are done, whatever the kind counts.
    public var done: Int64 = 0
    /// Units that there are; `nil` while nobody knows.
    public var total: Int64?
    /// What became of them: `created`, `skipped`.
    public var counts: [String: Int64] = [:]

    public init() {}
}

/// A job that cannot succeed however often it is tried; it goes to the dead letters.
public struct JobFailure: Error, CustomStringConvertible {
    /// A code, which is shown to the tenant: `file_is_empty`. Never what somebody wrote.
    public let reason: String

    public init(_ reason: String) { self.reason = reason }

    public var description: String { "the job has failed for good: \(reason)" }
}

/// A job in the hands of the process that has taken it, for one step.
public struct JobRun: Sendable {
    public let id: RecordID
    /// Takings since the last step that was kept, from 1.
    public let attempt: Int
    /// What the steps before have left.
    public let progress: JobProgress
    /// JSON text.
    let payload: String
    let caller: Caller
    let taken: TakenJob
    let client: PostgresClient

    /// Runs statements as one transaction, in whose name the job is; not when another process has taken the job meanwhile.
    ///
    /// For what comes to the same when it is done again, as the step is when it is not kept in the end. What must happen once goes
    /// with the step's result.
    ///
    /// - Parameter context: whoever the job is done for, with the limits of the plan; unlimited unless given.
    /// - Throws: ``PostgresError``.
    @discardableResult
    public func write(_ statements: [SQL], as context: RequestContext? = nil) async throws -> [PostgresResult] {
        let results = try await client.batch(as: context.map { .member($0) } ?? caller, [taken.hold] + statements + [taken.renewal])
        return Array(results.dropFirst().dropLast())
    }

    /// Keeps what a step has come to; see ``TakenJob/keeping(_:handsBack:interval:)``.
    func keep(_ step: JobStep, handsBack: Bool, interval: Duration?) async throws -> TakenJob.Status {
        let results = try await client.batch(
            as: caller, [taken.hold] + step.statements + [taken.keeping(step, handsBack: handsBack, interval: interval)])
        return try TakenJob.Status(results.last)
    }
}

extension PostgresClient {
    fileprivate func batch(as caller: Caller, _ statements: [SQL]) async throws -> [PostgresResult] {
        switch caller {
        case .member(let context): try await batch(as: context, statements)
        case .service(let context): try await batch(as: context, statements)
        case .anonymous: preconditionFailure("a job is a tenant's or the service's own")
        }
    }
}
