import Core
import Postgres

/// Merges records into one of them and undoes that, each in one transaction; what is more than that has room for is moved by a job behind it
/// (``MergeFollowing``). Takes what is checked already; tenant and row scope are in every statement about the records themselves, and what refers to
/// them is moved whoever's it is.
struct MergeStore: Sendable {
    let store: ResourceStore
    let statements: MergeStatements

    private var definition: ResourceDefinition { store.view.definition }
    private var postgres: PostgresClient { store.postgres }

    init(_ store: ResourceStore, among catalogue: ResourceCatalogue) {
        self.store = store
        statements = MergeStatements(store.view.definition, among: catalogue)
    }

    // MARK: One of many

    /// - Throws: ``Problem`` `not_found`, `merged`, `version_mismatch`, `reference_not_found`, `conflict`, and what a change is refused for.
    func merge(
        _ request: MergeRequest, into survivor: RecordID, _ precondition: Precondition, as context: RequestContext, key: IdempotencyKey?
    ) async throws -> Merge {
        try await repeating(as: context) {
            try await postgres.transaction(as: context) { transaction in
                try await merge(request, into: survivor, precondition, as: context, key: key, in: transaction)
            }
        }
    }

    private func merge(
        _ request: MergeRequest, into id: RecordID, _ precondition: Precondition, as context: RequestContext, key: IdempotencyKey?,
        in transaction: PostgresTransaction
    ) async throws -> Merge {
        let asked = Write.update(.id(id), request.changes, .none)
        let involved = (request.from + [id]).sorted()
        let place = statements.place(of: id, among: request.from, as: context)
        let locks = store.statements.locks(of: [asked], as: context).map { [$0] } ?? []
        let known = try await transaction.batch(locks + [statements.lock("\(involved)::uuid[]", as: context)] + (place.map { [$0] } ?? []))
        let rows = try known[locks.count].map(statements.state)
        guard let survivor = try await present(id, among: rows, in: transaction, as: context) else { throw Problem.notFound }
        try check(survivor.version, precondition)
        if isKept(survivor) { throw Problem(.conflict, "The \(definition.noun) stays what it is.") }
        var faults: [Problem.Fault] = []
        var others: [TakeOver.Values] = []
        for (index, id) in request.from.enumerated() {
            guard let other = try await present(id, among: rows, in: transaction, as: context) else {
                let detail = "There is no such \(definition.noun)."
                faults.append(.init(pointer: "/from/\(index)", code: .referenceNotFound, detail: detail))
                continue
            }
            if isKept(other) {
                let detail = "The \(definition.noun) stays what it is."
                throw Problem(.conflict, detail, faults: [.init(pointer: "/from/\(index)", code: .notAllowed, detail: detail)])
            }
            others.append(other.values)
        }
        if let first = faults.first { throw Problem(.referenceNotFound, first.detail, faults: faults) }

        let chosen = Set(request.changes.map(\.field.name))
        var taken = TakeOver(definition, survivor.values, from: others, chosen: chosen, among: Set(involved)).changes
        if let parent = statements.parent, !chosen.contains(parent.name), place != nil, let row = known.last?.first {
            taken.append(Change(field: parent, value: .set(row.text(0).map(SQLValue.text) ?? .null)))
        }
        let merge = RecordID()
        let names = "id, \(definition.fields.map(\.name).joined(separator: ", "))"
        let survival = store.statements.survival(of: id, request.changes, taking: taken, as: context, returning: "\(unescaped: names)")
        let moves = statements.moves(of: merge, request.from, into: id, as: context)
        let first = [
            statements.insert(merge, of: request.from, into: id, as: context),
            store.statements.leaving(request.from, for: id, as: context),
        ]
        let results: [PostgresResult]
        do {
            results = try await transaction.batch(first + (survival.map { [$0] } ?? []) + moves)
        } catch let error as PostgresError where !error.isDeadlock {
            throw Refused(write: asked, error: error)
        }
        var further: [SQL] = []
        if survival != nil {
            if let row = results[2].first {
                further.append(statements.keep(changes(of: survivor.values, to: row), of: merge, as: context))
            } else if !(try await isUnchanged(id, request.changes + taken, in: transaction, as: context)) {
                throw Refused(write: asked, error: nil)
            }
        }
        let moved = try results.suffix(moves.count).map { try $0.reduce(0) { $0 + (try $1.decode(0, as: Int.self)) } }
        let following = MergeFollowing(resource: definition.name, merge: merge)
        further.append(following.enqueue(isAtOnce: moved.contains { $0 >= MergeStatements.step }))
        let answer = try Merge(results[0][0])
        if let key { further.append(key.insertion(as: context, status: 200, body: answer.json.bytes)) }
        try await transaction.batch(further)
        return answer
    }

    /// The record among those that are locked; `nil` where it is not there for the caller.
    ///
    /// - Throws: ``Problem`` `merged` where it has become another one.
    private func present(
        _ id: RecordID, among rows: [LockedRecord], in transaction: PostgresTransaction, as context: RequestContext
    ) async throws -> LockedRecord? {
        guard let row = rows.first(where: { $0.id == id }) else { return nil }
        if row.mergedInto != nil, let other = try await transaction.query(store.statements.survivor(of: .id(id), as: context)).first {
            throw store.failures.merged(into: try other.decode(0))
        }
        return row.isDeleted ? nil : row
    }

    /// Whether it is in a state in which it is not deleted either.
    private func isKept(_ record: LockedRecord) -> Bool {
        definition.fields.contains { field in
            guard case .states(let machine) = field.kind, let state = record.values[field.name] else { return false }
            return machine.kept.contains(state)
        }
    }

    private func check(_ version: Int64, _ precondition: Precondition) throws(Problem) {
        if case .versions(let versions) = precondition, !versions.contains(version) { throw store.failures.mismatch(version) }
    }

    /// Whether the record has all that already; otherwise a condition did not hold.
    private func isUnchanged(
        _ id: RecordID, _ changes: [Change], in transaction: PostgresTransaction, as context: RequestContext
    ) async throws -> Bool {
        guard let reading = store.statements.unchanged(.id(id), changes, .none, as: context, returning: "id") else { return true }
        return try await !transaction.query(reading.whole).isEmpty
    }

    /// What differs: for each field the value before and after.
    private func changes(of before: TakeOver.Values, to row: PostgresRow) -> JSON {
        var changes = JSONObject()
        for (place, field) in definition.fields.enumerated() {
            let (old, new) = (before[field.name], row.text(1 + place))
            if old != new { changes[field.name] = .array([old, new].map { $0.map(JSON.string) ?? .null }) }
        }
        return .object(changes)
    }

    // MARK: And back

    /// Brings back what was merged; what the merge has changed goes back where nothing has changed it since.
    ///
    /// - Throws: ``Problem`` `not_found`, `merged`, `version_mismatch`, `reference_not_found`, `conflict`, `already_exists`, `plan_limit_reached`.
    func undo(
        _ merge: RecordID, of survivor: RecordID, _ precondition: Precondition, as context: RequestContext, key: IdempotencyKey?
    ) async throws -> Merge {
        try await repeating(as: context) {
            try await postgres.transaction(as: context) { transaction in
                try await undo(merge, of: survivor, precondition, as: context, key: key, in: transaction)
            }
        }
    }

    private func undo(
        _ merge: RecordID, of id: RecordID, _ precondition: Precondition, as context: RequestContext, key: IdempotencyKey?,
        in transaction: PostgresTransaction
    ) async throws -> Merge {
        let members = statements.members(of: merge, with: id, as: context)
        let known = try await transaction.batch([
            statements.find(merge, of: id, as: context), statements.lock(members, as: context),
            statements.moved(by: merge, limit: Self.movesAtOnce + 1, as: context),
        ])
        let rows = try known[1].map(statements.state)
        guard let survivor = try await present(id, among: rows, in: transaction, as: context) else { throw Problem.notFound }
        let detail = "There is no such merge of this \(definition.noun)."
        let unknown = Problem(
            .referenceNotFound, detail, faults: [.init(pointer: "/merge_id", code: .referenceNotFound, detail: detail)])
        guard let found = known[0].first else { throw unknown }
        let before = try Merge(found)
        // Some are none of the caller's.
        guard before.merged.allSatisfy({ id in rows.contains { $0.id == id } }) else { throw unknown }
        guard before.undone == nil else { throw Problem(.conflict, "The merge was undone already.") }
        guard try !found.decode(7, as: Bool.self) else {
            throw Problem(.conflict, "A merge can be undone for \(MergeStatements.days) days.")
        }
        guard try !found.decode(9, as: Bool.self) else {
            throw Problem(
                .conflict, "A later merge of the \(definition.noun) is still being undone: it is to come first. Try again in a moment.")
        }
        try check(survivor.version, precondition)
        let moves = try known[2].map { try MergeMove($0) }
        let changes = try found.decode(8, as: JSON.self)
        var reverted = definition.fields.compactMap { field -> Change? in
            guard let values = changes[field.name]?.array, values.count == 2, survivor.values[field.name] == values[1].string else {
                return nil
            }
            return Change(field: field, value: .set(values[0].string.map(SQLValue.text) ?? .null))
        }
        let held = store.statements.references.mayComeBack(reverted, with: before.merged)
        if !held.isEmpty {
            let answers: SQL = "select \(SQL.joined(held.map(\.condition), separator: ", ")) from \(unescaped: definition.table) "
            let row = try await transaction.query(answers + "where tenant_id = \(context.tenant) and id = \(id)")[0]
            let gone = try held.enumerated().filter { try !row.decode($0.offset, as: Bool.self) }.map(\.element.field)
            reverted.removeAll { gone.contains($0.field.name) }
        }
        let survival = store.statements.survival(of: id, [], taking: reverted, as: context, returning: "id").map { [$0] } ?? []
        let first =
            [statements.end(merge, as: context)] + moves.prefix(Self.movesAtOnce).flatMap { statements.moveBack($0, from: id, as: context) }
            + survival
        let returning = before.merged.sorted()
        let results: [PostgresResult]
        do {
            results = try await transaction.batch(first + returning.map { store.statements.comingBack($0, from: id, as: context) })
        } catch let error as PostgresError where !error.isDeadlock {
            let place = (error.statementIndex ?? 0) - first.count
            let write: Write =
                returning.indices.contains(place) ? .restore(id: returning[place], .none) : .update(.id(id), reverted, .none)
            throw Refused(write: write, error: error)
        }
        let answer = try Merge(results[0][0])
        var further: [SQL] = []
        if moves.count > Self.movesAtOnce {
            further.append(MergeFollowing(resource: definition.name, merge: merge).enqueue(isAtOnce: true))
        }
        if let key { further.append(key.insertion(as: context, status: 200, body: answer.json.bytes)) }
        if !further.isEmpty { try await transaction.batch(further) }
        return answer
    }

    /// So many rows of what was moved go back at once, each of ``MergeStatements/step`` records at most.
    private static let movesAtOnce = 8

    // MARK: What is told of them

    /// The merges that were made into the record.
    ///
    /// - Throws: ``Problem`` `not_found`, `merged`.
    func list(of survivor: RecordID, _ paging: Paging, as context: RequestContext) async throws -> Reply {
        let position = try paging.position { json -> (Timestamp, RecordID)? in
            guard let milliseconds = json[0]?.integer, let id = json[1]?.string.flatMap({ RecordID($0) }) else { return nil }
            return (Timestamp(milliseconds: milliseconds), id)
        }
        let results = try await store.answering {
            try await postgres.batch(
                as: context,
                [
                    store.statements.find(.id(survivor), as: context),
                    statements.list(of: survivor, after: position, limit: paging.limit + 1, as: context),
                ])
        }
        guard !results[0].isEmpty else { throw Problem.notFound }
        return paging.reply(
            try results[1].map { try Merge($0) }, position: { [.number($0.at.milliseconds), .string($0.id.description)] }, json: \.json)
    }

    /// Whom the caller finds under a key that has become another record's, if anybody.
    func survivor(of key: RecordKey, as context: RequestContext) async throws -> RecordID? {
        try await store.answering {
            try await postgres.batch(as: context, [store.statements.survivor(of: key, as: context)])[0].first?.decode(0)
        }
    }

    // MARK: Failures

    /// A write of the transaction did not take effect; why is asked when it is rolled back.
    private struct Refused: Error {
        var write: Write
        /// `nil` where it found no row that it is for.
        var error: PostgresError?
    }

    private func problem(for refused: Refused, as context: RequestContext) async throws -> Problem {
        if let error = refused.error, let table = error.table, table != definition.table, error.sqlState?.hasPrefix("23") == true {
            return Problem(.conflict, "A record that refers to one of them would break a rule.", underlying: error)
        }
        var problem = try await store.problem(for: FailedWrite(index: 0, error: refused.error), of: [refused.write], as: context)
        if case .update = refused.write {
            problem.faults = problem.faults.map { .init(pointer: "/values\($0.pointer)", code: $0.code, detail: $0.detail) }
        }
        return problem
    }

    private func repeating(as context: RequestContext, attempts: Int = 4, _ body: () async throws -> Merge) async throws -> Merge {
        do {
            return try await body()
        } catch let refused as Refused {
            throw try await problem(for: refused, as: context)
        } catch let error as PostgresError where error.isDeadlock && attempts > 1 {
            // Nothing of it was kept, and what it waited for has gone on meanwhile.
            return try await repeating(as: context, attempts: attempts - 1, body)
        }
    }
}
