import Core
import Postgres

/// What a repeat is answered.
extension IdempotencyKey {
    /// Runs a hand-written route's write, or answers as before when it took effect already.
    ///
    /// - Parameter key: `nil` runs the write as it is.
    /// - Throws: What the write throws; ``Problem`` `idempotency_key_reused`, or `idempotency_in_progress` while another request
    ///   with the key runs.
    public static func guarding(
        _ key: IdempotencyKey?, as context: RequestContext, on postgres: PostgresClient, _ write: () async throws -> Reply
    ) async throws -> Reply {
        try await guarding(key, as: context, on: postgres, replay: \.reply, write)
    }

    /// The same for any kind of answer.
    static func guarding<Answer>(
        _ key: IdempotencyKey?, as context: RequestContext, on postgres: PostgresClient, replay: (StoredAnswer) -> Answer,
        _ write: () async throws -> Answer
    ) async throws -> Answer {
        do {
            return try await write()
        } catch {
            guard let stored = try await key?.recover(from: error, as: context, on: postgres) else { throw error }
            return replay(stored)
        }
    }

    /// What was answered before, if anything: for a route that must not even try its write again.
    ///
    /// - Throws: ``Problem`` `idempotency_key_reused`.
    public func earlierReply(as context: RequestContext, on postgres: PostgresClient) async throws -> Reply? {
        try await earlierAnswer(as: context, on: postgres)?.reply
    }

    func earlierAnswer(as context: RequestContext, on postgres: PostgresClient) async throws -> StoredAnswer? {
        try stored(in: try await postgres.batch(as: context, [lookup(as: context)])[0])
    }

    /// What a failed write means for a request with this key: the stored answer when an earlier one succeeded, whatever the failure is. A
    /// repeat may fail for another reason than its key: at a limit that the first has reached, at the version that it has raised, at what
    /// it has removed.
    ///
    /// - Throws: ``Problem`` `idempotency_key_reused`, `idempotency_in_progress`; what the database throws.
    func recover(from error: any Error, as context: RequestContext, on postgres: PostgresClient) async throws -> StoredAnswer? {
        let cause = error as? PostgresError ?? (error as? Problem)?.underlying as? PostgresError
        // A database that could not be asked cannot be asked for its answers either; that another service is away says nothing of it.
        let isAway = (error as? Problem)?.code == .upstreamUnavailable && cause == nil
        guard cause?.sqlState != nil || isAway || (error as? Problem).map({ $0.code.status < 500 }) == true else { return nil }
        if let stored = try await earlierAnswer(as: context, on: postgres) { return stored }
        if cause?.constraint == "idempotency_key_pkey" { throw Self.inProgress }
        if cause?.sqlState == "55P03", try await isHeld(as: context, on: postgres) { throw Self.inProgress }
        return nil
    }

    /// Whether a transaction that is still open has written the key. A write that waited too long for a lock asks: it may have
    /// been the key's, or any other that it takes.
    ///
    /// Tries to write the key too, waiting hardly at all, and always fails, so that nothing stays.
    private func isHeld(as context: RequestContext, on postgres: PostgresClient) async throws -> Bool {
        do {
            _ = try await postgres.transaction(as: context) { transaction in
                try await transaction.batch([
                    "select set_config('lock_timeout', '10ms', true)", insertion(as: context, status: 200, body: []),
                ])
                throw KeyIsFree()
            }
            return false
        } catch is KeyIsFree {
            return false
        } catch let error as PostgresError {
            // A key that was written in the meantime is told by the next repeat.
            return error.sqlState == "55P03" || error.constraint == "idempotency_key_pkey"
        }
    }

    private struct KeyIsFree: Error {}

    static let inProgress = Problem(
        .idempotencyInProgress, "A request with this Idempotency-Key has not finished. Repeat it in a moment.", retryAfter: 1)
}
