import Core
import Synchronization

/// Why a step is broken off.
enum JobStop: Error, Equatable {
    /// Another process has taken the job.
    case lost
    /// Somebody wants it to stop.
    case cancelled
    /// The process ends.
    case leaving
    /// It has taken too long.
    case timedOut
}

/// The jobs that a process has in hand.
final class JobCrew: Sendable {
    private struct Place {
        let job: TakenJob
        var stop: JobStop?
        var step: AsyncStream<JobStop>.Continuation?
    }

    private struct State {
        var places: [TakenJob.Taking: Place] = [:]
        var isLeaving = false
    }

    private let state = Mutex(State())

    /// Whether the process ends: jobs are handed back behind the step that they are in.
    var isLeaving: Bool { state.withLock { $0.isLeaving } }
    func leave() { state.withLock { $0.isLeaving = true } }

    var jobs: [TakenJob] { state.withLock { $0.places.values.map(\.job) } }
    var count: Int { state.withLock { $0.places.count } }
    var tenants: [TenantID: Int] {
        state.withLock { state in state.places.values.reduce(into: [:]) { $0[$1.job.tenant, default: 0] += 1 } }
    }

    func begin(_ job: TakenJob) { state.withLock { $0.places[job.taking] = Place(job: job) } }
    func end(_ job: TakenJob) { state.withLock { _ = $0.places.removeValue(forKey: job.taking) } }

    /// Breaks off the step that the job is in, or the next one when it is between two.
    func stop(_ job: TakenJob, _ reason: JobStop) {
        state.withLock { state in
            state.places[job.taking]?.stop = reason
            state.places[job.taking]?.step?.yield(reason)
        }
    }

    /// What comes in here breaks off the job's next step.
    func stops(of job: TakenJob) -> AsyncStream<JobStop> {
        let (stream, continuation) = AsyncStream.makeStream(of: JobStop.self, bufferingPolicy: .bufferingOldest(1))
        state.withLock { state in
            if let stop = state.places[job.taking]?.stop { continuation.yield(stop) }
            state.places[job.taking]?.step = continuation
        }
        return stream
    }
}
