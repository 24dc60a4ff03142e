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
    var isReplayed = false
}

/// Reads and writes the records of one resource, each in one round trip. Takes what is checked already and authorizes nothing;
/// tenant and row scope are in every statement.
struct ResourceStore: Sendable {
    let definition: ResourceDefinition
    let postgres: PostgresClient
    let statements: ResourceStatements
    private let renderer: RowRenderer
    private let failures: WriteFailures

    init(_ definition: ResourceDefinition, postgres: PostgresClient) {
        self.definition = definition
        self.postgres = postgres
        statements = ResourceStatements(definition)
        renderer = RowRenderer(columns: definition.columns)
        failures = WriteFailures(definition: definition)
    }

    // MARK: Reading

    /// - Throws: ``Problem`` `not_found`.
    func get(_ id: RecordID, as context: RequestContext, selection: [Column]? = nil) async throws -> Record {
        let result = try await answering { try await postgres.batch(as: context, [statements.find(id, as: context)])[0] }
        guard let row = result.first else { throw Problem.notFound }
        guard let selection else { return record(row) }
        // A single record is read whole: leaving out columns would make a statement for each choice and save nothing.
        var record = Record(id: row.text(0) ?? "", version: row.text(1) ?? "", body: [])
        let indexes = definition.columns.indices.filter { index in selection.contains { $0.name == definition.columns[index].name } }
        RowRenderer(columns: selection).append(
            cells: indexes.lazy.map { index in row.withBytes(index) { bytes in bytes.map { Array($0) } } }, to: &record.body)
        return record
    }

    /// The page as JSON, made from the rows without an object between.
    func list(_ request: ListRequest, signer: CursorSigner, as context: RequestContext) async throws -> [UInt8] {
        var batch = [statements.page(request, as: context)]
        if let count = request.count {
            batch.append(statements.count(request, as: context, bound: count == .exact ? nil : Self.estimateBound))
        }
        let results = try await answering { [batch] in try await postgres.batch(as: context, batch) }
        var rows = results[0]
        let last = request.selection.count + 2
        var follows = rows.count > request.limit
        if try rows.contains(where: { try $0.decode(last) }) {
            rows = try await answering { try await postgres.batch(as: context, [statements.boundedPage(request, as: context)])[0] }
            follows = try rows.last?.decode(last) ?? false
        }
        let shown = min(rows.count, request.limit)
        let renderer = request.selection.count == definition.columns.count ? renderer : RowRenderer(columns: request.selection)
        var output: [UInt8] = []
        output.reserveCapacity(64 + shown * (48 * request.selection.count))
        output.append(contentsOf: #"{"data":["#.utf8)
        for index in 0..<shown {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            renderer.append(rows[index], to: &output)
        }
        output.append(contentsOf: #"],"page":{"next":"#.utf8)
        if follows, shown > 0 {
            let end = rows[shown - 1]
            let cursor = Cursor(
                value: end.text(request.selection.count + 1), id: try end.decode(request.selection.count))
            output.append(contentsOf: "\"\(signer.seal(cursor.json, list: request.binding))\"".utf8)
        } else {
            output.append(contentsOf: "null".utf8)
        }
        output.append(contentsOf: ",\"limit\":\(request.limit)".utf8)
        if let count = request.count {
            let total: Int = try results[1][0].decode(0)
            let isBounded = count == .estimate && total > Self.estimateBound
            output.append(contentsOf: ",\"total\":\(isBounded ? Self.estimateBound : total)".utf8)
            if count == .estimate { output.append(contentsOf: ",\"total_relation\":\"\(isBounded ? "at_least" : "exact")\"".utf8) }
        }
        output.append(contentsOf: "}}".utf8)
        return output
    }

    /// An estimate counts up to here.
    static let estimateBound = 10_000

    // MARK: Writing

    /// Runs the write in one round trip; only a failure costs another, to learn its reason.
    ///
    /// - Throws: ``Problem`` `not_found`, `version_mismatch`, `conflict`, `already_exists`, `reference_not_found`, `plan_limit_reached`,
    ///   `idempotency_key_reused`, `idempotency_in_progress`.
    func perform(_ write: Write, as context: RequestContext, key: Idempotency? = nil) async throws -> Written {
        let result: PostgresResult
        do {
            result = try await postgres.batch(as: context, [statements.write(write, as: context, key: key)])[0]
        } catch let error as PostgresError {
            do {
                if let stored = try await key?.recover(from: error, as: context, on: postgres) { return replay(stored) }
            } catch let error as PostgresError {
                throw error.problem
            }
            throw failures.problem(for: error, as: context)
        }
        if let row = result.first { return written(row, by: write) }
        return try await answering { () async throws in
            let state = statements.state(of: write.id, as: context)
            let results = try await postgres.batch(as: context, (key.map { [$0.lookup(as: context)] } ?? []) + [state])
            // A repeat finds the record as its first run has left it: deleted, or of another version.
            if let key, let stored = try key.stored(in: results[0]) { return replay(stored) }
            throw try failures.problem(for: write, state: results[results.count - 1])
        }
    }

    /// What an earlier request with the key has written; `nil` when there was none.
    func replay(of key: Idempotency, as context: RequestContext) async throws -> Written? {
        try await answering { () async throws in
            try key.stored(in: try await postgres.batch(as: context, [key.lookup(as: context)])[0]).map(replay)
        }
    }

    /// Runs the write inside a transaction that is decided elsewhere.
    func perform(_ write: Write, as context: RequestContext, in transaction: borrowing PostgresTransaction) async throws -> Written {
        let result: PostgresResult
        do {
            result = try await transaction.query(statements.write(write, as: context, key: nil))
        } catch let error as PostgresError {
            throw failures.problem(for: error, as: context)
        }
        if let row = result.first { return written(row, by: write) }
        throw try failures.problem(for: write, state: try await transaction.query(statements.state(of: write.id, as: context)))
    }

    private func written(_ row: PostgresRow, by write: Write) -> Written {
        if case .delete = write { return Written(record: nil) }
        return Written(record: record(row))
    }

    private func record(_ row: PostgresRow) -> Record {
        var record = Record(id: row.text(0) ?? "", version: row.text(1) ?? "", body: [])
        record.body.reserveCapacity(1024)
        renderer.append(row, to: &record.body)
        return record
    }

    /// The stored cells rendered as the first time, by the names that were stored with them.
    private func replay(_ stored: Idempotency.Stored) -> Written {
        guard let head = stored.cells.first, let head else { return Written(record: nil, isReplayed: true) }
        let names = String(decoding: head, as: UTF8.self).split(separator: ",").map(String.init)
        let known = Dictionary(uniqueKeysWithValues: definition.columns.map { ($0.name, $0) })
        let columns = names.map { known[$0] ?? Column(name: $0, format: .text) }
        let cells = stored.cells.dropFirst()
        func text(_ name: String) -> String {
            // Every record has an id and a version, so both were stored.
            zip(names, cells).first { $0.0 == name }?.1.map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        var record = Record(id: text("id"), version: text("version"), body: [])
        RowRenderer(columns: columns).append(cells: cells, to: &record.body)
        return Written(record: record, isReplayed: true)
    }

    /// Gives a failure of the database its public meaning.
    private func answering<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let error as PostgresError {
            throw error.problem
        }
    }
}
