import Core
import Postgres

/// Builds the SQL of a resource's lists, in shapes whose plan does not depend on what the server believes about the values: its
/// statistics are those of all tenants, and a value that is common with one is rare with another.
///
/// Each list is read along the index of its order, and the filters that this index does not serve are applied on the way. That is
/// cheap where they hold often; where they hold seldom, their own indexes find the few rows, which are then sorted. Which it is shows
/// on the first some hundred rows (``ResourceStore/list(_:_:as:)``).
struct ListStatements: Sendable {
    /// How the rows of a page are found.
    enum Reading: Sendable, Hashable {
        /// In the list's order, through an index that serves every condition.
        case inOrder
        /// In the list's order among the next so many rows of it.
        case among(Int)
        /// All that the conditions hold for, sorted: looked up by words and exact values of texts where there are any, or else by the index
        /// that is best for the values.
        case all
    }

    private let view: ResourceView
    private let table: String

    init(_ view: ResourceView) {
        self.view = view
        table = view.definition.table
    }

    // MARK: Which way

    /// What the list's conditions come to: those that the index of its order serves, and the others.
    private struct Conditions {
        var served: [Condition] = []
        var others: [Condition] = []
    }

    private func conditions(of request: ListRequest, as context: RequestContext) -> Conditions {
        var conditions = Conditions()
        let sorted = request.sort.column
        for condition in request.conditions(of: view, as: context) {
            switch condition.index {
            case .range(sorted), .value(of: sorted, _): conditions.served.append(condition)
            default: conditions.others.append(condition)
            }
        }
        // Of the deleted records there are no such indexes. One index serves one value: of several the last in the declaration, where
        // owners are, who have fewer records than a status has.
        if sorted == "created_at", request.deleted == nil,
            let place = conditions.others.lastIndex(where: \.givesOrderOfCreation)
        {
            conditions.served.append(conditions.others.remove(at: place))
        }
        // The index of owners gives the order for each of several, who are asked one after the other; it knows nothing of another value.
        if sorted == "created_at", request.deleted == nil, conditions.others.count == 1, conditions.others[0].index == .owners,
            !conditions.served.contains(where: \.givesOrderOfCreation)
        {
            conditions.served.append(conditions.others.remove(at: 0))
        }
        return conditions
    }

    /// Whether the records are named by their keys, so that they are looked up at once.
    func isKeyed(_ request: ListRequest) -> Bool {
        request.conditions.contains { $0.index == .key || $0.index == .few }
    }

    /// Whether an index serves all conditions in the list's order.
    func isInOrder(_ request: ListRequest, as context: RequestContext) -> Bool {
        conditions(of: request, as: context).others.isEmpty
    }

    // MARK: Rows

    /// Selects the page's rows and one more, which tells whether another page follows; with a limit that is no step of
    /// ``steps``, some more. The columns of the selection come first, then the id and the value that the list is sorted by, then whether
    /// the row has values that are too large to be here: those are null, and ``boundedPage(_:_:as:)`` is to be asked.
    func page(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let query = selected(request, reading, as: context)
        return reading == .all ? planned(query, request.conditions(of: view, as: context)) : query
    }

    private func selected(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let rows = rows(request, reading, as: context)
        if !request.expansions.isEmpty { return expanded(request, from: rows, as: context) }
        let wide = request.selection.filter(\.isWide)
        let order = order(request.sort, of: table)
        guard !wide.isEmpty else {
            let names = request.selection.map(\.name).joined(separator: ", ")
            return "select \(unescaped: names), \(unescaped: cursor(request.sort)), false as is_large from (" + rows
                + ") as \(unescaped: table) \(unescaped: order)"
        }
        // The text of each wide column is made once, and measured and answered from there: `offset 0` keeps the parts apart.
        let names = request.selection.map { column in
            column.isWide ? "case when not is_large then wide.\(column.name) end as \(column.name)" : "\(table).\(column.name)"
        }
        let texts = wide.map { "\(table).\($0.name)::text as \($0.name)" }.joined(separator: ", ")
        let size = wide.map { "octet_length(text.\($0.name)) > \(ResourceStatements.largeValue)" }.joined(separator: " or ")
        return "select \(unescaped: names.joined(separator: ", ")), \(unescaped: cursor(request.sort, of: table)), is_large from (" + rows
            + """
            ) as \(unescaped: table) cross join lateral (select text.*, coalesce(\(unescaped: size), false) as is_large \
            from (select \(unescaped: texts) offset 0) as text offset 0) as wide \(unescaped: order)
            """
    }

    /// The same with what is expanded, whose large values count too.
    private func expanded(_ request: ListRequest, from rows: SQL, as context: RequestContext) -> SQL {
        let projection = projection(request)
        let cells = projection.cells(of: table)
        let joined = " from (" + rows + ") as \(unescaped: table)" + projection.joins(to: table, as: context)
        let end: SQL = " \(unescaped: order(request.sort, of: table))"
        let wide = cells.filter(\.isWide)
        guard !wide.isEmpty else {
            let names = cells.map { "\($0.source) as \($0.name)" }.joined(separator: ", ")
            return "select \(unescaped: names), \(unescaped: cursor(request.sort, of: table)), false as is_large" + joined + end
        }
        let names = cells.map { cell in
            cell.isWide ? "case when not is_large then wide.\(cell.name) end as \(cell.name)" : "\(cell.source) as \(cell.name)"
        }
        let texts = wide.map { "\($0.source)::text as \($0.name)" }.joined(separator: ", ")
        let size = wide.map { "octet_length(text.\($0.name)) > \(ResourceStatements.largeValue)" }.joined(separator: " or ")
        return "select \(unescaped: names.joined(separator: ", ")), \(unescaped: cursor(request.sort, of: table)), is_large" + joined
            + """
             cross join lateral (select text.*, coalesce(\(unescaped: size), false) as is_large \
            from (select \(unescaped: texts) offset 0) as text offset 0) as wide
            """ + end
    }

    private func projection(_ request: ListRequest) -> Projection {
        Projection(request.selection, expanding: request.expansions, in: view.shown.columns)
    }

    /// As ``page(_:_:as:)``, but whole rows, as many as ``BoundedPage`` has room for; the last column tells whether another follows. It
    /// measures whole rows, which costs the server more, so pages of ordinary rows do without it.
    func boundedPage(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let projection = projection(request)
        let cells = projection.cells(of: table)
        let names = cells.map(\.name).joined(separator: ", ")
        let sources = cells.map { "\($0.source) as \($0.name)" }.joined(separator: ", ")
        let rows: SQL =
            "select \(unescaped: sources), \(unescaped: cursor(request.sort, of: table)) from (\(rows(request, reading, as: context))) as \(unescaped: table)"
            + projection.joins(to: table, as: context)
        let query = BoundedPage.query(
            "\(names), cursor_id, cursor_value", from: rows, order: cursorOrder(request.sort), limit: request.limit)
        return reading == .all ? planned(query, request.conditions(of: view, as: context)) : query
    }

    /// As ``page(_:_:as:)`` among so many rows, with a last column that tells how many there were to be looked at: if fewer, the list has ended
    /// by then. One statement, so that both are true of one moment. Where no row is found it gives one of nulls.
    func walk(_ request: ListRequest, among maximum: Int, as context: RequestContext) -> SQL {
        let served = conditions(of: request, as: context).served
        let walked = ordered(request, served, limit: maximum, as: context)
        return "select found.*, walked.length from (select count(*) as length from (" + walked + ") as walked) as walked left join ("
            + page(request, .among(maximum), as: context) + ") as found on true order by \(unescaped: cursorOrder(request.sort))"
    }

    private func rows(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let conditions = conditions(of: request, as: context)
        let limit = Self.step(for: request.limit) + 1
        switch reading {
        case .inOrder: return ordered(request, conditions.served, limit: limit, as: context)
        case .among(let maximum):
            let tail: SQL = " \(unescaped: order(request.sort)) limit \(unescaped: String(limit))"
            return "select * from (" + ordered(request, conditions.served, limit: maximum, as: context) + ") as \(unescaped: table)"
                + Self.where(conditions.others.map(\.sql)) + tail
        case .all:
            let found = matches(request, as: context)
            let rest = request.cursor.flatMap { behind($0, request.sort) }.map { Self.where([$0]) } ?? ""
            return "select * from (" + found + " offset 0) as \(unescaped: table)" + rest
                + " \(unescaped: order(request.sort)) limit \(unescaped: String(limit))"
        }
    }

    /// The numbers of rows that statements are made for: each is a statement that the server keeps a plan of, and a bound number would
    /// be unknown to the plan, which then is made anew for each list (85 µs of the 240 that a list of 50 took).
    static let steps = [10, 25, 50, 100, 200]

    static func step(for limit: Int) -> Int { steps.first { $0 >= limit } ?? limit }

    /// Rows in the list's order, behind its cursor.
    private func ordered(_ request: ListRequest, _ served: [Condition], limit: Int, as context: RequestContext) -> SQL {
        if let owners = served.lazy.compactMap(\.owners).first {
            let conditions = tenant(context) + states(request) + served.filter { $0.owners == nil }.map(\.sql)
            let rest = request.cursor.flatMap { behind($0, request.sort) }.map { [$0] } ?? []
            return owners.rows(of: table, conditions + rest, isDescending: request.sort.isDescending, limit: limit)
        }
        // In the order of an index whose leading column is null in all rows, which the server has to be told.
        let order = order(request.sort, behind: served.lazy.compactMap(\.nullColumn).first)
        let tail: SQL = " \(unescaped: order) limit \(unescaped: String(limit))"
        let conditions = tenant(context) + served.filter(\.parts.isEmpty).map(\.sql)
        // At most one of them has parts: it gives the order.
        let parts = served.flatMap(\.parts).map { [$0] }
        let ranges = states(request).flatMap { state in
            self.ranges(behind: request.cursor, request.sort).flatMap { range in
                (parts.isEmpty ? [[]] : parts).map { part in
                    "select * from \(unescaped: table)" + Self.where(conditions + [state] + part + range) + tail
                }
            }
        }
        guard ranges.count > 1 else { return ranges[0] }
        return "select * from ((" + SQL.joined(ranges, separator: ") union all (") + ")) as \(unescaped: table)" + tail
    }

    /// The rows behind the cursor as ranges of the index of the order, each a condition or two; a range without any is the whole index.
    private func ranges(behind cursor: Cursor?, _ sort: SortOrder) -> [[SQL]] {
        guard let cursor, let id = cursor.id else { return [[]] }
        // Two ranges of the index, where one condition with `or` would read the whole list for each page: going up, the rows without
        // a value follow those with one, going down they come first.
        let isNull: SQL = "\(unescaped: sort.column) is null"
        let sign = sort.isDescending ? "<" : ">"
        guard let value = cursor.value else {
            let first = isNull + " and id \(unescaped: sign) \(id)"
            return sort.isDescending ? [[first], ["\(unescaped: sort.column) is not null"]] : [[first]]
        }
        let first: SQL = "(\(unescaped: sort.key), id) \(unescaped: sign) (\(value), \(id))"
        return sort.isNullable && !sort.isDescending ? [[first], [isNull]] : [[first]]
    }

    /// The rows behind the cursor as one condition; `nil` for all rows.
    private func behind(_ cursor: Cursor, _ sort: SortOrder) -> SQL? {
        let ranges = ranges(behind: cursor, sort).filter { !$0.isEmpty }.map { SQL.joined($0, separator: " and ") }
        return ranges.isEmpty ? nil : "(" + SQL.joined(ranges, separator: " or ") + ")"
    }

    /// All rows that the list's conditions hold for.
    private func matches(_ request: ListRequest, as context: RequestContext, columns: String = "*") -> SQL {
        let all = request.conditions(of: view, as: context)
        let words = lookedUp(all)
        let states = states(request)
        guard !words.isEmpty else {
            // An index has either the live records or the deleted ones.
            let rows = states.map { state in
                "select \(unescaped: columns) from \(unescaped: table)"
                    + Self.where(tenant(context) + [state] + all.map { $0.found(isLive: request.deleted == nil) })
            }
            return SQL.joined(rows, separator: " union all ")
        }
        let isRest = words.allSatisfy(\.isRest)
        let others = all.filter { $0.words == nil || $0.isRest != isRest }.map { $0.found(isLive: request.deleted == nil) }
        // Apart from the other conditions (`offset 0`), or an index of one of them might be read, and each of its rows compared with every
        // place that was found.
        let query = SQL.joined(words.compactMap(\.words), separator: " && ")
        let places: SQL = "select \(unescaped: table)_search((select " + query + "))"
        return "select \(unescaped: columns) from (select * from \(unescaped: table) where ctid = any(array(" + places
            + ")) offset 0) as \(unescaped: table)" + Self.where(tenant(context) + (states.count == 1 ? states : notMerged) + others)
    }

    /// The conditions by which rows are looked up together in the index on `search`. What holds for nearly all rows leads to them only where
    /// there is nothing else.
    private func lookedUp(_ conditions: [Condition]) -> [Condition] {
        if conditions.contains(where: { $0.index == .key || $0.index == .few }) { return [] }
        let found = conditions.filter { $0.words != nil && !$0.isRest }
        return found.isEmpty && conditions.allSatisfy(\.isRest) ? conditions.filter { $0.words != nil } : found
    }

    /// Only without words does it depend on the values how the rows are found best.
    private func planned(_ query: SQL, _ conditions: [Condition]) -> SQL {
        lookedUp(conditions).isEmpty ? query.plannedForItsValues : query
    }

    /// Counts the rows of the whole list, at most up to the bound.
    func count(_ request: ListRequest, as context: RequestContext, bound: Int?) -> SQL {
        let conditions = request.conditions(of: view, as: context)
        let isWhole = bound == nil && states(request).count == 1
        let rows = matches(request, as: context, columns: isWhole ? "count(*)" : "")
        if isWhole { return planned(rows, conditions) }
        let limit: SQL = bound.map { " limit \(unescaped: String($0 + 1))" } ?? ""
        return planned("select count(*) from (" + rows + limit + ") as counted", conditions)
    }

    private func tenant(_ context: RequestContext) -> [SQL] { ["tenant_id = \(context.tenant)"] }

    /// The records that the list shows, as a condition for each part of the table that has indexes of its own.
    private func states(_ request: ListRequest) -> [SQL] {
        let deleted = SQL.joined(["deleted_at is not null"] + notMerged, separator: " and ")
        return switch request.deleted {
        case nil: ["deleted_at is null"]
        case .only: [deleted]
        case .include: ["deleted_at is null", deleted]
        }
    }

    /// What was merged into another record is gone from all lists.
    private var notMerged: [SQL] { view.definition.isMergeable ? ["merged_into_id is null"] : [] }

    private func cursor(_ sort: SortOrder, of table: String? = nil) -> String {
        let prefix = table.map { "\($0)." } ?? ""
        return "\(prefix)id as cursor_id, \(prefix)\(sort.column) as cursor_value"
    }

    private func cursorOrder(_ sort: SortOrder) -> String {
        let direction = sort.isDescending ? "desc" : "asc"
        return "\(sort.key(of: "cursor_value")) \(direction), cursor_id \(direction)"
    }

    private func order(_ sort: SortOrder, of table: String? = nil, behind column: String? = nil) -> String {
        let direction = sort.isDescending ? "desc" : "asc"
        let prefix = table.map { "\($0)." } ?? ""
        let first = column.map { "\($0) \(direction), " } ?? ""
        return "order by \(first)\(sort.key(of: prefix + sort.column)) \(direction), \(prefix)id \(direction)"
    }

    private static func `where`(_ conditions: [SQL]) -> SQL {
        conditions.isEmpty ? "" : " where " + SQL.joined(conditions, separator: " and ")
    }
}

extension ListRequest {
    /// Every condition of the list, with whose rows it shows and what is searched for.
    func conditions(of view: ResourceView, as context: RequestContext) -> [Condition] {
        var all = conditions
        if let scope = view.definition.scope(of: context) { all.append(scope) }
        if let search {
            all.append(Condition(words: "search_query(\(context.tenant)::uuid, \(search))"))
        }
        if let number, isWithoutNumber, let field = view.shown.number {
            all.append(Condition("\(unescaped: field.name) <> \(number)", .values))
        }
        return all
    }

    /// The list of the one record with the number, under the other conditions.
    func ofNumber(in definition: ResourceDefinition) -> ListRequest? {
        guard let number, let field = definition.number else { return nil }
        var request = self
        request.search = nil
        request.cursor = nil
        request.conditions.append(Condition("\(unescaped: field.name) = \(number)", .value(of: field.name, inOrderOfCreation: false)))
        return request
    }
}
