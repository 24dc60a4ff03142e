import Postgres

/// The right to hand over a service's outbox, which one session has at a time: the row of `relay_lease`.
///
/// It lasts ten seconds from its last renewal by the database's clock, and ends with the session at once. Whoever takes it next has a
/// higher fence, and neither activity nor the outbox takes anything from the holder of a lower one: a process that was stopped and woken
/// up again, and still believes that it leads, changes nothing.
struct RelayLease: Sendable {
    /// The number of this taking.
    let fence: Int64

    /// Time between two renewals: two may fail before the lease is over.
    static let renewal: Duration = .seconds(3)
    private static let period = "interval '10 seconds'"

    /// Takes the lease if nobody has it.
    static func take(_ session: PostgresSession) async throws -> RelayLease? {
        let rows = try await session.query(
            """
            update relay_lease set fence = fence + 1, session_pid = pg_backend_pid(),
                session_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
                expires_at = clock_timestamp() + \(unescaped: period)
            where expires_at < clock_timestamp()
                or not exists (select from pg_stat_activity where pid = session_pid and backend_start = session_start)
            returning fence
            """)
        return try rows.first.map { RelayLease(fence: try $0.decode("fence")) }
    }

    /// - Throws: ``Lost``.
    func renew(_ session: PostgresSession) async throws {
        let result = try await session.query(
            "update relay_lease set expires_at = clock_timestamp() + \(unescaped: Self.period) where fence = \(fence)",
            // Whoever has not been answered by then cannot know whether it still leads.
            timeout: Self.renewal)
        guard result.affectedRows == 1 else { throw Lost() }
    }

    /// Another process hands over now.
    struct Lost: Error, CustomStringConvertible {
        var description: String { "another process has taken the relay's lease" }
    }
}
