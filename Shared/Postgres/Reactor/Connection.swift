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
    /// What is prepared or about to be.
    private var prepared: [Int: Statement] = [:]
    /// Since when the oldest batch is the oldest, nanoseconds of the monotonic clock.
    private var headSince: Int64 = 0
    /// Who has checked it out; bulk lane only.
    var checkout: Checkout?
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

    /// How long a request would wait here, in batches: those before it, and more for one at the head that takes its time.
    func strain(at now: Int64) -> Int {
        depth + Int(max(0, now - headSince - Self.ordinaryBatch) / Self.strainUnit)
    }

    /// What a batch usually needs, nanoseconds; and how much more at the head weighs as much as one more batch.
    private static let ordinaryBatch: Int64 = 2_000_000
    private static let strainUnit: Int64 = 50_000

    /// Takes the request for the end of this turn.
    func enqueue(_ request: Request, at now: Int64) {
        if depth == 0 { headSince = now }
        request.load?.begin(on: index)
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
            guard outgoing[index].state == .outgoing else {
                leave(outgoing[index])
                continue
            }
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
            guard forgetLeastUsed(handle, buffer) else { return false }
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
        let isSent: Bool
        if sql.isPlannedForItsValues {
            isSent = handle.sendUnprepared(sql.text, sql.binds, buffer)
            machine.didSend(.execute)
            return isSent
        }
        let statement = table.statement(sql.text)
        switch machine.preparation(of: statement.id) {
        case .prepared:
            isSent = handle.sendExecute(statement, sql.binds, buffer)
        case .prepareNow where statement.isWorthPreparing:
            guard handle.sendPrepare(statement) else { return false }
            prepared[statement.id] = statement
            machine.didSend(.prepare(statement: statement.id))
            isSent = handle.sendExecute(statement, sql.binds, buffer)
        case .prepareNow, .unnamed:
            isSent = handle.sendUnprepared(sql.text, sql.binds, buffer)
        }
        machine.didSend(.execute)
        return isSent
    }

    /// Bounds the server's memory for prepared statements: a batch of its own that nobody waits for. What is run often stays.
    private func forgetLeastUsed(_ handle: ConnectionHandle, _ buffer: ParameterBuffer) -> Bool {
        let leastUsed = leastUsed(prepared.values)
        // A prepare that failed left nothing behind; one that is on its way may yet fail, and then there is nothing to deallocate.
        for statement in leastUsed where !machine.knows(statement.id) { prepared[statement.id] = nil }
        let forgotten = leastUsed.filter { machine.isPrepared($0.id) }
        guard !forgotten.isEmpty else { return true }
        let request = Request(settings: nil, statements: [], deadline: .max)
        request.state = .finished
        machine.begin(request)
        for statement in forgotten {
            prepared[statement.id] = nil
            machine.forget(statement.id)
            guard handle.sendUnprepared("deallocate s\(statement.id)", [], buffer) else { return false }
            machine.didSend(.execute)
        }
        machine.didSend(.sync)
        return handle.sendSync()
    }

    /// The request is on this connection no more.
    private func leave(_ request: Request) {
        request.load?.end(on: index)
        request.load = nil
    }

    /// Reads what has arrived and hands it to those who wait. False when the connection is gone or out of step.
    func receive(at now: Int64) -> Bool {
        guard let handle else { return false }
        let isConnected = handle.consumeInput()
        // What arrived before the end still counts.
        return deliver(handle, at: now) && isConnected && handle.isAlive
    }

    private func deliver(_ handle: ConnectionHandle, at now: Int64) -> Bool {
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
                headSince = now
                leave(request)
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
        for (request, isFailed) in machine.lose() {
            leave(request)
            guard request.state == .sent else { continue }
            if isFailed, let failure = request.failure, failure.sqlState?.hasPrefix("57P") != true {
                request.finish(throwing: failure)
                continue
            }
            // A failure that comes instead of the sync's answer, or of `commit`'s, may come after the commit.
            let isKnownRolledBack = isFailed && !request.failedAtSync && request.checkout == nil
            let mayHaveCommitted = request.hasSync && request.commits && !isKnownRolledBack
            request.finish(throwing: PostgresError(.connectionLost(mayHaveCommitted: mayHaveCommitted)))
        }
        for request in outgoing {
            leave(request)
            guard request.state == .outgoing else { continue }
            request.finish(throwing: PostgresError(.connectionLost(mayHaveCommitted: false)))
        }
        outgoing.removeAll()
        prepared.removeAll()
        checkout?.isSpoilt = true
        checkout?.connection = nil
        checkout = nil
        isRetiring = false
        isAwaitingWrite = false
        isDirty = false
        return handle.take()
    }

    func forEachRequest(_ body: (Request) -> Void) { machine.forEachBatch(body) }
}
