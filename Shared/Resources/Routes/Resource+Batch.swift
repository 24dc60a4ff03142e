import Core
import Postgres

extension Resource {
    /// Many writes in one request. The route itself asks for `read`, as its answer shows records; each operation asks for its own.
    var batch: Route {
        .permitted(permission(.read), .post, "\(definition.path)/batch", documents.batch) { call, context in
            let columns = try lists.selection(of: call.query)
            let key = try IdempotencyKey(call)
            let batch = try BatchReader(definition: definition, reader: reader).read(try call.json(), as: context)
            do {
                var reply = try await run(batch, as: context, key: key, columns)
                reply.headers.append((Reply.operationsHeader, String(batch.operations.count)))
                return reply
            } catch var problem as Problem {
                problem.operations = batch.operations.count
                throw problem
            }
        }
    }

    private func run(
        _ batch: BatchReader.Batch, as context: RequestContext, key: IdempotencyKey?, _ columns: [Column]
    ) async throws -> Reply {
        if let earlier = try await earlierReply(to: key, as: context) {
            return earlier
        }
        return batch.isAtomic
            ? try await atomic(batch.operations, as: context, key: key, columns)
            : try await separate(batch.operations, as: context, key: key, columns)
    }

    // MARK: All or none

    private func atomic(
        _ operations: [BatchReader.Operation], as context: RequestContext, key: IdempotencyKey?, _ columns: [Column]
    ) async throws -> Reply {
        let writes = try writes(of: operations)
        return try await guarding(key, as: context, replay: \.reply) {
            try await references.confirm(operations.flatMap(\.members), as: context)
            do {
                let body = try await store.postgres.transaction(as: context) { transaction in
                    if let key, try !(await transaction.query(key.claim(as: context))[0].decode(0, as: Bool.self)) {
                        throw IdempotencyKey.inProgress
                    }
                    var results = BatchResults()
                    for (written, write) in zip(try await store.perform(writes, as: context, in: transaction, columns: columns), writes) {
                        results.append(written, status: write.status)
                    }
                    let body = results.finish()
                    if let key { _ = try await transaction.query(key.insertion(as: context, status: 200, body: body)) }
                    return body
                }
                return .json(body)
            } catch let failed as FailedWrite {
                throw failed.problem.inOperation(failed.index)
            }
        }
    }

    /// The writes when every operation can be run, else one problem with all faults.
    private func writes(of operations: [BatchReader.Operation]) throws(Problem) -> [Write] {
        var writes: [Write] = []
        var problems: [(index: Int, problem: Problem)] = []
        for (index, operation) in operations.enumerated() {
            switch operation.write {
            case .success(let write): writes.append(write)
            case .failure(let problem): problems.append((index, problem))
            }
        }
        guard let first = problems.first else { return writes }
        // Not being allowed is told before what else is wrong, then what is not known.
        let leading =
            problems.first { $0.problem.code == .forbidden } ?? problems.first { $0.problem.code == .unknownMember } ?? first
        var problem = leading.problem
        if problem.code != .forbidden { problem.faults = Array(problems.lazy.flatMap(\.problem.faults).prefix(Problem.maximumFaults)) }
        throw problem.inOperation(leading.index)
    }

    // MARK: Each by itself

    private func separate(
        _ operations: [BatchReader.Operation], as context: RequestContext, key: IdempotencyKey?, _ columns: [Column]
    ) async throws -> Reply {
        let strangers = try await references.strangers(among: operations.flatMap(\.members), as: context)
        var results = BatchResults()
        for wave in waves(operations, as: context) {
            for outcome in try await outcomes(of: wave, in: operations, strangers, as: context, key: key, columns) {
                switch outcome {
                case .success((let written, let status)): results.append(written, status: status)
                case .failure(let problem): results.append(problem, requestID: context.requestID)
                }
            }
        }
        let mayImprove = results.hasServerFault
        let body = results.finish()
        guard let key, !mayImprove else { return .json(body) }
        return try await guarding(key, as: context, replay: \.reply) {
            _ = try await store.postgres.batch(as: context, [key.insertion(as: context, status: 200, body: body)])
            return .json(body)
        }
    }

    /// Runs of operations that may be under way together: so many, all of one kind, and none of a record that another one of them is
    /// about. What creates under a limit, or draws a number, goes one after another, so that the first ones sent are the first ones in.
    private func waves(_ operations: [BatchReader.Operation], as context: RequestContext) -> [Range<Int>] {
        let isLimited = definition.planLimit.map { context.limits[$0] != nil } ?? false
        let isInTurn = isLimited || definition.number != nil
        var waves: [Range<Int>] = []
        var start = 0
        var ids: Set<RecordID> = []
        var status: Int?
        for (index, operation) in operations.enumerated() {
            let write = try? operation.write.get()
            let id = write?.id
            defer { status = write?.status }
            let isNext = index > 0 && (write?.status != status || (write?.status == 201 && isInTurn))
            if index - start == Self.waveLength || isNext || id.map(ids.contains) == true {
                waves.append(start..<index)
                start = index
                ids = []
            }
            if let id { ids.insert(id) }
        }
        return waves + [start..<operations.count]
    }

    /// As many as wait for each other at the database anyhow.
    private static let waveLength = 16

    private typealias Outcome = Result<(Written, status: Int), Problem>

    private func outcomes(
        of wave: Range<Int>, in operations: [BatchReader.Operation], _ strangers: Set<UserID>, as context: RequestContext,
        key: IdempotencyKey?, _ columns: [Column]
    ) async throws -> [Outcome] {
        try await withThrowingTaskGroup(of: (Int, Outcome).self) { group in
            for index in wave {
                let operation = operations[index]
                group.addTask {
                    // A run that broke off goes on where it ended: each operation has a key of its own.
                    let (key, shape) = (key?.operation(index), ResourceStore.Shape.bounded(columns))
                    do {
                        let write = try operation.write.get()
                        let written = try await guarding(key, as: context, replay: { store.replay($0, shape) }) {
                            try references.refuse(operation.members, strangers)
                            return try await store.perform(write, as: context, key: key, shape: shape)
                        }
                        return (index, .success((written, write.status)))
                    } catch let problem as Problem {
                        // Of the request as a whole, and no result of the operation that could be kept.
                        if problem.code == .idempotencyKeyReused || problem.code == .idempotencyInProgress { throw problem }
                        return (index, .failure(problem.at(index)))
                    }
                }
            }
            var outcomes: [Int: Outcome] = [:]
            for try await (index, outcome) in group { outcomes[index] = outcome }
            return wave.compactMap { outcomes[$0] }
        }
    }

    private func earlierReply(to key: IdempotencyKey?, as context: RequestContext) async throws -> Reply? {
        do {
            return try await key?.earlierReply(as: context, on: store.postgres)
        } catch let error as PostgresError {
            throw error.problem
        }
    }
}

/// The answer of a batch while it is written.
private struct BatchResults {
    private var bytes = Array(#"{"results":["#.utf8)
    private var isEmpty = true
    private(set) var hasServerFault = false

    mutating func append(_ written: Written, status: Int) { append(status: status, body: written.record?.body) }

    mutating func append(_ problem: Problem, requestID: String) {
        if problem.code.status >= 500 { hasServerFault = true }
        append(status: problem.code.status, body: problem.body(requestID: requestID))
    }

    private mutating func append(status: Int, body: [UInt8]?) {
        if !isEmpty { bytes.append(UInt8(ascii: ",")) }
        isEmpty = false
        bytes.append(contentsOf: "{\"status\":\(status)".utf8)
        if let body {
            bytes.append(contentsOf: #","body":"#.utf8)
            bytes.append(contentsOf: body)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    consuming func finish() -> [UInt8] {
        bytes.append(contentsOf: "]}".utf8)
        return bytes
    }
}

extension Problem {
    /// The same, with pointers into the batch where they are still relative to the operation's body.
    fileprivate func at(_ index: Int) -> Problem {
        var problem = self
        problem.faults = faults.map { fault in
            var fault = fault
            if !fault.pointer.hasPrefix("/operations/") { fault.pointer = "/operations/\(index)/body\(fault.pointer)" }
            return fault
        }
        return problem
    }

    /// Names the operation that made the whole batch fail.
    fileprivate func inOperation(_ index: Int) -> Problem {
        var problem = at(index)
        problem.members.append(("operation", .number(index)))
        return problem
    }
}
