import Core
import Postgres

/// A write of one record, checked and ready to become SQL.
enum Write: Sendable {
    /// `at` is when it is said to have been made; the transaction's time unless given.
    case create(id: RecordID, [Change], at: Timestamp? = nil)
    /// Without changes it reads the record, under the same conditions.
    case update(id: RecordID, [Change], Precondition)
    case delete(id: RecordID, Precondition)
    case restore(id: RecordID, Precondition)

    var id: RecordID {
        switch self {
        case .create(let id, _, _), .update(let id, _, _), .delete(let id, _), .restore(let id, _): id
        }
    }

    /// The status of the answer when it succeeds.
    var status: Int {
        switch self {
        case .create: 201
        case .update, .restore: 200
        case .delete: 204
        }
    }

    /// In which order several writes of a transaction run: those of rows that are there by their ids, then what creates. So places that
    /// are given up are there for what is new.
    var place: String {
        if case .create = self { "new" } else { id.description }
    }

    var precondition: Precondition {
        switch self {
        case .create: .none
        case .update(_, _, let precondition), .delete(_, let precondition), .restore(_, let precondition): precondition
        }
    }
}

extension Write {
    /// Whether a record in this state is one that the write is for; without a state, whether it needs none.
    func isAsWanted(version: Int64?, isDeleted: Bool?) -> Bool {
        if case .create = self { return true }
        guard let version, let isDeleted else { return false }
        if case .versions(let versions) = precondition, !versions.contains(version) { return false }
        return if case .restore = self { isDeleted } else { !isDeleted }
    }
}

/// Builds the SQL of a resource. The parts are made once; the text for one shape of request is the same each time, so that the
/// server plans it once for each connection.
struct ResourceStatements: Sendable {
    let definition: ResourceDefinition
    let references: ReferenceStatements
    private let table: String
    private let columnNames: String
    /// The columns as an array of text, headed by their names: an answer is rendered again as it was, even after a release
    /// that has added a field.
    private let answer: String
    /// The same for an answer that shows many records, in which large values are left out.
    private let boundedNames: String
    private let boundedAnswer: String
    private let findText: String
    private let insertText: String

    init(_ definition: ResourceDefinition, among catalogue: ResourceCatalogue) {
        self.definition = definition
        references = ReferenceStatements(definition, among: catalogue)
        let names = definition.columns.map(\.name)
        table = definition.table
        columnNames = names.joined(separator: ", ")
        answer = "array['\(names.joined(separator: ","))', \(names.map { "\($0)::text" }.joined(separator: ", "))]"
        let wide = definition.columns.filter(\.isWide).map { "octet_length(\($0.name)::text) > \(Self.largeValue)" }
        let isLarge = wide.isEmpty ? "false" : "coalesce(\(wide.joined(separator: " or ")), false)"
        let bounded = definition.columns.map { column in
            guard column.isWide else { return column.name }
            return "case when octet_length(\(column.name)::text) <= \(Self.largeValue) then \(column.name) end as \(column.name)"
        }
        boundedNames = "\(bounded.joined(separator: ", ")), \(isLarge) as is_large"
        let small = definition.columns.filter { !$0.isWide }.map(\.name)
        boundedAnswer =
            "case when is_large then array['\(small.joined(separator: ","))', \(small.map { "\($0)::text" }.joined(separator: ", "))] "
            + "else \(answer) end"
        findText = "select \(columnNames) from \(table) where tenant_id = $1 and id = $2 and deleted_at is null"
        insertText = "insert into \(table) (tenant_id, id, created_by, updated_by"
    }

    /// Bytes of a value that an answer with many records has at most.
    static let largeValue = 2048

    /// What a write gives back.
    enum Returning: Sendable {
        case whole
        /// The record with values up to ``largeValue`` only; then a last column tells whether one was left out.
        case bounded
    }

    // MARK: Reading

    func find(_ id: RecordID, as context: RequestContext) -> SQL {
        let sql = SQL(unescaped: findText, binds: [context.tenant.sqlValue, id.sqlValue])
        // The most frequent statement of all is taken as it is.
        return context.scopes[definition.permissions] == .all ? sql : sql + scope(of: context)
    }

    /// The same with what is shown beside references; then the record's version.
    func find(_ id: RecordID, _ projection: Projection, as context: RequestContext) -> SQL {
        let cells = projection.cells(of: table).map(\.source).joined(separator: ", ")
        let rows: SQL =
            "select * from \(unescaped: table) where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null"
            + scope(of: context)
        return "select \(unescaped: cells), \(unescaped: table).version from (" + rows + ") as \(unescaped: table)"
            + projection.joins(to: table, as: context)
    }

    private func scope(of context: RequestContext) -> SQL {
        definition.reach(of: context).map { " and " + $0 } ?? ""
    }

    // MARK: Writing

    /// Reads the record of an update that changes nothing, if it is that.
    func unchanged(by write: Write, as context: RequestContext, returning: Returning) -> SQL? {
        guard case .update(let id, let changes, let precondition) = write, !changes.isEmpty else { return nil }
        return "select \(unescaped: names(returning)) from \(unescaped: table)" + target(id, "deleted_at is null", precondition, context)
            + " and not (" + difference(changes) + ")"
    }

    /// One statement for the write and, with a key, its record: both happen or none.
    func write(_ write: Write, as context: RequestContext, key: IdempotencyKey?, returning: Returning) -> SQL {
        let isRemoval = if case .delete = write { true } else { false }
        let statement = statement(for: write, as: context, returning: isRemoval ? "id" : names(returning))
        let effects = references.effects(of: write, as: context)
        if let key { return keyed(statement, of: write, key, as: context, returning, beside: effects) }
        return effects.isEmpty
            ? statement : "with written as (" + SQL.joined([statement + ")"] + effects, separator: ", ") + " select * from written"
    }

    /// One statement that writes, or gives the record when the write changes nothing of it. What it gives is bounded.
    func writeOrRead(_ write: Write, as context: RequestContext) -> SQL {
        let statement = self.write(write, as: context, key: nil, returning: .bounded)
        guard let reading = unchanged(by: write, as: context, returning: .bounded) else { return statement }
        return "with written as (" + statement + ") select * from written union all " + reading
    }

    /// The statement with the key's record of what it returns, and with what else it does.
    func keyed(
        _ statement: SQL, of write: Write, _ key: IdempotencyKey, as context: RequestContext, _ returning: Returning,
        beside effects: [SQL] = []
    ) -> SQL {
        let stored: String =
            switch (write, returning) {
            case (.delete, _): "'{}'::text[]"
            case (_, .whole): answer
            case (_, .bounded): boundedAnswer
            }
        return "with written as (" + SQL.joined([statement + ")"] + effects, separator: ", ") + ", key as ("
            + key.columns(as: context, status: write.status)
            + " \(unescaped: stored) from written) select * from written"
    }

    private func names(_ returning: Returning) -> String {
        switch returning {
        case .whole: columnNames
        case .bounded: boundedNames
        }
    }

    private func statement(for write: Write, as context: RequestContext, returning: String) -> SQL {
        switch write {
        case .create(let id, let changes, let instant):
            let names = changes.map { ", \($0.field.name)" }.joined() + (instant == nil ? "" : ", created_at, updated_at")
            let conditions = references.conditions(of: write, as: context)
            let source = conditions.isEmpty ? "values (" : "select "
            var sql: SQL =
                "\(unescaped: insertText)\(unescaped: names)) \(unescaped: source)\(context.tenant), \(id), \(context.user), \(context.user)"
            for change in changes {
                guard case .set(let value) = change.value else { continue }
                sql += ", \(value)"
            }
            if let instant { sql += ", \(instant), \(instant)" }
            sql += conditions.isEmpty ? ")" : " where " + SQL.joined(conditions, separator: " and ")
            return sql + " returning \(unescaped: returning)"
        case .update(let id, let changes, let precondition):
            let live: SQL = "deleted_at is null"
            if changes.isEmpty {
                return "select \(unescaped: returning) from \(unescaped: table)" + target(id, live, precondition, context)
            }
            // What the record has already is no change: no version, no entry in the trail.
            return changed(changes.map(assignment), by: context) + target(id, live, precondition, context)
                + " and (" + difference(changes) + ")" + held(write, as: context) + " returning \(unescaped: returning)"
        case .delete(let id, let precondition):
            return changed(["deleted_at = now()"], by: context) + target(id, "deleted_at is null", precondition, context)
                + held(write, as: context) + " returning \(unescaped: returning)"
        case .restore(let id, let precondition):
            return changed(["deleted_at = null"] + references.assignments(of: write), by: context)
                + target(id, "deleted_at is not null", precondition, context) + held(write, as: context)
                + " returning \(unescaped: returning)"
        }
    }

    /// What references hold the write to, as further conditions.
    private func held(_ write: Write, as context: RequestContext) -> SQL {
        let conditions = references.conditions(of: write, as: context)
        return conditions.isEmpty ? "" : " and " + SQL.joined(conditions, separator: " and ")
    }

    private func changed(_ assignments: [SQL], by context: RequestContext) -> SQL {
        "update \(unescaped: table) set version = version + 1, updated_at = now(), updated_by = \(context.user), "
            + SQL.joined(assignments, separator: ", ")
    }

    private func target(_ id: RecordID, _ state: SQL, _ precondition: Precondition, _ context: RequestContext) -> SQL {
        var sql: SQL = " where tenant_id = \(context.tenant) and id = \(id) and " + state + scope(of: context)
        if case .versions(let versions) = precondition { sql += " and version = any(\(versions))" }
        return sql
    }

    /// Whether any of the changes changes something.
    private func difference(_ changes: [Change]) -> SQL {
        SQL.joined(changes.map { "\(unescaped: $0.field.name) is distinct from \(newValue($0))" }, separator: " or ")
    }

    private func assignment(_ change: Change) -> SQL { "\(unescaped: change.field.name) = " + newValue(change) }

    private func newValue(_ change: Change) -> SQL {
        let name = change.field.name
        switch change.value {
        case .set(let value): return "\(value)"
        case .merge(let members):
            let merged: SQL = "jsonb_strip_nulls(coalesce(\(unescaped: name), '{}') || \(members)::jsonb)"
            return change.field.isNullable ? "nullif(" + merged + ", '{}')" : merged
        }
    }

    /// Locks the rows in the order of their ids, and tells of each its id, version and whether it is deleted.
    func lock(_ ids: [RecordID], as context: RequestContext) -> SQL {
        "select id, version, deleted_at is not null from \(unescaped: table) where tenant_id = \(context.tenant) and id = any(\(ids)::uuid[])"
            + scope(of: context) + " order by id for update"
    }

    /// Tells why a write found no row: version and whether it is deleted, for a row that the caller may see.
    func state(of id: RecordID, as context: RequestContext) -> SQL {
        "select version, deleted_at is not null from \(unescaped: table) where tenant_id = \(context.tenant) and id = \(id)"
            + scope(of: context)
    }
}
