import Postgres

/// The right to do what one process of a service does at a time, which one session has: a row of `lease`.
///
/// It lasts ten seconds from its last renewal by the database's clock, and ends with the session at once. Whoever takes it next has a
/// higher fence, and nothing is taken from the holder of a lower one, neither by activity nor in the service's own schema: a process that
/// was stopped and woken up again, and still believes that it leads, changes nothing.
struct Lease: Sendable {
    enum Name: Sendable {
        /// Hands over the outbox.
        case relay
        /// Follows the log of events for the copy of such records.
        case follower(of: String)

        /// As the table has it.
        var text: String {
            switch self {
            case .relay: "relay"
            case .follower(let aggregate): "follower of \(aggregate)"
            }
        }
    }

    let name: Name
    /// The number of this taking.
    let fence: Int64

    /// Time between two renewals: two may fail before the lease is over.
    static let renewal: Duration = .seconds(3)
    private static let period = "interval '10 seconds'"

    /// Takes the lease if nobody has it.
    static func take(_ name: Name, _ session: PostgresSession) async throws -> Lease? {
        try await session.query("insert into lease (name) values (\(name.text)) on conflict on constraint lease_pkey do nothing")
        let rows = try await session.query(
            """
            update lease set fence = fence + 1, session_pid = pg_backend_pid(),
                session_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
                expires_at = clock_timestamp() + \(unescaped: period)
            where name = \(name.text) and (expires_at < clock_timestamp()
                or not exists (select from pg_stat_activity where pid = session_pid and backend_start = session_start))
            returning fence
            """)
        return try rows.first.map { Lease(name: name, fence: try $0.decode("fence")) }
    }

    /// - Throws: ``Lost``.
    func renew(_ session: PostgresSession) async throws {
        let result = try await session.query(
            "update lease set expires_at = clock_timestamp() + \(unescaped: Self.period) where name = \(name.text) and fence = \(fence)",
            // Whoever has not been answered by then cannot know whether it still leads.
            timeout: Self.renewal)
        guard result.affectedRows == 1 else { throw Lost(name: name) }
    }

    /// The condition that the lease is still this one, which it then stays until the transaction ends.
    var isHeld: SQL { "exists (select from lease where name = \(name.text) and fence = \(fence) for share)" }

    /// The statement that fails its transaction when the lease is another's, with the SQLSTATE ``lost``.
    var hold: SQL { "select hold_lease(\(name.text), \(fence))" }
    static let lost = "MR003"

    /// Another process has it now.
    struct Lost: Error, CustomStringConvertible {
        let name: Name
        var description: String { "another process has taken the lease of the \(name.text)" }
    }
}
