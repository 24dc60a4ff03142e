import Core
import Postgres

extension Resource {
    /// Many writes in one request. The route itself asks for `read`, as its answer shows records; each operation asks for its own.
    var batch: Route {
        .permitted(permission(.read), .post, "\(definition.path)/batch", documents.batch) { call, context in
            let access = access(of: context)
            let columns = try access.lists.selection(of: call.query)
            let key = try IdempotencyKey(call)
            let batch = try BatchReader(reader: access.reader).read(try call.json(), as: context)
            do {
                var reply = try await access.run(batch, as: context, key: key, columns)
                reply.headers.append((Reply.operationsHeader, String(batch.operations.count)))
                return reply
            } catch var problem as Problem {
                problem.operations = batch.operations.count
                throw problem
            }
        }
    }
}

extension ResourceAccess {
    fileprivate func run(
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
        return try await guarding(key, as: context, replay: replay) {
            try await confirm(operations.flatMap(\.members), writes.flatMap(\.changes), as: context)
            func perform() async throws -> [UInt8] {
                try await store.postgres.transaction(as: context) { transaction in
                    if let key, try !(await transaction.query(key.claim(as: context))[0].decode(0, as: Bool.self)) {
                        throw IdempotencyKey.inProgress
                    }
                    var results = BatchResults()
                    for written in try await store.perform(writes, as: context, in: transaction, columns: columns) {
                        results.append(written)
                    }
                    let body = results.finish()
                    if let key { _ = try await transaction.query(key.insertion(as: context, status: 200, body: body)) }
                    return body
                }
            }
            do {
                do {
                    return .json(try await perform())
                } catch let failed as FailedWrite where failed.isDeadlock {
                    // Nothing of it was kept, and what it waited for has gone on meanwhile.
                    return .json(try await perform())
                }
            } catch let failed as FailedWrite {
                throw try await store.problem(for: failed, of: writes, as: context).inOperation(failed.index)
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
        // Another service that is away fails those alone that it would have to be asked for.
        var away: Problem?
        do {
            try await confirm([], operations.compactMap { try? $0.write.get() }.flatMap(\.changes), as: context)
        } catch let problem as Problem where problem.code == .upstreamUnavailable {
            away = problem
        }
        var results = BatchResults()
        for wave in waves(operations, as: context) {
            for outcome in try await outcomes(of: wave, in: operations, strangers, away, as: context, key: key, columns) {
                switch outcome {
                case .success(let written): results.append(written)
                case .failure(let problem): results.append(problem, requestID: context.requestID)
                }
            }
        }
        let mayImprove = results.hasServerFault
        let body = results.finish()
        guard let key, !mayImprove else { return .json(body) }
        return try await guarding(key, as: context, replay: replay) {
            _ = try await store.postgres.batch(as: context, [key.insertion(as: context, status: 200, body: body)])
            return .json(body)
        }
    }

    /// Runs of operations that may be under way together, as they come to the same in any order: so many, all of one kind, none of a record
    /// that another one of them is about, and none that may be in another one's way otherwise (``names(of:)``). What creates under a limit, or
    /// draws a number, goes one after another, so that the first ones sent are the first ones in.
    private func waves(_ operations: [BatchReader.Operation], as context: RequestContext) -> [Range<Int>] {
        let isLimited = definition.planLimit.map { context.limits[$0] != nil } ?? false
        let isInTurn = isLimited || definition.number != nil
        var waves: [Range<Int>] = []
        var start = 0
        var taken: Set<String> = []
        var kind: Kind?
        for (index, operation) in operations.enumerated() {
            let write = try? operation.write.get()
            let own = write.map(names(of:)) ?? []
            defer { kind = write.map(Kind.init) }
            let isNext = index > 0 && (write.map(Kind.init) != kind || (write?.mayCreate == true && isInTurn))
            if index - start == Self.waveLength || isNext || !taken.isDisjoint(with: own) {
                waves.append(start..<index)
                start = index
                taken = []
            }
            taken.formUnion(own)
        }
        return waves + [start..<operations.count]
    }

    /// Operations of one kind are about different records when they name different ones.
    private struct Kind: Equatable {
        let statuses: [Int]
        let isByExternalID: Bool

        init(_ write: Write) {
            statuses = [write.status(isNew: false), write.status(isNew: true)]
            isByExternalID = if case .external = write.record { true } else { false }
        }
    }

    /// What the write calls its record by, or gives to it as its alone; and what stands for all others that it depends on, or that depend on
    /// it.
    private func names(of write: Write) -> [String] {
        var names = write.uniqueValues.map { "\($0.field.name) \($0.value)" }
        switch write.record {
        case .id(let id): names.append("id \(id)")
        case .external(let id): names.append("\(ResourceDefinition.externalID.name) \(id)")
        case nil: break
        }
        switch write {
        case .create, .restore: break
        case .update(_, let changes, _): names += changes.flatMap(ties)
        case .upsert: names += write.changes.filter { $0.field.name != ResourceDefinition.externalID.name }.flatMap(ties)
        case .delete:
            // The deletion of one may be refused for the other, or change it.
            let isTied = definition.fields.contains { ownReference($0).map { $0 != .keep } ?? false }
            if isTied { names.append("deletions") }
        }
        return names
    }

    /// A change may take away the unique value that the next one gives; and of records that are above each other each may stand in the way of
    /// any other.
    private func ties(_ change: Change) -> [String] {
        if change.field.isUnique { return [change.field.name] }
        guard ownReference(change.field) != nil else { return [] }
        guard case .set(.text(let id)) = change.value else { return [change.field.name] }
        return [change.field.name, "id \(id)"]
    }

    /// What deletion means for a field that refers to records of the same resource.
    private func ownReference(_ field: Field) -> FieldKind.OnDelete? {
        definition.targets(of: field).first { [definition.name, definition.singular].contains($0.name) }?.onDelete
    }

    /// As many as wait for each other at the database anyhow.
    private static let waveLength = 16

    private typealias Outcome = Result<Written, Problem>

    private func outcomes(
        of wave: Range<Int>, in operations: [BatchReader.Operation], _ strangers: Set<UserID>, _ away: Problem?,
        as context: RequestContext, key: IdempotencyKey?, _ columns: [Column]
    ) async throws -> [Outcome] {
        try await withThrowingTaskGroup(of: (Int, Outcome).self) { group in
            for index in wave {
                let operation = operations[index]
                group.addTask { [self] in
                    // A run that broke off goes on where it ended: each operation has a key of its own.
                    let (key, shape) = (key?.operation(index), ResourceStore.Shape.bounded(columns))
                    do {
                        let write = try operation.write.get()
                        let written = try await guarding(key, as: context, replay: { store.replay($0, shape) }) {
                            try references.refuse(operation.members, strangers)
                            do {
                                return try await store.perform(write, as: context, key: key, shape: shape)
                            } catch let problem as Problem where problem.code == .referenceNotFound {
                                let isAsked = !store.statements.references.copied(by: write.changes, as: context).isEmpty
                                throw isAsked ? away ?? problem : problem
                            }
                        }
                        return (index, .success(written))
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

    /// The answer of then, without what the role hides since.
    private func replay(_ stored: StoredAnswer) -> Reply {
        guard view.rules.hideAny else { return stored.reply }
        let body = stored.cells.first.flatMap(\.self) ?? []
        guard let answer = try? JSONParser.parse(body, limits: .init(values: .max)), let results = answer["results"]?.array else {
            return Reply(status: stored.status, headers: [IdempotencyKey.replayed])
        }
        let shown = results.map { result -> JSON in
            guard var object = result.object, let body = result["body"]?.object else { return result }
            object["body"] = .object((result["status"]?.integer ?? 0) < 400 ? visible(body) : Self.outline(of: body))
            return .object(object)
        }
        let told: JSON = ["results": .array(shown)]
        return .json(told.bytes, status: stored.status, headers: [IdempotencyKey.replayed])
    }

    private func visible(_ record: JSONObject) -> JSONObject {
        var shown = JSONObject()
        for member in record.members where view.definition.field(member.name).map(view.isHidden) != true {
            shown[member.name] = member.value
        }
        return shown
    }

    /// What a problem says whatever it is about: all else may tell of a field that is hidden since.
    private static func outline(of problem: JSONObject) -> JSONObject {
        var told = JSONObject()
        for name in ["type", "title", "status", "code", "request_id"] { told[name] = problem[name] }
        return told
    }

    private func earlierReply(to key: IdempotencyKey?, as context: RequestContext) async throws -> Reply? {
        do {
            return try await key?.earlierAnswer(as: context, on: store.postgres).map(replay)
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

    mutating func append(_ written: Written) { append(status: written.status, body: written.record?.body) }

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
