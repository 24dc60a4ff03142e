import Core

/// A transaction that is open on a connection of the bulk lane; of use only inside the closure that it is given to.
public struct PostgresTransaction: Sendable {
    let connection: CheckedOutConnection
    let deadline: Timestamp

    /// Runs one statement.
    ///
    /// - Throws: ``PostgresError``. After a failure of the server the transaction can only be rolled back; a savepoint helps.
    @discardableResult
    public func query(_ statement: SQL) async throws -> PostgresResult {
        try await batch([statement])[0]
    }

    /// Runs the statements in one round trip.
    ///
    /// - Throws: ``PostgresError``, as ``query(_:)``.
    @discardableResult
    public func batch(_ statements: [SQL]) async throws -> [PostgresResult] {
        try await connection.run(statements, until: deadline, commits: false)
    }
}

/// A connection of the bulk lane without a transaction: each call commits. Locks and settings of the session last until the end
/// of the closure that it is given to; of use only inside that.
public struct PostgresSession: Sendable {
    let connection: CheckedOutConnection

    /// Runs one statement within the given time, 30 s by default.
    ///
    /// - Throws: ``PostgresError``.
    @discardableResult
    public func query(_ statement: SQL, timeout: Duration = .seconds(30)) async throws -> PostgresResult {
        try await batch([statement], timeout: timeout)[0]
    }

    /// Runs the statements as one transaction in one round trip, within the given time.
    ///
    /// - Throws: ``PostgresError``.
    @discardableResult
    public func batch(_ statements: [SQL], timeout: Duration = .seconds(30)) async throws -> [PostgresResult] {
        try await connection.run(statements, until: Timestamp.now.advanced(by: timeout), commits: true)
    }
}

/// A checkout with the reactor whose connection it is of.
struct CheckedOutConnection: Sendable {
    let checkout: Checkout
    let reactor: Reactor

    func run(_ statements: [SQL], until deadline: Timestamp, commits: Bool) async throws -> [PostgresResult] {
        for statement in statements { try statement.validate() }
        return try await reactor.run(
            Request(settings: nil, statements: statements, deadline: deadline.monotonic, checkout: checkout, commits: commits))
    }

    func release(isClean: Bool) { reactor.push(.release(checkout, isClean: isClean)) }
}
