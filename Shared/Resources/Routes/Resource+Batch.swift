import Core
import Postgres

extension Resource {
    /// Many writes in one request. The route itself asks for `read`, as its answer shows records; each operation asks for its own.
    var batch: Route {
        .permitted(permission(.read), .post, "\(definition.path)/batch", documents.batch) { call, context in
            try call.query.allowOnly([])
            let key = try Idempotency(call)
            let batch = try BatchReader(definition: definition, reader: reader).read(try call.json(), as: context)
            return batch.isAtomic
                ? try await atomic(batch.operations, as: context, key: key)
                : try await separate(batch.operations, as: context, key: key)
        }
    }

    // MARK: All or none

    private func atomic(_ operations: [BatchReader.Operation], as context: RequestContext, key: Idempotency?) async throws -> Reply {
        let writes = try writes(of: operations)
        do {
            try await references.confirm(operations.flatMap(\.members), as: context)
            let body = try await store.postgres.transaction(as: context) { transaction in
                if let key, try !(await transaction.query(key.claim(as: context))[0].decode(0, as: Bool.self)) {
                    throw Idempotency.inProgress
                }
                var results = BatchResults()
                for (index, write) in writes.enumerated() {
                    do {
                        results.append(try await store.perform(write, as: context, in: transaction), status: write.status)
                    } catch let problem as Problem {
                        throw problem.inOperation(index)
                    }
                }
                let body = results.finish()
                if let key { _ = try await transaction.query(key.insertion(as: context, status: 200, body: body)) }
                return body
            }
            return .json(body)
        } catch {
            // Whatever failed, an earlier run with this key may have succeeded and be the reason for it.
            if let key, let reply = try await replay(of: key, as: context) { return reply }
            throw (error as? PostgresError)?.problem ?? error
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

    private func separate(_ operations: [BatchReader.Operation], as context: RequestContext, key: Idempotency?) async throws -> Reply {
        if let key, let reply = try await replay(of: key, as: context) { return reply }
        var results = BatchResults()
        for (index, operation) in operations.enumerated() {
            do {
                let write = try operation.write.get()
                // A run that broke off goes on where it ended: each operation has a key of its own.
                let written = try await perform(write, members: operation.members, as: context, key: key?.operation(index))
                results.append(written, status: write.status)
            } catch let problem as Problem {
                // Of the request as a whole, and no result of the operation that could be kept.
                if problem.code == .idempotencyKeyReused || problem.code == .idempotencyInProgress { throw problem }
                results.append(problem.at(index), requestID: context.requestID)
            }
        }
        let mayImprove = results.hasServerFault
        let body = results.finish()
        if let key, !mayImprove {
            do {
                _ = try await store.postgres.batch(as: context, [key.insertion(as: context, status: 200, body: body)])
            } catch let error as PostgresError {
                if let reply = try await replay(of: key, as: context) { return reply }
                throw error.problem
            }
        }
        return .json(body)
    }

    private func replay(of key: Idempotency, as context: RequestContext) async throws -> Reply? {
        do {
            let result = try await store.postgres.batch(as: context, [key.lookup(as: context)])[0]
            guard let stored = try key.stored(in: result), let body = stored.cells.first, let body else { return nil }
            return .json(body, status: stored.status, headers: [Idempotency.replayed])
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
