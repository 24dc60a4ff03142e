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

    let definition: ResourceDefinition
    private let table: String

    init(_ definition: ResourceDefinition) {
        self.definition = definition
        table = definition.table
    }

    // MARK: Which way

    /// What the list's conditions come to: those that the index of its order serves, and the others.
    private struct Conditions {
        var served: [Filter] = []
        var others: [Filter] = []
    }

    private func conditions(of request: ListRequest, as context: RequestContext) -> Conditions {
        var conditions = Conditions()
        let sorted = request.sort.column
        for filter in request.filters(of: definition, as: context) {
            switch filter.index {
            case .range(sorted), .value(of: sorted, _): conditions.served.append(filter)
            default: conditions.others.append(filter)
            }
        }
        // Of the deleted records there are no such indexes. One index serves one value: of several the last in the declaration, where
        // owners are, who have fewer records than a status has.
        if sorted == "created_at", !request.isDeleted,
            let place = conditions.others.lastIndex(where: \.givesOrderOfCreation)
        {
            conditions.served.append(conditions.others.remove(at: place))
        }
        // The index of owners gives the order for each of several, who are asked one after the other.
        if sorted == "created_at", !request.isDeleted, conditions.others.count == 1, conditions.others[0].index == .owners {
            conditions.served.append(conditions.others.remove(at: 0))
        }
        return conditions
    }

    /// Whether an index serves all conditions in the list's order.
    func isInOrder(_ request: ListRequest, as context: RequestContext) -> Bool {
        conditions(of: request, as: context).others.isEmpty
    }

    /// Whether a condition on unique values finds all there is at once. Of deleted records any number may have had one value.
    func hasFew(_ request: ListRequest) -> Bool {
        !request.isDeleted && request.filters.contains { $0.index == .unique }
    }

    // MARK: Rows

    /// Selects the page's rows and one more, which tells whether another page follows; with a limit that is no step of
    /// ``steps``, some more. The columns of the selection come first, then the id and the value that the list is sorted by, then whether
    /// the row has values that are too large to be here: those are null, and ``boundedPage(_:_:as:)`` is to be asked.
    func page(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let query = selected(request, reading, as: context)
        return reading == .all ? planned(query, conditions(of: request, as: context).others) : query
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
        Projection(request.selection, expanding: request.expansions, in: definition.columns)
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
        let direction = request.sort.isDescending ? "desc" : "asc"
        let value = request.sort.key(of: "cursor_value")
        let query = BoundedPage.query(
            "\(names), cursor_id, cursor_value", from: rows, order: "\(value) \(direction), cursor_id \(direction)", limit: request.limit)
        return reading == .all ? planned(query, conditions(of: request, as: context).others) : query
    }

    /// How many of the rows that ``Reading/among(_:)`` looks at there are.
    func length(_ request: ListRequest, among maximum: Int, as context: RequestContext) -> SQL {
        let served = conditions(of: request, as: context).served
        return "select count(*) from (" + ordered(request, served, limit: maximum, as: context) + ") as walked"
    }

    private func rows(_ request: ListRequest, _ reading: Reading, as context: RequestContext) -> SQL {
        let conditions = conditions(of: request, as: context)
        let limit = Self.step(for: request.limit) + 1
        switch reading {
        case .inOrder: return ordered(request, conditions.served, limit: limit, as: context)
        case .among(let maximum):
            let tail: SQL = " \(unescaped: order(request.sort)) limit \(unescaped: String(limit))"
            return "select * from (" + ordered(request, conditions.served, limit: maximum, as: context) + ") as \(unescaped: table)"
                + Self.where(conditions.others.map(\.condition)) + tail
        case .all:
            let found = matches(conditions.served + conditions.others, base(request, as: context))
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
    private func ordered(_ request: ListRequest, _ filters: [Filter], limit: Int, as context: RequestContext) -> SQL {
        let sort = request.sort
        if let owners = filters.lazy.compactMap(\.owners).first {
            let conditions = base(request, as: context) + filters.filter { $0.owners == nil }.map(\.condition)
            let rest = request.cursor.flatMap { behind($0, sort) }.map { [$0] } ?? []
            return owners.rows(of: table, conditions + rest, order: order(sort), limit: limit)
        }
        let conditions = base(request, as: context) + filters.map(\.condition)
        let tail: SQL = " \(unescaped: order(sort)) limit \(unescaped: String(limit))"
        func range(_ condition: SQL?) -> SQL {
            "select * from \(unescaped: table)" + Self.where(conditions + (condition.map { [$0] } ?? [])) + tail
        }
        guard let cursor = request.cursor, let id = cursor.id else { return range(nil) }
        guard sort.isNullable else { return range(behind(cursor, sort)) }
        // Two ranges of the index, where one condition with `or` would read the whole list for each page: going up, the rows without
        // a value follow those with one, going down they come first.
        let column = sort.column
        let isNull: SQL = "\(unescaped: column) is null"
        let sign = sort.isDescending ? "<" : ">"
        let first: SQL
        let second: SQL
        switch (cursor.value, sort.isDescending) {
        case (nil, false): return range(isNull + " and id \(unescaped: sign) \(id)")
        case (_?, true): return range(behind(cursor, sort))
        case (nil, true):
            first = range(isNull + " and id \(unescaped: sign) \(id)")
            second = range("\(unescaped: column) is not null")
        case (let value?, false):
            first = range("(\(unescaped: sort.key), id) \(unescaped: sign) (\(value), \(id))")
            second = range(isNull)
        }
        return "select * from ((" + first + ") union all (" + second + ")) as \(unescaped: table)" + tail
    }

    /// The rows behind the cursor as one condition; `nil` for all rows.
    private func behind(_ cursor: Cursor, _ sort: SortOrder) -> SQL? {
        guard let id = cursor.id else { return nil }
        let sign = sort.isDescending ? "<" : ">"
        let column = sort.column
        let isNull: SQL = "\(unescaped: column) is null"
        let withoutValue = isNull + " and id \(unescaped: sign) \(id)"
        guard let value = cursor.value else {
            return sort.isDescending ? "(" + withoutValue + " or \(unescaped: column) is not null)" : withoutValue
        }
        let withValue: SQL = "(\(unescaped: sort.key), id) \(unescaped: sign) (\(value), \(id))"
        return sort.isNullable && !sort.isDescending ? "(" + withValue + " or " + isNull + ")" : withValue
    }

    /// All rows that the conditions and the filters hold for; those for words are looked up together, in their own index.
    private func matches(_ filters: [Filter], _ conditions: [SQL], columns: String = "*") -> SQL {
        let words = filters.compactMap(\.words)
        let others = Self.where(conditions + filters.filter { $0.words == nil }.map { $0.owners?.lookup ?? $0.condition })
        guard !words.isEmpty else { return "select \(unescaped: columns) from \(unescaped: table)" + others }
        // Apart from the other conditions (`offset 0`), or an index of one of them might be read, and each of its rows compared with every
        // place that was found.
        let places: SQL = "select \(unescaped: table)_search((select " + SQL.joined(words, separator: " && ") + "))"
        return "select \(unescaped: columns) from (select * from \(unescaped: table) where ctid = any(array(" + places
            + ")) offset 0) as \(unescaped: table)" + others
    }

    /// Only without words does it depend on the values how the rows are found best.
    private func planned(_ query: SQL, _ filters: [Filter]) -> SQL {
        filters.contains { $0.words != nil } ? query : query.plannedForItsValues
    }

    /// Counts the rows of the whole list, at most up to the bound.
    func count(_ request: ListRequest, as context: RequestContext, bound: Int?) -> SQL {
        let filters = request.filters(of: definition, as: context)
        let rows = matches(filters, base(request, as: context), columns: bound == nil ? "count(*)" : "")
        guard let bound else { return planned(rows, filters) }
        return planned("select count(*) from (" + rows + " limit \(unescaped: String(bound + 1))) as counted", filters)
    }

    private func base(_ request: ListRequest, as context: RequestContext) -> [SQL] {
        let tenant: SQL = "tenant_id = \(context.tenant)"
        return [tenant, request.isDeleted ? "deleted_at is not null" : "deleted_at is null"]
    }

    private func cursor(_ sort: SortOrder, of table: String? = nil) -> String {
        let prefix = table.map { "\($0)." } ?? ""
        return "\(prefix)id as cursor_id, \(prefix)\(sort.column) as cursor_value"
    }

    private func order(_ sort: SortOrder, of table: String? = nil) -> String {
        let direction = sort.isDescending ? "desc" : "asc"
        let prefix = table.map { "\($0)." } ?? ""
        return "order by \(sort.key(of: prefix + sort.column)) \(direction), \(prefix)id \(direction)"
    }

    private static func `where`(_ conditions: [SQL]) -> SQL {
        conditions.isEmpty ? "" : " where " + SQL.joined(conditions, separator: " and ")
    }
}

extension ListRequest {
    /// Every condition of the list, with whose rows it shows and what is searched for.
    func filters(of definition: ResourceDefinition, as context: RequestContext) -> [Filter] {
        var all = filters
        if let scope = definition.scope(of: context) { all.append(scope) }
        if let search { all.append(Filter(words: "search_query(\(context.tenant)::uuid, \(search))")) }
        if let number, isWithoutNumber, let field = definition.number {
            all.append(Filter("\(unescaped: field.name) <> \(number)", .values))
        }
        return all
    }

    /// The list of the one record with the number, under the other conditions.
    func ofNumber(in definition: ResourceDefinition) -> ListRequest? {
        guard let number, let field = definition.number else { return nil }
        var request = self
        request.search = nil
        request.cursor = nil
        request.filters.append(Filter("\(unescaped: field.name) = \(number)", .value(of: field.name, inOrderOfCreation: false)))
        return request
    }
}
