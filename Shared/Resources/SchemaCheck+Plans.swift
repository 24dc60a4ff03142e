import Core
import Postgres

extension SchemaCheck {
    /// Asks the server how it would read each list: every order, every filter with each of its operators, and each of these in every
    /// order, of live records, of deleted ones and of both.
    ///
    /// A list must be walked along the index of its order without sorting, and what a filter finds must come from an index that knows
    /// the filter. Plans that stay are asked for as they are made for all values; so the answer depends on what the table holds: fill it
    /// first, with tenants of very unlike size.
    /// - Parameter values: for each filterable field a value, by the field's name, or for one operator, by the parameter's. A filter that
    ///   holds for most records as a rule, such as `status[not]`, must be known to an index if it has a value of its own, with which it holds
    ///   for few.
    /// - Returns: What does not hold, a sentence and the plan each.
    /// - Throws: ``PostgresError``.
    public static func planFaults(
        of definition: ResourceDefinition, values: [String: String], on postgres: PostgresClient, as context: RequestContext
    ) async throws -> [String] {
        var check = PlanCheck(definition: definition)
        let filters = try filters(of: definition, values, as: context)
        for order in definition.sortable {
            // Of deleted records one direction will do: what they have beside live ones is an index of each order.
            for (deleted, isDescending) in [(nil, false), (nil, true), (.only, false), (.include, true)] as [(ListRequest.Deleted?, Bool)] {
                var request = ListRequest(sort: order, selection: definition.columns)
                request.sort.isDescending = isDescending
                request.deleted = deleted
                check.add(request, as: context)
                for filter in filters {
                    request.conditions = [filter.condition]
                    check.add(request, filter, as: context)
                }
            }
        }
        for start in stride(from: 0, to: check.items.count, by: 50) {
            let items = check.items[start..<min(start + 50, check.items.count)]
            let plans = try await postgres.transaction(as: context) { transaction in
                try await transaction.batch(items.flatMap(explain))
            }
            for (index, item) in items.enumerated() {
                check.judge(try plans[4 * index + 2].map { try $0.decode(0, as: String.self) }, of: item)
            }
        }
        return check.faults
    }

    /// The third of the statements gives the plan.
    private static func explain(_ item: PlanCheck.Item) -> [SQL] {
        let literals = item.statement.binds.map { bind -> String in
            guard case .text(let value) = bind else { return "null" }
            return "'\(value.replacing("'", with: "''"))'"
        }
        return [
            item.statement.isPlannedForItsValues
                ? "set local plan_cache_mode = force_custom_plan" : "set local plan_cache_mode = force_generic_plan",
            SQL(unescaped: "prepare checked as \(item.statement.text)"),
            SQL(unescaped: "explain (costs off) execute checked(\(literals.joined(separator: ", ")))"), "deallocate checked",
        ]
    }

    fileprivate struct CheckedFilter {
        /// The parameter.
        var name: String
        /// What its index knows; `nil` for words.
        var column: String?
        /// It holds for nearly all records, which no index makes shorter.
        var isUsual = false
        var condition: Condition
    }

    /// Each filter with each of its operators, by one value and by several.
    private static func filters(
        of definition: ResourceDefinition, _ values: [String: String], as context: RequestContext
    ) throws -> [CheckedFilter] {
        let compiler = FilterCompiler(definition)
        var filters =
            definition.isSearchable
            ? [CheckedFilter(name: "q", condition: Condition(words: "search_query(\(context.tenant)::uuid, \("any"))"))] : []
        for preset in definition.presets {
            // A moment a week ago and one in a month.
            let (start, end) = (Timestamp.now.advanced(by: .seconds(-604_800)), Timestamp.now.advanced(by: .seconds(2_592_000)))
            for span in [ListPreset.Span(before: start), .init(from: start, before: end), .init(from: end)] {
                filters.append(CheckedFilter(name: preset.name, column: preset.column, condition: preset.condition(span)))
            }
        }
        let custom = definition.customColumn.map { [FilterField.custom("custom.any", in: $0)] } ?? []
        for field in definition.filterFields + custom {
            for comparison in field.operators {
                let parameter = field.parameter(comparison)
                let own = values[parameter]
                let texts: [String] =
                    switch comparison {
                    case .null: ["true", "false"]
                    case .equal, .not, .prefix:
                        [own ?? values[field.name] ?? field.anyValue].flatMap { [$0, "\($0),\(field.anyOther(than: $0))"] }
                    case .gt, .gte, .lt, .lte: [own ?? values[field.name] ?? field.anyValue]
                    }
                for text in texts {
                    let filter = Filter(field: field, comparison: comparison, values: try field.values(text, comparison))
                    let condition = compiler.condition(filter, as: context)
                    filters.append(
                        CheckedFilter(
                            name: "\(parameter)=\(text)", column: condition.words == nil ? field.column : nil,
                            isUsual: condition.words == nil && condition.isRest && own == nil, condition: condition))
                }
            }
        }
        return filters
    }
}

extension FilterField {
    fileprivate var anyValue: String { type.choices?.first ?? anyOther(than: "") }

    /// Two values that are the same would count twice in what the server expects.
    fileprivate func anyOther(than value: String) -> String {
        // Of two choices both are no filter.
        if let choices = type.choices { return choices.count > 2 ? choices.last { $0 != value } ?? value : value }
        let schema = type.schema(false, true)
        switch (schema["type"]?.string, schema["format"]?.string) {
        case (_, "date-time"): return "2019-01-01T00:00:00.000Z"
        case (_, "date"): return "2019-01-01"
        case (_, "uuid"): return RecordID().description
        case ("object", _): return "\(type.example?["type"]?.string ?? ""):\(RecordID())"
        case ("integer", _): return "\(schema["maximum"]?.integer ?? 1)"
        default: return type.example?.string ?? (value == "any" ? "other" : "any")
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
        /// It is of several ranges of indexes, such as those of live and of deleted records, whose first rows are put together.
        var isAppended: Bool
        /// Rows are looked up by words.
        var hasWords: Bool
        /// An index must know this column.
        var column: String?
    }

    let definition: ResourceDefinition
    let lists: ListStatements
    var items: [Item] = []
    var faults: [String] = []
    private var seen: Set<String> = []

    init(definition: ResourceDefinition) {
        self.definition = definition
        lists = ListStatements(ResourceView(definition))
    }

    mutating func add(_ request: ListRequest, _ filter: SchemaCheck.CheckedFilter? = nil, as context: RequestContext) {
        let readings: [ListStatements.Reading] =
            if lists.isKeyed(request) { [.all] } else if lists.isInOrder(request, as: context) { [.inOrder] } else { [.among(400), .all] }
        for reading in readings where reading != .all || filter?.isUsual != true {
            let statement = lists.page(request, reading, as: context)
            // A walk is the same with every filter but for the filter itself.
            guard seen.insert(statement.text).inserted else { continue }
            let order = (request.sort.isDescending ? "-" : "") + request.sort.column
            let deleted = request.deleted.map { ", deleted=\($0.rawValue)" } ?? ""
            var isKnown = if case .among = reading { false } else { true }
            // Of deleted records there are few, and the index of their order finds them.
            if request.deleted != nil, !lists.isKeyed(request) { isKnown = false }
            items.append(
                Item(
                    name: "\(filter?.name ?? "no filter"), sort=\(order)\(deleted) (\(reading))", statement: statement,
                    isInOrder: reading != .all,
                    isAppended: request.deleted == .include || reading == .inOrder && filter?.condition.parts.isEmpty == false,
                    hasWords: reading == .all && filter?.condition.words != nil,
                    column: isKnown ? filter?.column : nil))
        }
    }

    mutating func judge(_ plan: [String], of item: Item) {
        let text = plan.joined(separator: "\n")
        func fault(_ sentence: String) { faults.append("\(definition.name), \(item.name): \(sentence)\n\(text)") }
        if text.contains("Seq Scan on \(definition.table)") { return fault("reads the whole table") }
        // Above the limit it is a page that is sorted, where the sorted column has one value only.
        let rows = plan.drop { !$0.contains(item.isAppended ? "Append" : "Limit") }
        if item.isInOrder, rows.contains(where: { $0.hasSuffix("Sort") }) { fault("sorts, so no index gives the order") }
        if item.hasWords, !text.contains("TID Cond: (ctid = ANY") { fault("the words are not looked for in their index") }
        if let column = item.column, !plan.contains(where: { $0.contains("Index Cond") && $0.contains(column) }),
            // These have the rows without a value, and the few deleted ones.
            !["no_\(column)", "deleted_"].contains(where: { text.contains("\(definition.table)_\($0)") })
        {
            fault("no index knows the filter")
        }
    }
}
