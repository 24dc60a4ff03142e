import CLibPQ
import Glibc

/// Owns one `PGconn` in pipeline mode; all calls to libpq on it are here.
final class ConnectionHandle: Sendable {
    // Safe: one thread uses it at a time, first the connector's, which makes it, then the reactor's, which gets it through its inbox.
    private nonisolated(unsafe) let connection: OpaquePointer
    let socket: Int32
    let isEncrypted: Bool

    /// Connects and blocks until that has succeeded or failed.
    ///
    /// - Throws: ``ConnectFailure`` with libpq's words.
    init(parameters: [(String, String)]) throws(ConnectFailure) {
        // libpq copies the strings, which live until the end of the call.
        let keywords = CStrings(parameters.map(\.0))
        let values = CStrings(parameters.map(\.1))
        let connection = withExtendedLifetime((keywords, values)) {
            PQconnectdbParams(keywords.pointers, values.pointers, 0)
        }
        guard let connection else { throw ConnectFailure(reason: "out of memory") }
        guard PQstatus(connection) == CONNECTION_OK, PQsetnonblocking(connection, 1) == 0, PQenterPipelineMode(connection) == 1 else {
            let reason = String(cString: PQerrorMessage(connection)).split(separator: "\n").joined(separator: "; ")
            PQfinish(connection)
            throw ConnectFailure(reason: reason)
        }
        // A notice may hold a row's values, and the default would print it.
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        self.connection = connection
        self.socket = PQsocket(connection)
        self.isEncrypted = PQsslInUse(connection) == 1
    }

    deinit { PQfinish(connection) }

    func sendPrepare(_ statement: Statement) -> Bool {
        PQsendPrepare(connection, statement.name, statement.text, 0, nil) == 1
    }

    func sendExecute(_ statement: Statement, _ binds: [SQLValue], _ buffer: ParameterBuffer) -> Bool {
        PQsendQueryPrepared(connection, statement.name, Int32(binds.count), buffer.layOut(binds), nil, nil, 0) == 1
    }

    /// Parses and runs the statement without keeping it prepared.
    func sendUnprepared(_ text: String, _ binds: [SQLValue], _ buffer: ParameterBuffer) -> Bool {
        PQsendQueryParams(connection, text, Int32(binds.count), nil, buffer.layOut(binds), nil, nil, 0) == 1
    }

    func sendSync() -> Bool { PQpipelineSync(connection) == 1 }

    enum Flush { case done, blocked, failed }

    func flush() -> Flush {
        switch PQflush(connection) {
        case 0: .done
        case 1: .blocked
        default: .failed
        }
    }

    /// Has the kernel keep what is written from now on until ``letGo()``, for 200 ms at most (tcp(7), `TCP_CORK`). False where it
    /// cannot, as on a Unix socket.
    func hold() -> Bool { setCork(1) }

    func letGo() { _ = setCork(0) }

    private func setCork(_ value: Int32) -> Bool {
        var value = value
        return setsockopt(socket, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    /// Reads what has arrived; false when the connection is gone.
    func consumeInput() -> Bool { PQconsumeInput(connection) == 1 }

    enum Answer {
        /// Nothing complete has arrived.
        case wait
        case end
        case sync
        case skipped
        case success(ResultHandle)
        case failure(ResultHandle)
        /// libpq's own word that the connection is of no more use.
        case broken
    }

    /// The next answer out of what was read. When none is expected, it only has libpq take in what the server says unasked.
    func nextAnswer(isExpected: Bool) -> Answer {
        guard PQisBusy(connection) == 0, isExpected else { return .wait }
        guard let pointer = PQgetResult(connection) else { return .end }
        let result = ResultHandle(pointer)
        switch PQresultStatus(pointer) {
        case PGRES_PIPELINE_SYNC: return .sync
        case PGRES_PIPELINE_ABORTED: return .skipped
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return .success(result)
        default:
            // 67 is "C", libpq's code for the SQLSTATE, which every failure that the server reports has.
            return PQresultErrorField(pointer, 67) == nil ? .broken : .failure(result)
        }
    }

    var isAlive: Bool { PQstatus(connection) == CONNECTION_OK }

    /// What another thread needs to ask the server to stop this connection's statement.
    func cancellation() -> Cancellation? { PQgetCancel(connection).map(Cancellation.init) }
}

/// Asks the server, over a connection of its own, to stop what one connection runs.
final class Cancellation: Sendable {
    // Safe: a `PGcancel` is not changed after libpq has made it.
    private nonisolated(unsafe) let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQfreeCancel(pointer) }

    /// Blocks until the server has taken the request; failing is of no consequence, as timeouts end the statement in any case.
    func send() {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { message in
            _ = PQcancel(pointer, message.baseAddress, 256)
        }
    }
}

/// An attempt to connect that came to nothing.
struct ConnectFailure: Error {
    /// libpq's words: address, cause; no data of any row.
    var reason: String
}
