import Core
import Postgres

/// What a service's own operation takes of a resource, for one caller: what he may make of its records and is held to, as parts of the
/// operation's statement, and how they are shown to him.
///
/// An operation is one batch: it locks what it is about, writes in one statement, and reads what it answers (``RecordsAnswer``).
public struct ResourcePart: Sendable {
    let access: ResourceAccess
    let context: RequestContext

    private var definition: ResourceDefinition { access.definition }
    private var statements: ResourceStatements { access.store.statements }
    private var table: String { definition.table }

    /// Whether the caller may know the field.
    public func shows(_ field: String) -> Bool { access.view.shown.field(field) != nil }

    /// - Throws: ``Problem`` `forbidden`.
    public func require(_ action: PermissionAction) throws(Problem) {
        let permission = Permission(definition.permissions, action)
        try context.require(permission)
        if action == .create, context.scopes[definition.permissions] == .none { throw .forbidden(permission) }
    }

    // MARK: Records that are there

    /// The condition that a row of the table is one of the caller's, behind another condition of a `where`; empty for everybody's.
    public var scope: SQL { statements.scope(of: context) }

    /// Locks the record, if the caller reaches it: what the next statement of the batch sees of it is how it stays.
    public func lock(_ id: RecordID) -> SQL { statements.lock([.id(id)], as: context) }

    /// That the record is there and the caller's to read, and is not deleted meanwhile.
    ///
    /// - Parameter pointer: where the body names it.
    public func demand(_ id: RecordID, at pointer: String) -> Demand {
        var sql: SQL = """
            exists (select from \(unescaped: table) as referred where referred.tenant_id = \(context.tenant) and referred.id = \(id) \
            and referred.deleted_at is null
            """
        if let readable = definition.readable(by: context) { sql += " and " + readable }
        let detail = "There is no such \(definition.noun)."
        return Demand(
            sql + " for share)",
            otherwise: Problem(
                .referenceNotFound, detail, faults: [.init(pointer: pointer, code: .referenceNotFound, detail: detail)]))
    }

    /// Why the record is not there, where it has become another one that the caller may read; `nil` otherwise.
    ///
    /// - Parameter pointer: where the body names it.
    public func merged(_ id: RecordID, at pointer: String? = nil) async throws -> Problem? {
        guard let survivor = try await access.merges?.survivor(of: .id(id), as: context) else { return nil }
        var problem = Problem.merged(definition, into: survivor)
        if let pointer { problem.faults = [.init(pointer: pointer, code: .referenceNotFound, detail: problem.detail)] }
        return problem
    }

    /// What reading gives; of a record that has become another one where that is.
    ///
    /// - Parameter place: what is read below the record.
    public func following(_ id: RecordID, to place: String, _ read: () async throws -> Reply) async throws -> Reply {
        try await access.following(.id(id), to: place, as: context, read)
    }

    /// The id, or null where the record is deleted or none of the caller's to read.
    public func readable(_ id: SQL) -> SQL {
        let readable = definition.readable(by: context).map { " and " + $0 } ?? ""
        return "(select id from \(unescaped: table) where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null\(readable))"
    }

    // MARK: Records that are made

    /// Checks a body like that of a creation.
    ///
    /// - Parameters:
    ///   - values: what fields have that the body does not name, as expressions on the row that the record is made from; a telephone number
    ///     with its number in E.164.
    ///   - pointer: where the body stands in the request.
    /// - Throws: ``Problem`` with every fault.
    public func draft(_ body: JSON, inheriting values: [String: SQL], at pointer: String) throws(Problem) -> RecordDraft {
        let inherited = Set(values.keys).subtracting(body.object?.names ?? [])
        let checked = try access.reader.read(body, for: .create, as: context, inheriting: inherited, pointer: pointer)
        let columns = definition.fields.compactMap { field -> (name: String, value: SQL)? in
            let source = if case .e164(of: let number) = field.kind { number } else { field.name }
            return inherited.contains(source) ? values[field.name].map { (field.name, $0) } : nil
        }
        return RecordDraft(id: RecordID(), changes: checked.changes, members: checked.members, inherited: columns, pointer: pointer)
    }

    /// What the draft is held to: whose record it becomes, and the references that it makes.
    public func demands(of draft: RecordDraft) -> [Demand] {
        let references = statements.references.demands(of: draft.write, as: context)
        return (keeping(draft).map { [$0] } ?? [])
            + references.map { Demand($0.condition, otherwise: $0.refusal.below(draft.pointer)) }
    }

    private func keeping(_ draft: RecordDraft) -> Demand? {
        let refusal = HandOver.refusal(of: definition).below(draft.pointer)
        if let handOver = HandOver(draft.write, of: definition, by: context) {
            return handOver.isPermitted ? nil : Demand(handOver.staysInReach, otherwise: refusal)
        }
        guard let owner = draft.inherited.first(where: { $0.name == definition.owner })?.value,
            !context.permissions.contains(Permission(definition.permissions, .share)),
            let staysInReach = definition.reach(
                of: context, owner: "(case when " + owner + " is null then \(context.user)::uuid else " + owner + " end)")
        else { return nil }
        return Demand(staysInReach, otherwise: refusal)
    }

    /// Locks the unique values that the draft gives, before all else in the batch; `nil` when it gives none.
    public func locks(of draft: RecordDraft) -> SQL? { statements.locks(of: [draft.write], as: context) }

    /// Makes the record. Its demands are the statement's to hold.
    ///
    /// - Parameters:
    ///   - source: what the inherited values are of, such as a part of the statement's `with`; a record for each of its rows.
    ///   - condition: which of them, where that is not all.
    public func insertion(_ draft: RecordDraft, from source: SQL, where condition: SQL? = nil) -> SQL {
        let instants = statements.conditions.states.instants(of: draft.changes)
        let names = draft.changes.map(\.field.name) + draft.inherited.map(\.name) + instants
        var values: [SQL] = []
        for change in draft.changes {
            guard case .set(let value) = change.value else { continue }
            values.append(change.field.type.placed(value))
        }
        values += draft.inherited.map(\.value) + instants.map { _ in "now()" }
        return """
            insert into \(unescaped: table) (tenant_id, id, created_by, updated_by, \(unescaped: names.joined(separator: ", "))) \
            select \(context.tenant), \(draft.id), \(context.user), \(context.user), \(SQL.joined(values, separator: ", ")) from \(source)
            """ + (condition.map { " where " + $0 } ?? "")
    }

    /// What it means that the draft failed at the database; `nil` when the failure is about another table.
    public func problem(for error: PostgresError, of draft: RecordDraft) async throws -> Problem? {
        guard error.table.map({ $0 == table }) ?? (error.constraint?.hasPrefix("\(table)_") == true || error.sqlState == "MR001") else {
            return nil
        }
        return try await access.store.problem(for: error, of: draft.write, as: context).below(draft.pointer)
    }

    // MARK: What is shown

    /// The columns of the fields, for a selection of expressions by their names.
    func columns(_ names: [String]) -> [Column] {
        access.view.shown.columns.filter { names.contains($0.name) }
    }

    /// Values that fields would have, as an object: of fields that the caller may know, in their order.
    ///
    /// - Parameter values: expressions on a row, by the fields' names.
    public func preview(_ values: [String: SQL]) -> RecordPreview {
        let columns = columns(Array(values.keys))
        return RecordPreview(
            selection: columns.compactMap { column in values[column.name].map { $0 + " as \(unescaped: column.name)" } },
            columns: columns)
    }

    /// The caller's records that are found by a value of a text that is filterable, the newest first.
    ///
    /// - Parameters:
    ///   - values: a query of one column, as texts; null is no value.
    ///   - limit: how many at most.
    public func matches(_ field: String, _ values: SQL, limit: Int) -> SQL {
        let key = definition.field(field)?.type.comparedBy
        let compared: SQL = key.map { "\(unescaped: $0)(given)" } ?? "given"
        let found: SQL =
            "filter_query(\(context.tenant)::uuid, \(field), array(select " + compared + " from (\(values)) as wanted (given) "
            + "where given is not null))"
        return """
            select \(unescaped: access.view.shown.columns.map(\.name).joined(separator: ", ")) from \(unescaped: table) \
            where tenant_id = \(context.tenant) and deleted_at is null \
            and ctid = any(array(select \(unescaped: table)_search((select \(found)))))\(scope) \
            order by created_at desc, id desc limit \(unescaped: String(limit))
            """
    }

    /// The records of ``matches(_:_:limit:)`` as an array.
    public func array(_ result: PostgresResult) -> [UInt8] {
        let renderer = RowRenderer(columns: access.view.shown.columns)
        var output = Array("[".utf8)
        for (index, row) in result.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            renderer.append(row, to: &output)
        }
        output.append(UInt8(ascii: "]"))
        return output
    }
}

extension Resource {
    /// What an operation of the service's own takes of the resource.
    public func part(for context: RequestContext) -> ResourcePart { ResourcePart(access: access(of: context), context: context) }
}

/// A record that an operation makes: what its body says, and for the rest what it inherits.
public struct RecordDraft: Sendable {
    public let id: RecordID
    let changes: [Change]
    let members: [MemberReference]
    let inherited: [(name: String, value: SQL)]
    let pointer: String

    var write: Write { .create(id: id, changes) }

    /// Whether the body says nothing of the field.
    public func inherits(_ field: String) -> Bool { inherited.contains { $0.name == field } }
}

/// Values of fields without a record.
public struct RecordPreview: Sendable {
    /// The columns of a `select`.
    public let selection: [SQL]
    let columns: [Column]

    /// The object.
    ///
    /// - Parameter first: where the columns begin in the row.
    public func object(_ row: PostgresRow, from first: Int) -> [UInt8] {
        if columns.isEmpty { return Array("{}".utf8) }
        var output: [UInt8] = []
        RowRenderer(columns: columns).append(
            cells: columns.indices.lazy.map { index in row.withBytes(first + index) { $0.map { Array($0) } } }, to: &output)
        return output
    }
}
