import Core
import Postgres

/// A record as it is answered.
struct Record: Sendable {
    var id: String
    var version: String
    /// The JSON object.
    var body: [UInt8]
}

/// What a write came to.
struct Written: Sendable {
    /// `nil` for a removal, whose answer has no body.
    var record: Record?
    var status: Int
    var isReplayed = false
    /// Whether the caller does not see the record from now on; then the answer shows its id and version only.
    var isOutOfSight = false
}

/// One of several writes has failed, and with it all of them.
struct FailedWrite: Error {
    var index: Int
    /// `nil` when it found no row that it is for.
    var error: PostgresError?

    /// Whether Postgres has failed it for waiting in a circle with another transaction.
    var isDeadlock: Bool { error?.isDeadlock == true }
}

/// Reads and writes the records of one resource, each in one round trip. Takes what is checked already and authorizes nothing;
/// tenant and row scope are in every statement.
final class ResourceStore: Sendable {
    let view: ResourceView
    let postgres: PostgresClient
    let statements: ResourceStatements
    let duplicates: DuplicateStatements
    private let lists: ListStatements
    private let renderer: RowRenderer
    let failures: WriteFailures

    init(_ view: ResourceView, among catalogue: ResourceCatalogue, postgres: PostgresClient) {
        self.view = view
        self.postgres = postgres
        statements = ResourceStatements(view, among: catalogue)
        duplicates = DuplicateStatements(view)
        lists = ListStatements(view)
        renderer = RowRenderer(columns: view.shown.columns)
        failures = WriteFailures(
            view: view, cleared: catalogue.references(to: view.definition).filter { $0.onDelete == .clear })
    }

    // MARK: Reading

    /// - Throws: ``Problem`` `not_found`.
    func get(_ key: RecordKey, as context: RequestContext, selection: [Column]? = nil) async throws -> Record {
        let result = try await answering { try await postgres.batch(as: context, [statements.find(key, as: context)])[0] }
        guard let row = result.first else { throw Problem.notFound }
        return record(row, selection)
    }

    /// The record with what is shown beside its references; its version is the record's own.
    ///
    /// - Throws: ``Problem`` `not_found`.
    func get(
        _ key: RecordKey, as context: RequestContext, selection: [Column], expanding expansions: [Expansion]
    ) async throws -> Record {
        let projection = Projection(selection, expanding: expansions, in: view.shown.columns)
        let result = try await answering { try await postgres.batch(as: context, [statements.find(key, projection, as: context)])[0] }
        guard let row = result.first else { throw Problem.notFound }
        let id = if case .id(let id) = key { id.description } else { "" }
        var record = Record(id: id, version: row.text(projection.cellCount) ?? "", body: [])
        RowRenderer(projection).append(row, to: &record.body)
        return record
    }

    /// The page as JSON, made from the rows without an object between.
    func list(_ request: ListRequest, _ paging: Paging, as context: RequestContext) async throws -> [UInt8] {
        try await answering {
            let total = try await total(request, as: context)
            let first = try await ofNumber(request, as: context)
            var rest = request
            rest.isWithoutNumber = request.number != nil
            rest.limit = max(1, request.limit - (first == nil ? 0 : 1))
            var (rows, reading) = try await find(rest, as: context)
            let last = request.lastColumn
            var hasMore = rows.count > rest.limit
            if try rows.contains(where: { try $0.decode(last) }) {
                let bounded = lists.boundedPage(rest, reading, as: context)
                rows = Array(try await postgres.batch(as: context, pace: reading == .inOrder ? .short : .long, [bounded])[0])
                hasMore = try rows.last?.decode(last) ?? false
            }
            var shown = Array(rows.prefix(rest.limit))
            if let first {
                if request.limit == 1 { (hasMore, shown) = (!shown.isEmpty, []) }
                shown.insert(first, at: 0)
            }
            // Without a row in order the next page goes on at the order's beginning.
            let end = shown.count > 1 || first == nil ? shown.last : nil
            let cursor = try hasMore ? Cursor(value: end?.text(last - 1), id: end?.decode(last - 2)) : nil
            return page(shown, of: request, paging.page(next: cursor?.json), total: total)
        }
    }

    /// The record with the number that is searched for, on the first page; whole, however large it is.
    private func ofNumber(_ request: ListRequest, as context: RequestContext) async throws -> PostgresRow? {
        guard request.cursor == nil, let list = request.ofNumber(in: view.shown) else { return nil }
        return try await postgres.batch(as: context, [lists.boundedPage(list, .all, as: context)])[0].first
    }

    /// The rows of a page, and how they were found.
    ///
    /// Where the index of the list's order does not serve every condition, it is walked a little way. A page that is full by then, or
    /// a list that has ended, is the answer. If some were found, the rest is likely to be not far; if hardly any, those that there
    /// are at all are looked for by what makes them rare. Only the first look is sure to be short.
    private func find(_ request: ListRequest, as context: RequestContext) async throws -> (rows: [PostgresRow], ListStatements.Reading) {
        func rows(_ reading: ListStatements.Reading, _ pace: PostgresClient.Pace = .short) async throws -> [PostgresRow] {
            Array(try await postgres.batch(as: context, pace: pace, [lists.page(request, reading, as: context)])[0])
        }
        if lists.isKeyed(request) { return (try await rows(.all), .all) }
        if lists.isInOrder(request, as: context) { return (try await rows(.inOrder), .inOrder) }
        let last = request.lastColumn
        var look = Self.looks.first
        var pace = PostgresClient.Pace.short
        while let length = look {
            let walk = try await postgres.batch(as: context, pace: pace, [lists.walk(request, among: length, as: context)])[0]
            let isEmpty = try walk[0].decode(last - 2, as: RecordID?.self) == nil
            let found = isEmpty ? 0 : walk.count
            if found > request.limit { return (Array(walk), .among(length)) }
            if try walk[0].decode(last + 1, as: Int.self) < length { return (isEmpty ? [] : Array(walk), .all) }
            // Twice as far as it should be, as rows are not spread evenly; and where so few are found that this would be too far, not at all.
            let needed = 2 * length * (request.limit + 1) / max(found, 1)
            look = found < Self.fewest || pace == .long ? nil : Self.looks.first { $0 >= needed }
            pace = .long
        }
        return (try await rows(.all, .long), .all)
    }

    /// How many rows are looked at in the list's order: first, and at most when that was promising.
    private static let looks = [400, 2_000, 20_000]
    /// Fewer hits in the first look say nothing.
    private static let fewest = 3

    private func total(_ request: ListRequest, as context: RequestContext) async throws -> Int? {
        guard let count = request.count else { return nil }
        let counting = lists.count(request, as: context, bound: count == .exact ? nil : Self.estimateBound)
        return try await postgres.batch(as: context, pace: .long, [counting])[0][0].decode(0)
    }

    /// How many records a list has, counted up to one more than the bound.
    func count(_ request: ListRequest, upTo bound: Int, as context: RequestContext) async throws -> Int {
        try await postgres.batch(as: context, pace: .long, [lists.count(request, as: context, bound: bound)])[0][0].decode(0)
    }

    /// The records of a page, for what is done to each.
    ///
    /// - Parameter request: selects id and version.
    func found(_ request: ListRequest, as context: RequestContext) async throws -> [BulkStatements.Found] {
        let last = request.lastColumn
        return try await find(request, as: context).rows.prefix(request.limit).map { row in
            BulkStatements.Found(
                id: try row.decode(0), version: try row.decode(1),
                place: Cursor(value: row.text(last - 1), id: try row.decode(last - 2)))
        }
    }

    private func page(_ rows: [PostgresRow], of request: ListRequest, _ page: JSONObject, total: Int?) -> [UInt8] {
        let renderer =
            if !request.expansions.isEmpty {
                RowRenderer(Projection(request.selection, expanding: request.expansions, in: view.shown.columns))
            } else {
                request.fields == nil && request.deleted == nil ? self.renderer : RowRenderer(columns: request.selection)
            }
        var output: [UInt8] = []
        output.reserveCapacity(2048)
        output.append(contentsOf: #"{"data":["#.utf8)
        for (index, row) in rows.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            renderer.append(row, to: &output)
            // The others are as large as the first, more or less.
            if index == 0 { output.reserveCapacity(512 + rows.count * (output.count + output.count / 8)) }
        }
        output.append(contentsOf: #"],"page":"#.utf8)
        var page = page
        if let count = request.count, let total {
            let isBounded = count == .estimate && total > Self.estimateBound
            page["total"] = .number(isBounded ? Self.estimateBound : total)
            if count == .estimate { page["total_relation"] = isBounded ? "at_least" : "exact" }
        }
        output.append(contentsOf: JSON.object(page).bytes)
        output.append(UInt8(ascii: "}"))
        return output
    }

    /// An estimate counts up to here.
    static let estimateBound = 10_000

    // MARK: Writing

    /// What an answer shows of a written record.
    enum Shape: Sendable {
        case whole
        /// One of many: these columns, or id and version where one of them is large.
        case bounded([Column])

        var returning: ResourceStatements.Returning {
            switch self {
            case .whole: .whole
            case .bounded: .bounded
            }
        }

        /// How many columns of an answer follow those of the record.
        var furtherColumns: Int {
            switch self {
            case .whole: 0
            case .bounded: 1
            }
        }
    }

    /// Runs the write in one round trip; only a failure, or a change that changes nothing, costs another, to learn its reason.
    /// With a key it runs inside ``IdempotencyKey/guarding(_:as:on:replay:_:)``.
    ///
    /// - Parameter refusesDuplicates: whether a creation is refused where there may be a record of it already.
    /// - Throws: ``Problem`` `not_found`, `merged`, `version_mismatch`, `conflict`, `already_exists`, `duplicate`, `reference_not_found`,
    ///   `plan_limit_reached`.
    func perform(
        _ write: Write, as context: RequestContext, key: IdempotencyKey? = nil, shape: Shape = .whole, refusesDuplicates: Bool = false,
        attempts: Int = 4
    ) async throws -> Written {
        let statement = statements.write(write, as: context, key: key, returning: shape.returning)
        let guards = refusesDuplicates ? duplicates.guards(of: write.changes, as: context) : []
        let locks = (statements.locks(of: [write], as: context).map { [$0] } ?? []) + guards
        let row: PostgresRow?
        do {
            let first =
                statements.references.isLockedFirst(write) ? [statements.lock(Set([write.record].compactMap(\.self)), as: context)] : []
            if let followUp = view.definition.followUp, followUp.isAskedFor(by: write) {
                row = try await postgres.transaction(as: context) { transaction in
                    let row = try await transaction.batch(locks + first + [statement]).last?.first
                    if let id = try row?.decode(0, as: RecordID.self) { try await followUp.run(id, transaction, context) }
                    return row
                }
            } else {
                row = try await postgres.batch(as: context, locks + first + [statement]).last?.first
            }
        } catch let error as PostgresError where error.isDeadlock && attempts > 1 {
            // Nothing of it was kept, and what it waited for has gone on meanwhile.
            return try await perform(
                write, as: context, key: key, shape: shape, refusesDuplicates: refusesDuplicates, attempts: attempts - 1)
        } catch let error as PostgresError {
            throw try await problem(for: error, of: write, as: context)
        }
        if let row { return try written(row, by: write, as: context, shape) }
        return try await answering { () async throws -> Written in
            if let written = try await unchanged(write, as: context, key: key, shape) { return written }
            let reason = try await problem(for: write, as: context, mayRepeat: attempts > 1) { try await postgres.batch(as: context, $0) }
            if let reason { throw reason }
            // As wanted when the write came, and changed by somebody else before it was read: the write is tried again.
            return try await perform(
                write, as: context, key: key, shape: shape, refusesDuplicates: refusesDuplicates, attempts: attempts - 1)
        }
    }

    /// The record as it is, when the write changes nothing of it. For the repeat of a change that has taken effect this fails at its key.
    private func unchanged(_ write: Write, as context: RequestContext, key: IdempotencyKey?, _ shape: Shape) async throws -> Written? {
        guard let reading = statements.unchanged(by: write, as: context, returning: shape.returning) else { return nil }
        let statement = key.map { statements.keyed(reading, of: write, $0, as: context, shape.returning) } ?? reading.whole
        return try await postgres.batch(as: context, [statement])[0].first.map { try written($0, by: write, as: context, shape) }
    }

    /// Why the write found no row; `nil` when it would find one now, and may be tried again.
    private func problem(
        for write: Write, as context: RequestContext, mayRepeat: Bool, asking ask: ([SQL]) async throws -> [PostgresResult]
    ) async throws -> Problem? {
        var questions: [SQL] = []
        /// Where its answer stands.
        func place(_ question: SQL?) -> Int? {
            guard let question else { return nil }
            questions.append(question)
            return questions.count - 1
        }
        /// Which of the conditions do not hold, for a record that is there or is not.
        func conditions(isThere: Bool) -> SQL? {
            effective(write, isThere: isThere).flatMap { statements.conditions.question(of: $0, as: context) }
        }
        let state = place(write.record.map { statements.state(of: $0, as: context) })
        let survivor = view.definition.isMergeable ? place(write.record.map { statements.survivor(of: $0, as: context) }) : nil
        let whenThere = place(conditions(isThere: true))
        var (whenNot, isTaken) = (whenThere, Int?.none)
        if case .upsert(let upsert) = write {
            whenNot = place(conditions(isThere: false))
            isTaken = place(statements.isTaken(upsert.externalID, as: context))
        }
        let answers = questions.isEmpty ? [] : try await ask(questions)
        let row = state.flatMap { answers[$0].first }
        if let survivor, let id = try answers[survivor].first?.decode(0, as: RecordID.self) { return failures.merged(into: id) }
        // Into one that the caller may not read: to him it is gone.
        if let row, try row.decode(2) { return .notFound }
        let version = try row?.decode(0, as: Int64.self)
        let isDeleted = try row?.decode(1, as: Bool.self)
        if case .upsert(let upsert) = write, let isTaken,
            let problem = failures.problem(for: upsert, version: version, isTaken: try answers[isTaken][0].decode(0))
        {
            return problem
        }
        guard let effect = effective(write, isThere: version != nil), effect.isAsWanted(version: version, isDeleted: isDeleted) else {
            guard let version, let isDeleted else { return .notFound }
            return failures.problem(for: write, version: version, isDeleted: isDeleted)
        }
        if let asked = version == nil ? whenNot : whenThere,
            let refusal = try statements.conditions.refusal(of: effect, answer: answers[asked], as: context)
        {
            return refusal
        }
        return mayRepeat ? nil : Problem.raced
    }

    /// What the write comes to for a record that is there, or is not; `nil` for an upsert that is to do nothing then.
    private func effective(_ write: Write, isThere: Bool) -> Write? {
        if case .upsert(let upsert) = write { upsert.write(isThere: isThere) } else { write }
    }

    /// What the failure of the database means, with the record that has the value which the write wanted.
    func problem(for error: PostgresError, of write: Write, as context: RequestContext) async throws -> Problem {
        if error.sqlState == DuplicateStatements.refusal { return try await duplicate(of: write.changes, as: context, underlying: error) }
        guard let field = failures.takenField(error), context.permissions.contains(Permission(view.definition.permissions, .read)),
            let question = statements.holder(of: field, wantedBy: write, as: context)
        else { return failures.problem(for: error, of: write, as: context) }
        let holder = try await answering { try await postgres.batch(as: context, [question])[0].first }
        return failures.taken(field, by: try holder?.decode(0), underlying: error)
    }

    /// Runs the writes inside a transaction that is decided elsewhere, in the order given and in one round trip.
    ///
    /// The unique values that they give are locked first, then the rows that they are about, in the order of their ids: so two transactions seldom
    /// wait for each other in a circle, whatever the order of their writes. They still may where they refer to records that the other deletes or
    /// changes, or both clear references of the same: then Postgres fails one of them, which is run once more.
    ///
    /// - Throws: ``FailedWrite``, whose reason is told by ``problem(for:of:as:)``; the transaction can only be rolled back.
    func perform(
        _ writes: [Write], as context: RequestContext, in transaction: borrowing PostgresTransaction, columns: [Column]
    ) async throws -> [Written] {
        let locks = locks(for: writes, as: context)
        let results: [PostgresResult]
        do {
            results = try await transaction.batch(locks + writes.map { statements.writeOrRead($0, as: context) })
        } catch let error as PostgresError {
            guard let index = error.statementIndex, index >= locks.count else { throw error }
            throw FailedWrite(index: index - locks.count, error: error)
        }
        let all = try zip(writes.indices, results.dropFirst(locks.count)).map { index, result in
            guard let row = result.first else { throw FailedWrite(index: index) }
            return try written(row, by: writes[index], as: context, .bounded(columns))
        }
        if let followUp = view.definition.followUp {
            for (write, written) in zip(writes, all) where followUp.isAskedFor(by: write) {
                if let id = written.record.flatMap({ RecordID($0.id) }) { try await followUp.run(id, transaction, context) }
            }
        }
        return all
    }

    /// The last of them tells the states of the rows that are there.
    private func locks(for writes: [Write], as context: RequestContext) -> [SQL] {
        (statements.locks(of: writes, as: context).map { [$0] } ?? []) + [statements.lock(Set(writes.compactMap(\.record)), as: context)]
    }

    /// Why one of several writes has failed, after the transaction was rolled back: so who has a value that it wanted is none of them. What it met
    /// in its turn is seen by running those before it once more, which are rolled back too.
    func problem(for failed: FailedWrite, of writes: [Write], as context: RequestContext) async throws -> Problem {
        let write = writes[failed.index]
        if let error = failed.error { return try await problem(for: error, of: write, as: context) }
        do {
            let locks = locks(for: writes, as: context)
            return try await postgres.transaction(as: context) { transaction in
                let earlier = try await transaction.batch(
                    locks + writes[..<failed.index].map { statements.writeOrRead($0, as: context) })
                let problem = try await problem(for: write, as: context, mayRepeat: false) { try await transaction.batch($0) }
                throw MetInTurn(problem: try told(problem ?? Problem.raced, for: write, from: earlier[locks.count - 1]))
            }
        } catch let met as MetInTurn {
            return met.problem
        } catch let error as PostgresError {
            // Those before it went through a moment ago.
            return error.statementIndex == nil ? error.problem : Problem.raced
        }
    }

    private struct MetInTurn: Error {
        var problem: Problem
    }

    /// The version that is told is the one that is there after the rollback.
    private func told(_ problem: Problem, for write: Write, from states: PostgresResult) throws -> Problem {
        guard problem.members.contains(where: { $0.name == "current_version" }) else { return problem }
        let row = try states.first { row in
            switch write.record {
            case .id(let id): try row.decode(0, as: RecordID.self) == id
            case .external(let id): try row.text(3) == id && !row.decode(2, as: Bool.self)
            case nil: false
            }
        }
        return try row.map { failures.mismatch(try $0.decode(1)) } ?? problem
    }

    private func written(_ row: PostgresRow, by write: Write, as context: RequestContext, _ shape: Shape) throws -> Written {
        if case .delete = write { return Written(record: nil, status: write.status(isNew: false)) }
        // Behind the record's own columns and what tells whether it is large.
        var place = view.shown.columns.count + shape.furtherColumns
        var isInReach = true
        if statements.tellsReach(write, as: context) {
            isInReach = try row.decode(place)
            place += 1
        }
        let isNew = if case .upsert = write { try row.decode(place, as: Bool.self) } else { false }
        let status = write.status(isNew: isNew)
        guard isInReach else { return Written(record: record(row, reference), status: status, isOutOfSight: true) }
        guard case .bounded(let columns) = shape else { return Written(record: record(row, nil), status: status) }
        let isLeftOut = try row.decode(view.shown.columns.count, as: Bool.self) && columns.contains(where: \.isWide)
        return Written(record: record(row, isLeftOut ? reference : columns), status: status)
    }

    /// What stands for a record that is too large to be one of many, or out of the caller's reach.
    private var reference: [Column] { view.shown.columns.filter { ["id", "version"].contains($0.name) } }

    /// The record of a row with all columns, for a caller who may have lost it from sight.
    func record(_ row: PostgresRow, isInReach: Bool) -> Record { record(row, isInReach ? nil : reference) }

    /// - Parameter selection: the columns of the answer, all when `nil`. A record is read whole in any case: leaving out columns would
    ///   make a statement for each choice and save nothing.
    private func record(_ row: PostgresRow, _ selection: [Column]?) -> Record {
        var record = Record(id: row.text(0) ?? "", version: row.text(1) ?? "", body: [])
        guard let selection, selection.count < view.shown.columns.count else {
            record.body.reserveCapacity(1024)
            renderer.append(row, to: &record.body)
            return record
        }
        let columns = view.shown.columns
        let indexes = columns.indices.filter { index in selection.contains { $0.name == columns[index].name } }
        RowRenderer(columns: selection).append(
            cells: indexes.lazy.map { index in row.withBytes(index) { bytes in bytes.map { Array($0) } } }, to: &record.body)
        return record
    }

    /// The stored cells rendered as the first time, by the names that were stored with them.
    func replay(_ stored: StoredAnswer, _ shape: Shape) -> Written {
        guard let head = stored.cells.first, let head else { return Written(record: nil, status: stored.status, isReplayed: true) }
        let names = String(decoding: head, as: UTF8.self).split(separator: ",").map(String.init)
        let known = Dictionary(uniqueKeysWithValues: view.definition.columns.map { ($0.name, $0) })
        let columns = names.map { known[$0] ?? Column(name: $0, format: .text) }
        let cells = stored.cells.dropFirst()
        func text(_ name: String) -> String {
            // Every record has an id and a version, so both were stored.
            zip(names, cells).first { $0.0 == name }?.1.map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        var record = Record(id: text("id"), version: text("version"), body: [])
        var shown = zip(columns, cells).map { ($0, $1) }
        // What the role hides since then is hidden in the answer of then.
        if view.hidesFields { shown = shown.filter { column, _ in view.definition.field(column.name).map(view.isHidden) != true } }
        if case .bounded(let selection) = shape {
            // Of a large record the large members were not kept.
            let isLeftOut = selection.contains { $0.isWide && !names.contains($0.name) } || names == reference.map(\.name)
            let selection = isLeftOut ? reference : selection
            shown = shown.filter { column, _ in selection.contains { $0.name == column.name } }
        }
        RowRenderer(columns: shown.map(\.0)).append(cells: shown.map(\.1), to: &record.body)
        return Written(record: record, status: stored.status, isReplayed: true, isOutOfSight: names == reference.map(\.name))
    }

    /// Gives a failure of the database its public meaning.
    func answering<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let error as PostgresError {
            throw error.problem
        }
    }
}
