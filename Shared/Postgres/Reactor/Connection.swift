/// One place for a connection in a reactor: the handle while there is one, and what is on its way over it.
/// Used by the reactor's thread only.
final class Connection {
    /// Its number in the reactor, and its token in the poller.
    let index: Int
    let lane: Lane
    private let maximumStatements: Int

    private(set) var handle: ConnectionHandle?
    private var machine = PipelineStateMachine<Request>()
    /// What this turn of the loop sends at its end.
    private var outgoing: [Request] = []
    /// Who has leased it; bulk lane only.
    var lease: Lease?
    /// Takes no more work and is replaced once what is on its way has been answered.
    private(set) var isRetiring = false
    /// The poller is asked to tell when the socket takes bytes again.
    var isAwaitingWrite = false
    /// Something is to be sent at the end of this turn of the loop.
    private(set) var isDirty = false
    var hasBeenConnected = false

    init(index: Int, lane: Lane, maximumStatements: Int) {
        self.index = index
        self.lane = lane
        self.maximumStatements = maximumStatements
    }

    var depth: Int { machine.depth + outgoing.count }
    var isUsable: Bool { handle != nil && !isRetiring }
    var mustClose: Bool { isRetiring && depth == 0 }

    func open(_ handle: ConnectionHandle) {
        self.handle = handle
        hasBeenConnected = true
    }

    /// Takes the request for the end of this turn.
    func enqueue(_ request: Request) {
        request.state = .outgoing
        isDirty = true
        outgoing.append(request)
    }

    /// Sends what was enqueued; false when libpq could not take it and the connection must be given up.
    ///
    /// libpq of Postgres 15 writes to the socket at each sync. Several batches are held together by the kernel instead, so that the
    /// server wakes up once for all of them.
    func sendOutgoing(_ table: inout StatementTable, _ buffer: ParameterBuffer) -> Bool {
        isDirty = false
        guard let handle else { return true }
        let isHeld = outgoing.count > 1 && handle.hold()
        defer { if isHeld { handle.letGo() } }
        for index in outgoing.indices {
            // Cancelled since.
            guard outgoing[index].state == .outgoing else { continue }
            guard send(outgoing[index], handle, &table, buffer) else {
                // Once begun, its batch is the machine's to end.
                outgoing.removeFirst(outgoing[index].state == .outgoing ? index : index + 1)
                return false
            }
        }
        outgoing.removeAll(keepingCapacity: true)
        return true
    }

    private func send(_ request: Request, _ handle: ConnectionHandle, _ table: inout StatementTable, _ buffer: ParameterBuffer) -> Bool {
        if machine.preparedCount >= maximumStatements {
            guard forgetPrepared(handle, buffer) else { return false }
        }
        request.state = .sent
        machine.begin(request)
        if let settings = request.settings {
            guard send(settings, handle, &table, buffer) else { return false }
        }
        for statement in request.statements {
            guard send(statement, handle, &table, buffer) else { return false }
        }
        machine.didSend(.sync)
        request.hasSync = true
        return handle.sendSync()
    }

    private func send(_ sql: SQL, _ handle: ConnectionHandle, _ table: inout StatementTable, _ buffer: ParameterBuffer) -> Bool {
        let statement = table.statement(sql.text)
        let isSent: Bool
        switch machine.preparation(of: statement.id) {
        case .prepared:
            isSent = handle.sendExecute(statement, sql.binds, buffer)
        case .prepareNow:
            guard handle.sendPrepare(statement) else { return false }
            machine.didSend(.prepare(statement: statement.id))
            isSent = handle.sendExecute(statement, sql.binds, buffer)
        case .unnamed:
            isSent = handle.sendUnprepared(sql.text, sql.binds, buffer)
        }
        machine.didSend(.execute)
        return isSent
    }

    /// Bounds the server's memory for prepared statements: a batch of its own that nobody waits for.
    private func forgetPrepared(_ handle: ConnectionHandle, _ buffer: ParameterBuffer) -> Bool {
        let request = Request(settings: nil, statements: [], deadline: .max)
        request.state = .finished
        machine.begin(request)
        machine.forgetPrepared()
        guard handle.sendUnprepared("deallocate all", [], buffer) else { return false }
        machine.didSend(.execute)
        machine.didSend(.sync)
        return handle.sendSync()
    }

    /// Reads what has arrived and hands it to those who wait. False when the connection is gone or out of step.
    func receive() -> Bool {
        guard let handle else { return false }
        let isConnected = handle.consumeInput()
        // What arrived before the end still counts.
        return deliver(handle) && isConnected && handle.isAlive
    }

    private func deliver(_ handle: ConnectionHandle) -> Bool {
        var marks = 0
        while true {
            let answer = handle.nextAnswer(isExpected: machine.isBusy)
            let event: PipelineStateMachine<Request>.Event
            var result: ResultHandle?
            switch answer {
            case .wait: return true
            case .broken: return false
            case .end:
                event = .end
                // libpq puts one or two marks between answers; more mean that it expects nothing.
                marks += 1
                if marks > 3 { return false }
            case .sync: event = .sync
            case .skipped: event = .skipped
            case .success(let handle):
                event = .success
                result = handle
            case .failure(let handle):
                event = .failure
                result = handle
            }
            if event != .end { marks = 0 }
            switch machine.receive(event) {
            case .none: break
            case .deliver(let request, let statement):
                let index = request.settings == nil ? statement : statement - 1
                if index >= 0, request.state == .sent, let result { request.results.append(PostgresResult(handle: result)) }
            case .fail(let request, let statement):
                if let result { fail(request, statement, result) }
            case .complete(let request):
                if request.state == .sent { request.finish() }
            case .violation: return false
            }
        }
    }

    private func fail(_ request: Request, _ statement: Int?, _ result: ResultHandle) {
        let index = statement.flatMap { request.settings == nil ? $0 : $0 == 0 ? nil : $0 - 1 }
        let error = PostgresError(result: result, statementIndex: index)
        if request.state == .sent {
            request.failure = error
            request.failedAtSync = statement == nil
        }
        // A server that became read-only, a table that changed under a prepared statement: a new connection helps.
        if let sqlState = error.sqlState, ["25006", "26000", "0A000"].contains(sqlState) { isRetiring = true }
    }

    /// Ends the connection and answers everyone who waits for something from it. Gives the handle to close.
    func lose() -> ConnectionHandle? {
        for (request, isFailed) in machine.lose() where request.state == .sent {
            if isFailed, let failure = request.failure, failure.sqlState?.hasPrefix("57P") != true {
                request.finish(throwing: failure)
                continue
            }
            // A failure that comes instead of the sync's answer, or of `commit`'s, may come after the commit.
            let isKnownRolledBack = isFailed && !request.failedAtSync && request.lease == nil
            let mayHaveCommitted = request.hasSync && request.commits && !isKnownRolledBack
            request.finish(throwing: PostgresError(.connectionLost(mayHaveCommitted: mayHaveCommitted)))
        }
        for request in outgoing where request.state == .outgoing {
            request.finish(throwing: PostgresError(.connectionLost(mayHaveCommitted: false)))
        }
        outgoing.removeAll()
        lease?.isSpoilt = true
        lease?.connection = nil
        lease = nil
        isRetiring = false
        isAwaitingWrite = false
        isDirty = false
        return handle.take()
    }

    func forEachRequest(_ body: (Request) -> Void) { machine.forEachBatch(body) }
}
