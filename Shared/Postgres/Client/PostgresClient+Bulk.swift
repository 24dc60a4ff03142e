import Core

extension PostgresClient {
    /// Runs the closure in a transaction of the bulk lane, in the name of the context's tenant, user and request. Commits when the
    /// closure returns, rolls back when it throws.
    ///
    /// Waits for a free connection; the context's deadline bounds the whole. Each statement is a round trip, so what can be said
    /// in one go is better a ``batch(as:_:)-(RequestContext,_)``.
    /// - Throws: ``PostgresError``, or what the closure throws.
    public func transaction<T: Sendable>(
        as context: RequestContext, isolation: isolated (any Actor)? = #isolation, _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        try await transaction(ContextSettings.sql(for: context), tenant: context.tenant, until: context.deadline, body)
    }

    /// Runs the closure in a transaction of the bulk lane, in the name of no tenant.
    public func transaction<T: Sendable>(
        as context: SystemContext, isolation: isolated (any Actor)? = #isolation, _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        try await transaction(ContextSettings.sql(for: context), tenant: nil, until: context.deadline, body)
    }

    private func transaction<T: Sendable>(
        _ settings: SQL, tenant: TenantID?, until deadline: Timestamp, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        let connection = CheckedOutConnection(checkout: Checkout(tenant: tenant), reactor: nextBulkReactor)
        var isClean = false
        defer { connection.release(isClean: isClean) }
        _ = try await connection.checkOut(["begin", settings], until: deadline, commits: false)
        let value: T
        do {
            value = try await body(PostgresTransaction(connection: connection, deadline: deadline))
        } catch {
            // When even this fails, for one because the task is cancelled, the connection is closed and the server rolls back.
            isClean = (try? await connection.run(["rollback"], until: deadline, commits: false)) != nil
            throw error
        }
        let committed = try await connection.run(["commit"], until: deadline, commits: true)
        isClean = true
        // Postgres answers so when a statement had failed and the closure did not pass the failure on.
        guard committed[0].commandTag == "COMMIT" else {
            throw PostgresError(.server(sqlState: "25P02"), message: "commit of a failed transaction")
        }
        return value
    }

    /// Checks out a connection of the bulk lane without opening a transaction: for advisory locks that elect a leader, and for
    /// statements that Postgres runs outside transactions only. The connection is closed afterwards, so locks and settings end.
    ///
    /// The context's deadline bounds the wait for the connection, not what is done with it.
    /// - Throws: ``PostgresError``, or what the closure throws.
    public func session<T: Sendable>(
        as context: SystemContext, isolation: isolated (any Actor)? = #isolation, _ body: (PostgresSession) async throws -> T
    ) async throws -> T {
        let connection = CheckedOutConnection(checkout: Checkout(tenant: nil), reactor: nextBulkReactor)
        defer { connection.release(isClean: false) }
        let request: SQL = "select set_config('app.request', \(context.requestID), false)"
        _ = try await connection.checkOut([request], until: context.deadline, commits: true)
        return try await body(PostgresSession(connection: connection))
    }
}

extension CheckedOutConnection {
    /// Waits for a free connection and runs the statements on it.
    func checkOut(_ statements: [SQL], until deadline: Timestamp, commits: Bool) async throws -> [PostgresResult] {
        try await reactor.run(
            Request(
                settings: nil, statements: statements, deadline: deadline.monotonic, checkout: checkout, isCheckingOut: true,
                commits: commits))
    }
}
