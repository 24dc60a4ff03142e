import CLibPQ

/// A connection that blocks its thread and runs several statements in one text; for migrations, on a thread of their own.
final class BlockingConnection {
    private let connection: OpaquePointer

    /// - Throws: ``ConnectFailure`` with libpq's words.
    init(parameters: [(String, String)]) throws(ConnectFailure) {
        let keywords = CStrings(parameters.map(\.0))
        let values = CStrings(parameters.map(\.1))
        let connection = withExtendedLifetime((keywords, values)) {
            PQconnectdbParams(keywords.pointers, values.pointers, 0)
        }
        guard let connection else { throw ConnectFailure(reason: "out of memory") }
        guard PQstatus(connection) == CONNECTION_OK else {
            let reason = String(cString: PQerrorMessage(connection)).split(separator: "\n").joined(separator: "; ")
            PQfinish(connection)
            throw ConnectFailure(reason: reason)
        }
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        self.connection = connection
    }

    deinit { PQfinish(connection) }

    /// Runs one statement with values.
    @discardableResult
    func query(_ sql: SQL) throws(PostgresError) -> PostgresResult {
        let buffer = ParameterBuffer()
        let parameters = buffer.layOut(sql.binds)
        return try withExtendedLifetime(buffer) { () throws(PostgresError) in
            try checked(PQexecParams(connection, sql.text, Int32(sql.binds.count), nil, parameters, nil, nil, 0))
        }
    }

    /// Runs a text of any number of statements; gives the last one's answer.
    @discardableResult
    func script(_ text: String) throws(PostgresError) -> PostgresResult { try checked(PQexec(connection, text)) }

    private func checked(_ pointer: OpaquePointer?) throws(PostgresError) -> PostgresResult {
        guard let pointer else { throw PostgresError(.connectionLost(mayHaveCommitted: true)) }
        let handle = ResultHandle(pointer)
        switch PQresultStatus(pointer) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return PostgresResult(handle: handle)
        default:
            guard PQstatus(connection) == CONNECTION_OK else { throw PostgresError(.connectionLost(mayHaveCommitted: true)) }
            throw PostgresError(result: handle, statementIndex: nil)
        }
    }
}
