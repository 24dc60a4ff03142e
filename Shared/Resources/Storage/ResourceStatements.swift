import Core
import Postgres

/// A write of one record, checked and ready to become SQL.
enum Write: Sendable {
    case create(id: RecordID, [Change])
    /// Without changes it reads the record, under the same conditions.
    case update(id: RecordID, [Change], Precondition)
    case delete(id: RecordID, Precondition)
    case restore(id: RecordID, Precondition)

    var id: RecordID {
        switch self {
        case .create(let id, _), .update(let id, _, _), .delete(let id, _), .restore(let id, _): id
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

    var precondition: Precondition {
        switch self {
        case .create: .none
        case .update(_, _, let precondition), .delete(_, let precondition), .restore(_, let precondition): precondition
        }
    }
}

/// Builds the SQL of a resource. The parts are made once; the text for one shape of request is the same each time, so that the
/// server plans it once for each connection.
struct ResourceStatements: Sendable {
    let definition: ResourceDefinition
    private let table: String
    private let columnNames: String
    /// The columns as an array of text, headed by their names: an answer is rendered again as it was, even after a release
    /// that has added a field.
    private let answer: String
    private let findText: String
    private let insertText: String

    init(_ definition: ResourceDefinition) {
        self.definition = definition
        let names = definition.columns.map(\.name)
        table = definition.table
        columnNames = names.joined(separator: ", ")
        answer = "array['\(names.joined(separator: ","))', \(names.map { "\($0)::text" }.joined(separator: ", "))]"
        findText = "select \(columnNames) from \(table) where tenant_id = $1 and id = $2 and deleted_at is null"
        insertText = "insert into \(table) (tenant_id, id, created_by, updated_by"
    }

    // MARK: Reading

    func find(_ id: RecordID, as context: RequestContext) -> SQL {
        let sql = SQL(unescaped: findText, binds: [context.tenant.sqlValue, id.sqlValue])
        // The most frequent statement of all is taken as it is.
        return context.scopes[definition.permissions] == .all ? sql : sql + scope(of: context)
    }

    /// Selects the page's rows and one more, which tells whether another page follows. The columns of the selection come first,
    /// then the id and the value that the list is sorted by, then whether the row has values that are too large to be here: those
    /// are null, and ``boundedPage(_:as:)`` is to be asked.
    func page(_ request: ListRequest, as context: RequestContext) -> SQL {
        let tests = request.selection.filter(\.isWide).map { "octet_length(\($0.name)::text) > \(Self.largeValue)" }
        let isLarge = tests.isEmpty ? "false" : "coalesce(\(tests.joined(separator: " or ")), false)"
        let names = request.selection.map { column in
            guard column.isWide else { return column.name }
            return "case when octet_length(\(column.name)::text) <= \(Self.largeValue) then \(column.name) end as \(column.name)"
        }
        return page(of: "\(names.joined(separator: ", ")), \(cursorColumns(request.sort)), \(isLarge) as is_large", request, as: context)
    }

    /// Bytes of a value that a page has without asking for the row's size first.
    private static let largeValue = 2048

    /// As ``page(_:as:)``, but whole rows, as many as ``BoundedPage`` has room for; the last column tells whether another follows. It
    /// measures whole rows, which costs the server more, so pages of ordinary rows do without it.
    func boundedPage(_ request: ListRequest, as context: RequestContext) -> SQL {
        let names = request.selection.map(\.name).joined(separator: ", ")
        let direction = request.sort.isDescending ? "desc" : "asc"
        return BoundedPage.query(
            "\(names), cursor_id, cursor_value", from: page(of: "\(names), \(cursorColumns(request.sort))", request, as: context),
            order: "cursor_value \(direction), cursor_id \(direction)", limit: request.limit)
    }

    private func cursorColumns(_ sort: SortOrder) -> String { "id as cursor_id, \(sort.column) as cursor_value" }

    private func page(of selected: String, _ request: ListRequest, as context: RequestContext) -> SQL {
        let sort = request.sort
        let select: SQL = "select \(unescaped: selected) from \(unescaped: table)"
        let direction = sort.isDescending ? "desc" : "asc"
        // A number in the text, as a bound limit is unknown to the plan that Postgres would keep, so it planned each list anew:
        // 85 µs of the 240 that a list of 50 took.
        let order: SQL =
            " order by \(unescaped: sort.column) \(unescaped: direction), id \(unescaped: direction) limit \(unescaped: String(request.limit + 1))"
        let conditions = conditions(of: request, as: context)
        guard let cursor = request.cursor else { return select + conditions + order }

        let sign = sort.isDescending ? "<" : ">"
        let column = sort.column
        let withoutValue: SQL = " and \(unescaped: column) is null"
        guard let value = cursor.value else {
            let rest: SQL = " and id \(unescaped: sign) \(cursor.id)"
            let nulls = select + conditions + withoutValue + rest + order
            // Going down, the rows with a value follow those without.
            return sort.isDescending
                ? union(nulls, select + conditions + " and \(unescaped: column) is not null" + order, order: sort, limit: request.limit)
                : nulls
        }
        let behind: SQL = " and (\(unescaped: column), id) \(unescaped: sign) (\(value), \(cursor.id))"
        let values = select + conditions + behind + order
        // Going up, the rows without a value follow those with one. Two ranges of the index, where one condition with `or` would
        // read the whole list for each page.
        guard sort.isNullable, !sort.isDescending else { return values }
        return union(values, select + conditions + withoutValue + order, order: sort, limit: request.limit)
    }

    private func union(_ first: SQL, _ second: SQL, order: SortOrder, limit: Int) -> SQL {
        let direction = order.isDescending ? "desc" : "asc"
        let tail: SQL =
            ") order by cursor_value \(unescaped: direction), cursor_id \(unescaped: direction) limit \(unescaped: String(limit + 1))"
        return "(" + first + ") union all (" + second + tail
    }

    /// Counts the rows of the whole list, at most up to the bound.
    func count(_ request: ListRequest, as context: RequestContext, bound: Int?) -> SQL {
        let conditions = conditions(of: request, as: context)
        guard let bound else { return "select count(*) from \(unescaped: table)" + conditions }
        return "select count(*) from (select from \(unescaped: table)" + conditions + " limit \(bound + 1)) as counted"
    }

    private func conditions(of request: ListRequest, as context: RequestContext) -> SQL {
        var sql: SQL = " where tenant_id = \(context.tenant) and deleted_at is \(unescaped: request.isDeleted ? "not null" : "null")"
        sql += scope(of: context)
        for filter in request.filters { sql += " and " + filter }
        if let search = request.search { sql += " and id in (select \(unescaped: table)_search(\(search)))" }
        return sql
    }

    /// Whose rows: the one place where the row scope becomes SQL. There are no teams yet, so `team` is `own`.
    private func scope(of context: RequestContext) -> SQL {
        switch context.scopes[definition.permissions] {
        case .all: ""
        case .own, .team: " and \(unescaped: definition.owner) = \(context.user)"
        case .none: " and false"
        }
    }

    // MARK: Writing

    /// One statement for the write and, with a key, its record: both happen or none.
    func write(_ write: Write, as context: RequestContext, key: Idempotency?) -> SQL {
        let isRemoval = if case .delete = write { true } else { false }
        let returned = isRemoval ? "id" : columnNames
        let statement = statement(for: write, as: context, returning: returned)
        guard let key else { return statement }
        let stored = isRemoval ? " '{}'::text[]" : " \(answer)"
        return "with written as (" + statement + "), key as (" + key.columns(as: context, status: write.status)
            + "\(unescaped: stored) from written) select \(unescaped: returned) from written"
    }

    private func statement(for write: Write, as context: RequestContext, returning: String) -> SQL {
        switch write {
        case .create(let id, let changes):
            let names = changes.map { ", \($0.field.name)" }.joined()
            var sql: SQL = "\(unescaped: insertText)\(unescaped: names)) values (\(context.tenant), \(id), \(context.user), \(context.user)"
            for change in changes {
                guard case .set(let value) = change.value else { continue }
                sql += ", \(value)"
            }
            return sql + ") returning \(unescaped: returning)"
        case .update(let id, let changes, let precondition):
            let live: SQL = "deleted_at is null"
            if changes.isEmpty {
                return "select \(unescaped: returning) from \(unescaped: table)" + target(id, live, precondition, context)
            }
            return changed(changes.map(assignment), by: context) + target(id, live, precondition, context)
                + " returning \(unescaped: returning)"
        case .delete(let id, let precondition):
            return changed(["deleted_at = now()"], by: context) + target(id, "deleted_at is null", precondition, context)
                + " returning \(unescaped: returning)"
        case .restore(let id, let precondition):
            return changed(["deleted_at = null"], by: context) + target(id, "deleted_at is not null", precondition, context)
                + " returning \(unescaped: returning)"
        }
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

    private func assignment(_ change: Change) -> SQL {
        let name = change.field.name
        switch change.value {
        case .set(let value): return "\(unescaped: name) = \(value)"
        case .merge(let members):
            let merged: SQL = "jsonb_strip_nulls(coalesce(\(unescaped: name), '{}') || \(members)::jsonb)"
            return change.field.isNullable
                ? "\(unescaped: name) = nullif(" + merged + ", '{}')" : "\(unescaped: name) = " + merged
        }
    }

    /// Tells why a write found no row: version and whether it is deleted, for a row that the caller may see.
    func state(of id: RecordID, as context: RequestContext) -> SQL {
        "select version, deleted_at is not null from \(unescaped: table) where tenant_id = \(context.tenant) and id = \(id)"
            + scope(of: context)
    }
}
