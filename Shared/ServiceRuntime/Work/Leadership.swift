import Core
import Logging
import Operations
import Postgres

/// Work that never ends and that one process of a service does at a time: the one that holds the ``Lease``.
struct Leadership: Sendable {
    let lease: Lease.Name
    let postgres: PostgresClient
    let service: ServiceName
    /// Shortest time from a failure to the next trial; it is doubled with each failure in a row, up to 2 s.
    let pause: Duration
    /// What the log says of a failure, one sentence.
    let failure: Logger.Message
    let logger: Logger

    /// Does the work until the task is cancelled; begins it anew after a failure.
    ///
    /// - Parameters:
    ///   - isLeader: told when this process has got the lease, and when its work has ended.
    ///   - elsewhere: told each time that another process is found to have it.
    ///   - work: goes on until it is cancelled or fails, on a session of its own.
    func run(
        isLeader: @Sendable (Bool) -> Void, elsewhere: @Sendable () -> Void,
        _ work: @escaping @Sendable (PostgresSession, Lease) async throws -> Void
    ) async {
        var failures = 0
        while !Task.isCancelled {
            var wait = pause
            do {
                try await lead(isLeader: isLeader, work)
                failures = 0
                elsewhere()
                // The lease is asked for every second: that long the work waits when the session of its holder has ended.
                wait = .seconds(1)
            } catch {
                if Task.isCancelled { return }
                failures += 1
                logger.warning(
                    failure, metadata: [LogKey.count: .stringConvertible(failures), LogKey.error: .string(describeForLog(error))])
            }
            try? await Task.sleep(for: min(.seconds(2), wait * (1 << min(failures, 5))))
        }
    }

    /// Returns at once when another process has the lease.
    private func lead(
        isLeader: @Sendable (Bool) -> Void, _ work: @escaping @Sendable (PostgresSession, Lease) async throws -> Void
    ) async throws {
        try await postgres.session(as: SystemContext(service: service.rawValue)) { session in
            guard let lease = try await Lease.take(lease, session) else { return }
            isLeader(true)
            defer { isLeader(false) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await Task.sleep(for: Lease.renewal)
                        try await lease.renew(session)
                    }
                }
                group.addTask { try await work(session, lease) }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
    }
}
