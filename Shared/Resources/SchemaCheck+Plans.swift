import Core
import Postgres

extension SchemaCheck {
    /// Asks the server how it would read each list: every order, every filter, and every filter in every order, of live and of
    /// deleted records.
    ///
    /// A list must be walked along the index of its order without sorting, and what a filter finds must come from an index that knows
    /// the filter. Plans that stay are asked for as they are made for all values; so the answer depends on what the table holds: fill it
    /// first, with tenants of very unlike size.
    /// - Parameter values: for each filterable field a value.
    /// - Returns: What does not hold, a sentence and the plan each.
    /// - Throws: ``PostgresError``.
    public static func planFaults(
        of definition: ResourceDefinition, values: [String: String], on postgres: PostgresClient, as context: RequestContext
    ) async throws -> [String] {
        var check = PlanCheck(definition: definition)
        for order in definition.sortable {
            for isDescending in [false, true] {
                for isDeleted in [false, true] {
                    var request = ListRequest(sort: order, selection: definition.columns)
                    request.sort.isDescending = isDescending
                    request.isDeleted = isDeleted
                    check.add(request, named: "no filter", as: context)
                    for (name, filter) in try filters(of: definition, values, as: context) {
                        request.filters = [filter]
                        check.add(request, named: name, as: context)
                    }
                }
            }
        }
        for item in check.items {
            let text = item.statement.text
            let literals = item.statement.binds.map { bind -> String in
                guard case .text(let value) = bind else { return "null" }
                return "'\(value.replacing("'", with: "''"))'"
            }
            let plan = try await postgres.transaction(as: context) { transaction in
                let results = try await transaction.batch([
                    item.statement.isPlannedForItsValues
                        ? "set local plan_cache_mode = force_custom_plan" : "set local plan_cache_mode = force_generic_plan",
                    SQL(unescaped: "prepare checked as \(text)"),
                    SQL(unescaped: "explain (costs off) execute checked(\(literals.joined(separator: ", ")))"), "deallocate checked",
                ])
                return try results[2].map { try $0.decode(0, as: String.self) }
            }
            check.judge(plan, of: item)
        }
        return check.faults
    }

    private static func filters(
        of definition: ResourceDefinition, _ values: [String: String], as context: RequestContext
    ) throws -> [(String, Filter)] {
        var filters: [(String, Filter)] = []
        for field in definition.fields {
            let name = field.parameter
            switch field.kind {
            case .custom:
                filters.append(("custom", Filter(exactly: "custom.any", ["any".sqlValue], of: context.tenant)))
                continue
            case .tags: break
            default: guard field.traits.contains(.filterable) else { continue }
            }
            let value = try field.type.scalar(text: values[field.name] ?? "any")
            filters.append((name, definition.filter(field, [value], of: context.tenant)))
            if !field.type.isText {
                filters.append(
                    ("\(name) of several", definition.filter(field, [value, try other(than: value, of: field)], of: context.tenant)))
            }
        }
        filters.append(("q", Filter(words: "search_query(\(context.tenant)::uuid, \("any"))")))
        return filters
    }

    /// Two values that are the same would count twice in what the server expects.
    private static func other(than value: SQLValue, of field: Field) throws -> SQLValue {
        switch field.kind {
        case .enumeration(let values, _): try values.map { try field.type.scalar(text: $0) }.last { $0 != value } ?? value
        case .integer(let range): range.upperBound.sqlValue
        case .amount: FieldKind.maximumAmount.sqlValue
        // Both of them are no filter.
        case .boolean: value
        default: RecordID().sqlValue
        }
    }
}

/// The statements that lists come to, and what is wrong with their plans.
private struct PlanCheck {
    struct Item {
        var name: String
        var statement: SQL
        /// An index must give the order.
        var isInOrder: Bool
        /// An index must know this filter; the words' has no name of a column.
        var column: String?
    }

    let definition: ResourceDefinition
    let lists: ListStatements
    var items: [Item] = []
    var faults: [String] = []
    private var seen: Set<String> = []

    init(definition: ResourceDefinition) {
        self.definition = definition
        lists = ListStatements(definition)
    }

    mutating func add(_ request: ListRequest, named filter: String, as context: RequestContext) {
        let name = "\(filter), sort=\(request.sort.isDescending ? "-" : "")\(request.sort.column)\(request.isDeleted ? ", deleted" : "")"
        guard !lists.isInOrder(request, as: context) else { return append(name, request, .inOrder, as: context) }
        append(name, request, .among(400), as: context)
        append(name, request, .all, as: context)
    }

    private mutating func append(_ name: String, _ request: ListRequest, _ reading: ListStatements.Reading, as context: RequestContext) {
        let statement = lists.page(request, reading, as: context)
        // A walk is the same with every filter but for the filter itself.
        guard seen.insert(statement.text).inserted else { return }
        var column: String?
        if reading == .all || reading == .inOrder, let filter = request.filters.first, filter.words == nil {
            column = definition.fields.first { filter.condition.text.contains($0.name) }?.name
        }
        items.append(Item(name: "\(name) (\(reading))", statement: statement, isInOrder: reading != .all, column: column))
    }

    mutating func judge(_ plan: [String], of item: Item) {
        let text = plan.joined(separator: "\n")
        func fault(_ sentence: String) { faults.append("\(definition.name), \(item.name): \(sentence)\n\(text)") }
        if text.contains("Seq Scan on \(definition.table)") { return fault("reads the whole table") }
        // Above the limit it is a page that is sorted, where the sorted column has one value only.
        let rows = plan.drop { !$0.contains("Limit") }
        if item.isInOrder, rows.contains(where: { $0.contains("Sort") }) { fault("sorts, so no index gives the order") }
        if let column = item.column {
            // Of deleted records there are few, and the index of their order finds them.
            if !item.name.contains("deleted"), !plan.contains(where: { $0.contains("Index Cond") && $0.contains(column) }) {
                fault("no index knows the filter")
            }
        } else if !item.isInOrder, !text.contains("TID Cond: (ctid = ANY") {
            fault("the words are not looked for in their index")
        }
    }
}
