import Core
import Postgres
import Synchronization

/// Builds the SQL of a resource. The parts are made once; the text for one shape of request is the same each time, so that the
/// server plans it once for each connection.
struct ResourceStatements: Sendable {
    let view: ResourceView
    let references: ReferenceStatements
    let conditions: WriteConditions
    let table: String
    private let columnNames: String
    /// The columns as an array of text, headed by their names: an answer is rendered again as it was, even after a release
    /// that has added a field.
    let answer: String
    /// The same for an answer that shows many records, in which large values are left out.
    private let boundedNames: String
    private let boundedAnswer: String
    private let findText: String
    private let findExternalText: String
    private let insertText: String
    private let settableCount: Int
    private let creations = CreationTexts()

    var definition: ResourceDefinition { view.definition }

    init(_ view: ResourceView, among catalogue: ResourceCatalogue) {
        self.view = view
        let (definition, columns) = (view.definition, view.shown.columns)
        references = ReferenceStatements(view, among: catalogue)
        conditions = WriteConditions(view, references)
        let names = columns.map(\.name)
        table = definition.table
        columnNames = names.joined(separator: ", ")
        answer = "array['\(names.joined(separator: ","))', \(names.map { "\($0)::text" }.joined(separator: ", "))]"
        let wide = columns.filter(\.isWide).map { "octet_length(\($0.name)::text) > \(Self.largeValue)" }
        let isLarge = wide.isEmpty ? "false" : "coalesce(\(wide.joined(separator: " or ")), false)"
        let bounded = columns.map { column in
            guard column.isWide else { return column.name }
            return "case when octet_length(\(column.name)::text) <= \(Self.largeValue) then \(column.name) end as \(column.name)"
        }
        boundedNames = "\(bounded.joined(separator: ", ")), \(isLarge) as is_large"
        let small = columns.filter { !$0.isWide }.map(\.name)
        boundedAnswer =
            "case when is_large then array['\(small.joined(separator: ","))', \(small.map { "\($0)::text" }.joined(separator: ", "))] "
            + "else \(answer) end"
        let find = "select \(columnNames) from \(table) where tenant_id = $1 and "
        findText = find + "id = $2 and deleted_at is null"
        findExternalText = find + "external_id = $2 and deleted_at is null"
        insertText = "insert into \(table) (tenant_id, id, created_by, updated_by"
        settableCount = definition.fields.count(where: \.isSetByCreation)
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

    func find(_ record: RecordKey, as context: RequestContext) -> SQL {
        let sql =
            switch record {
            case .id(let id): SQL(unescaped: findText, binds: [context.tenant.sqlValue, id.sqlValue])
            case .external(let id): SQL(unescaped: findExternalText, binds: [context.tenant.sqlValue, id.sqlValue])
            }
        // The most frequent statement of all is taken as it is.
        return context.scopes[definition.permissions] == .all ? sql : sql + scope(of: context)
    }

    /// The same with what is shown beside references; then the record's version.
    func find(_ record: RecordKey, _ projection: Projection, as context: RequestContext) -> SQL {
        let cells = projection.cells(of: table).map(\.source).joined(separator: ", ")
        let rows: SQL =
            "select * from \(unescaped: table) where " + key(record, context) + " and deleted_at is null" + scope(of: context)
        return "select \(unescaped: cells), \(unescaped: table).version from (" + rows + ") as \(unescaped: table)"
            + projection.joins(to: table, as: context)
    }

    func scope(of context: RequestContext) -> SQL {
        definition.reach(of: context).map { " and " + $0 } ?? ""
    }

    // MARK: Writing

    /// A statement, and what goes before its result in its `with`.
    struct Statement {
        var parts: SQL?
        var result: SQL

        var whole: SQL { parts.map { "with " + $0 + " " + result } ?? result }

        /// The same with its rows named `written`, for what follows.
        var written: SQL { (parts.map { "with " + $0 + ", " } ?? "with ") + "written as (" + result + ")" }
    }

    /// Reads the record of an update that changes nothing, if it is that. An upsert reads it itself.
    func unchanged(by write: Write, as context: RequestContext, returning: Returning) -> Statement? {
        guard case .update(let record, let changes, let precondition) = write else { return nil }
        return unchanged(record, changes, precondition, as: context, returning: names(returning, of: write, as: context))
    }

    func unchanged(
        _ record: RecordKey, _ changes: [Change], _ precondition: Precondition, as context: RequestContext, returning names: SQL
    ) -> Statement? {
        guard !changes.isEmpty else { return nil }
        return Statement(
            result: "select " + names + " from \(unescaped: table)" + target(record, "deleted_at is null", precondition, context)
                + " and not (" + difference(changes) + ")")
    }

    /// One statement for the write and, with a key, its record: both happen or none.
    func write(_ write: Write, as context: RequestContext, key: IdempotencyKey?, returning: Returning) -> SQL {
        guard case .create(let id, let changes, at: nil) = write, changes.count == settableCount, case .whole = returning,
            conditions.of(write, as: context).isEmpty, conditions.states.instants(of: changes).isEmpty, !tellsReach(write, as: context)
        else { return assembled(write, as: context, key: key, returning: returning) }
        return creations.statement(keyed: key != nil) {
            assembled(write, as: context, key: key, returning: returning)
        } binds: {
            var binds = [context.tenant.sqlValue, id.sqlValue, context.user.sqlValue, context.user.sqlValue]
            for case .set(let value) in changes.lazy.map(\.value) { binds.append(value) }
            guard let key else { return binds }
            return binds + key.columns(as: context, status: keyedStatus(of: write)).binds
        }
    }

    private func assembled(_ write: Write, as context: RequestContext, key: IdempotencyKey?, returning: Returning) -> SQL {
        let statement = statement(for: write, as: context, returning)
        let effects = references.effects(of: write, as: context)
        if let key { return keyed(statement, of: write, key, as: context, returning, beside: effects) }
        return effects.isEmpty
            ? statement.whole : SQL.joined([statement.written] + effects, separator: ", ") + " select * from written"
    }

    /// One statement that writes, or gives the record when the write changes nothing of it. What it gives is bounded.
    func writeOrRead(_ write: Write, as context: RequestContext) -> SQL {
        guard let reading = unchanged(by: write, as: context, returning: .bounded) else {
            return self.write(write, as: context, key: nil, returning: .bounded)
        }
        return statement(for: write, as: context, .bounded).written + " select * from written union all " + reading.result
    }

    /// The statement with the key's record of what it returns, and with what else it does.
    func keyed(
        _ statement: Statement, of write: Write, _ key: IdempotencyKey, as context: RequestContext, _ returning: Returning,
        beside effects: [SQL] = []
    ) -> SQL {
        var stored: String =
            switch (write, returning) {
            case (.delete, _): "'{}'::text[]"
            case (_, .whole): answer
            case (_, .bounded): boundedAnswer
            }
        if tellsReach(write, as: context) {
            stored = "case when is_in_reach then \(stored) else array['id,version', id::text, version::text] end"
        }
        return SQL.joined([statement.written] + effects, separator: ", ") + ", key as ("
            + key.columns(as: context, status: keyedStatus(of: write)) + " \(unescaped: stored) from written) select * from written"
    }

    private func keyedStatus(of write: Write) -> SQL {
        guard case .upsert = write else { return "\(write.status(isNew: false))::integer" }
        return
            "case when is_new then \(unescaped: String(write.status(isNew: true))) else \(unescaped: String(write.status(isNew: false))) end"
    }

    /// The record's columns; then whether one was left out, of a bounded one, and whether the caller reaches the record, where that is told.
    private func names(_ returning: Returning, of write: Write, as context: RequestContext) -> SQL {
        let names: SQL =
            switch returning {
            case .whole: "\(unescaped: columnNames)"
            case .bounded: "\(unescaped: boundedNames)"
            }
        guard tellsReach(write, as: context), let reach = definition.reach(of: context) else { return names }
        return names + ", (" + reach + ") as is_in_reach"
    }

    /// Whether the write may give the record to somebody whose records the caller does not see. What is given back then tells whether it has.
    func tellsReach(_ write: Write, as context: RequestContext) -> Bool {
        HandOver(write, of: definition, by: context)?.isPermitted == true
    }

    private func statement(for write: Write, as context: RequestContext, _ returning: Returning) -> Statement {
        let names = names(returning, of: write, as: context)
        switch write {
        case .create(let id, let changes, let instant):
            return Statement(
                result: insertion(id, changes, at: instant, as: context) + " returning " + names)
        case .update(let record, let changes, let precondition):
            return Statement(result: update(record, changes, precondition, as: context, returning: names))
        case .delete(let record, let precondition):
            return Statement(result: deletion(of: record, precondition, write, as: context) + " returning id")
        case .restore(let id, let precondition):
            return Statement(result: restoration(of: id, precondition, write, as: context) + " returning " + names)
        case .upsert(let upsert): return self.upsert(upsert, as: context, returning: names)
        }
    }

    /// What a merge makes of the survivor: the changes that were asked for, held to what a change is held to, and what it takes over. `nil` where
    /// that is nothing.
    func survival(of id: RecordID, _ changes: [Change], taking taken: [Change], as context: RequestContext, returning names: SQL) -> SQL? {
        let all = changes + taken
        guard !all.isEmpty else { return nil }
        return changed(all.map(assignment) + conditions.states.assignments(of: changes), by: context)
            + target(.id(id), "deleted_at is null", .none, context) + " and (" + difference(all) + ")"
            + held(.update(.id(id), changes, .none), as: context) + " returning " + names
    }

    /// Makes the records that are merged into another one leave; in the order of their ids, as all are locked.
    func leaving(_ ids: [RecordID], for survivor: RecordID, as context: RequestContext) -> SQL {
        changed(["deleted_at = now()", "merged_into_id = \(survivor)"], by: context)
            + " where tenant_id = \(context.tenant) and id = any(\(ids)::uuid[]) and deleted_at is null"
    }

    /// Brings one of them back.
    func comingBack(_ id: RecordID, from survivor: RecordID, as context: RequestContext) -> SQL {
        changed(["deleted_at = null", "merged_into_id = null"] + references.assignments(of: .restore(id: id, .none)), by: context)
            + " where tenant_id = \(context.tenant) and id = \(id) and merged_into_id = \(survivor) returning id"
    }

    /// - Parameter conditions: what must hold beside what any creation is held to.
    func insertion(
        _ id: RecordID, _ changes: [Change], at instant: Timestamp?, as context: RequestContext, where conditions: [SQL] = []
    ) -> SQL {
        let instants = self.conditions.states.instants(of: changes)
        let names =
            changes.map { ", \($0.field.name)" }.joined() + instants.map { ", \($0)" }.joined()
            + (instant == nil ? "" : ", created_at, updated_at")
        let conditions = conditions + self.conditions.of(.create(id: id, changes, at: instant), as: context)
        let source = conditions.isEmpty ? "values (" : "select "
        var sql: SQL =
            "\(unescaped: insertText)\(unescaped: names)) \(unescaped: source)\(context.tenant), \(id), \(context.user), \(context.user)"
        for change in changes {
            guard case .set(let value) = change.value else { continue }
            sql += ", " + change.field.type.placed(value)
        }
        for _ in instants { sql += instant.map { ", \($0)" } ?? ", now()" }
        if let instant { sql += ", \(instant), \(instant)" }
        return sql + (conditions.isEmpty ? ")" : " where " + SQL.joined(conditions, separator: " and "))
    }

    func update(
        _ record: RecordKey, _ changes: [Change], _ precondition: Precondition, as context: RequestContext, returning names: SQL
    ) -> SQL {
        let live: SQL = "deleted_at is null"
        if changes.isEmpty { return "select " + names + " from \(unescaped: table)" + target(record, live, precondition, context) }
        // What the record has already is no change: no version, no entry in the trail.
        return changed(changes.map(assignment) + conditions.states.assignments(of: changes), by: context)
            + target(record, live, precondition, context)
            + " and (" + difference(changes) + ")" + held(.update(record, changes, precondition), as: context)
            + " returning " + names
    }

    /// Deletes the record, up to what is returned.
    ///
    /// - Parameter write: the deletion, which says what it is held to.
    func deletion(of record: RecordKey, _ precondition: Precondition, _ write: Write, as context: RequestContext) -> SQL {
        changed(["deleted_at = now()"], by: context) + target(record, "deleted_at is null", precondition, context)
            + held(write, as: context)
    }

    /// Restores the record, up to what is returned.
    func restoration(of id: RecordID, _ precondition: Precondition, _ write: Write, as context: RequestContext) -> SQL {
        changed(["deleted_at = null"] + references.assignments(of: write), by: context)
            + target(.id(id), "deleted_at is not null\(unescaped: notMerged)", precondition, context) + held(write, as: context)
    }

    /// What the write is held to, as further conditions.
    private func held(_ write: Write, as context: RequestContext) -> SQL {
        let conditions = conditions.of(write, as: context)
        return conditions.isEmpty ? "" : " and " + SQL.joined(conditions, separator: " and ")
    }

    /// The change of rows, up to its conditions.
    func changed(_ assignments: [SQL], by context: RequestContext) -> SQL {
        "update \(unescaped: table) set version = version + 1, updated_at = now(), updated_by = \(context.user), "
            + SQL.joined(assignments, separator: ", ")
    }

    private func target(_ record: RecordKey, _ state: SQL, _ precondition: Precondition, _ context: RequestContext) -> SQL {
        var sql: SQL = " where " + key(record, context) + " and " + state + scope(of: context)
        if case .versions(let versions) = precondition { sql += " and version = any(\(versions))" }
        return sql
    }

    /// The condition that a row is the one, as far as its index knows.
    func key(_ record: RecordKey, _ context: RequestContext) -> SQL {
        switch record {
        case .id(let id): "tenant_id = \(context.tenant) and id = \(id)"
        case .external(let id): "tenant_id = \(context.tenant) and external_id = \(id)"
        }
    }

    /// Whether any of the changes changes something.
    func difference(_ changes: [Change]) -> SQL {
        SQL.joined(changes.map { "\(unescaped: $0.field.name) is distinct from \(newValue($0))" }, separator: " or ")
    }

    func assignment(_ change: Change) -> SQL { "\(unescaped: change.field.name) = " + newValue(change) }

    private func newValue(_ change: Change) -> SQL {
        let name = change.field.name
        switch change.value {
        case .set(let value): return change.field.type.placed(value)
        case .merge(let members):
            let merged: SQL = "jsonb_strip_nulls(coalesce(\(unescaped: name), '{}') || \(members)::jsonb)"
            return change.field.isNullable ? "nullif(" + merged + ", '{}')" : merged
        }
    }

    /// That a deleted record is not one that was merged into another.
    var notMerged: String { definition.isMergeable ? " and merged_into_id is null" : "" }

    /// Locks the rows in the order of their ids, and tells of each its id, version, whether it is deleted, and its external id.
    func lock(_ records: Set<RecordKey>, as context: RequestContext) -> SQL {
        var ids: [RecordID] = []
        var external: [String] = []
        for record in records {
            switch record {
            case .id(let id): ids.append(id)
            case .external(let id): external.append(id)
            }
        }
        var named: SQL = "id = any(\(ids.sorted())::uuid[])"
        if !external.isEmpty { named = "(" + named + " or external_id = any(\(external.sorted())::text[]) and deleted_at is null)" }
        return """
            select id, version, deleted_at is not null, external_id from \(unescaped: table) \
            where tenant_id = \(context.tenant) and \(named)\(scope(of: context)) order by id for no key update
            """
    }

    /// Tells why a write found no row: version, whether it is deleted, and whether it was merged into another, for a row that the caller may see.
    func state(of record: RecordKey, as context: RequestContext) -> SQL {
        let isMerged = definition.isMergeable ? "merged_into_id is not null" : "false"
        var sql: SQL =
            "select version, deleted_at is not null, \(unescaped: isMerged) from \(unescaped: table) where " + key(record, context)
        if case .external = record { sql += " and deleted_at is null" }
        return sql + scope(of: context)
    }
}

/// The texts of a plain creation, with and without a key, as they were assembled the first time: to put one together out of some forty
/// parts takes as long as to check a signed context.
private final class CreationTexts: Sendable {
    private let texts = Mutex<[Bool: String]>([:])

    func statement(keyed: Bool, _ assembled: () -> SQL, binds: () -> [SQLValue]) -> SQL {
        if let text = texts.withLock({ $0[keyed] }) { return SQL(unescaped: text, binds: binds()) }
        let sql = assembled()
        let binds = binds()
        precondition(sql.binds == binds, "the values of a creation stand in another order than in its text")
        texts.withLock { $0[keyed] = sql.text }
        return sql
    }
}
