import Core
import Postgres

/// Checks the parameters of a list against what the caller may see.
final class ListReader: Sendable {
    let view: ResourceView
    let cursors: CursorSigner
    private let compiler: FilterCompiler
    private let parameters: [String: ListParameter]
    private let filters: [String: (field: FilterField, comparison: FilterOperator)]
    private let presets: [String: ListPreset]
    private let customColumn: String?
    /// Every name that a parameter can have, but for `custom.<key>`.
    private let names: [String]

    init(_ view: ResourceView, cursors: CursorSigner) {
        self.view = view
        self.cursors = cursors
        let shown = view.shown
        compiler = FilterCompiler(shown)
        customColumn = shown.customColumn
        let parameters = ListParameter.all(of: view)
        let fields = shown.filterFields
        self.parameters = Dictionary(uniqueKeysWithValues: parameters.map { ($0.document.name, $0) })
        filters = Dictionary(
            uniqueKeysWithValues: fields.flatMap { field in field.operators.map { (field.parameter($0), (field, $0)) } })
        presets = Dictionary(uniqueKeysWithValues: shown.presets.map { ($0.name, $0) })
        names =
            Paging.parameters.map(\.name) + parameters.map(\.document.name) + shown.presets.map(\.name) + fields.flatMap(\.parameters)
        precondition(Set(names).count == names.count, "\(shown.name): a filter has the name of another parameter")
    }

    /// Every parameter of the list, for the public document.
    var documents: [Operation.Parameter] {
        Paging.parameters + ListParameter.all(of: view).map(\.document) + view.shown.presets.map(\.document)
            + view.shown.filterFields.map(\.document)
    }

    /// - Parameter parent: what all of the list belong to, where the path names it.
    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter` with every fault, or `invalid_cursor`.
    func read(
        _ query: Query, of parent: ListParent? = nil, as context: RequestContext
    ) throws(Problem) -> (ListRequest, Paging) {
        var request = ListRequest(
            sort: SortOrder(column: "created_at", isDescending: true, isNullable: false), selection: view.shown.columns)
        var faults = FaultList()
        var unknown = FaultList()
        for item in query.items where item.name != "after" {
            do throws(ValueFault) {
                if item.name == "limit" {
                    request.limit = try Paging.limit(item.value)
                } else if let parameter = parameters[item.name] {
                    try parameter.apply(item.value, &request)
                } else if let preset = presets[item.name] {
                    request.conditions.append(try preset.condition(item.value, as: context))
                } else if let filter = filter(item.name) {
                    let values = try filter.field.values(item.value, filter.comparison)
                    request.conditions.append(
                        compiler.condition(
                            Filter(field: filter.field, comparison: filter.comparison, values: values), as: context))
                } else {
                    let name = Suggestion.shown(item.name)
                    unknown.add(
                        .unknownParameter, at: "?\(name)", "There is no parameter '\(name)'.\(hint(for: item.name, after: unknown))")
                }
            } catch {
                faults.add(error, at: "?\(item.name)")
            }
        }
        if let first = unknown.faults.first { throw Problem(.unknownParameter, first.detail, faults: unknown.faults) }
        if request.fields != nil || request.deleted != nil {
            do throws(ValueFault) {
                let columns = view.shown.columns + (request.deleted == nil ? [] : [Column(name: "deleted_at", format: .timestamp)])
                request.selection = try selection(request.fields, among: columns)
            } catch {
                faults.add(error, at: "?fields")
            }
        }
        if let first = faults.faults.first { throw Problem(.invalidParameter, first.detail, faults: faults.faults) }
        if let parent {
            let filter = Filter(field: FilterField(parent.field), comparison: .equal, values: [parent.id.sqlValue])
            let refers = compiler.condition(filter, as: context)
            request.conditions.append(parent.links?.condition(of: parent.id, or: refers, in: view.definition.table, as: context) ?? refers)
        }
        let isRestricted = context.scopes[view.shown.permissions] != .all
        let paging = Paging(
            query,
            of: [context.tenant.description, view.shown.name, isRestricted ? context.user.description : "-"]
                + (parent.map { [$0.id.description] } ?? []), limit: request.limit,
            shape: ["fields", "expand", "count"], cursors: cursors)
        request.cursor = try paging.position(Cursor.init)
        return (request, paging)
    }

    /// Adds a filter, or words to search for, by the parameter's name.
    ///
    /// - Parameter faults: of the others, so that not every one of many comes with a proposal.
    /// - Throws: ``ValueFault``.
    func add(
        _ name: String, _ value: String, to request: inout ListRequest, as context: RequestContext, after faults: FaultList
    ) throws(ValueFault) {
        if name == "q", let search = parameters[name] { return try search.apply(value, &request) }
        guard let (field, comparison) = filter(name) else {
            throw ValueFault(.unknownMember, "There is no filter '\(Suggestion.shown(name))'.\(hint(for: name, after: faults))")
        }
        let values = try field.values(value, comparison)
        request.conditions.append(compiler.condition(Filter(field: field, comparison: comparison, values: values), as: context))
    }

    /// The columns of `?fields=`, for a single record.
    func selection(of query: Query) throws(Problem) -> [Column] {
        try query.allowOnly(["fields"])
        return try selected(query)
    }

    /// The columns and expansions of a single record's answer.
    func shape(of query: Query) throws(Problem) -> (selection: [Column], expansions: [Expansion]) {
        try query.allowOnly(["fields", "expand"])
        let selection = try selected(query)
        guard let text = query["expand"] else { return (selection, []) }
        do throws(ValueFault) {
            return (selection, try ListParameter.expanded(text, among: view.expansions))
        } catch {
            throw .invalidParameter("expand", error.detail)
        }
    }

    private func selected(_ query: Query) throws(Problem) -> [Column] {
        do throws(ValueFault) {
            return try selection(query["fields"], among: view.shown.columns)
        } catch {
            throw .invalidParameter("fields", error.detail)
        }
    }

    private func selection(_ fields: String?, among columns: [Column]) throws(ValueFault) -> [Column] {
        guard let fields else { return columns }
        let names = columns.map(\.name)
        let wanted = try ListParameter.names(fields, among: names) { name in
            "There is no field '\(Suggestion.shown(name))'.\(Suggestion.hint(for: name, among: names))"
        }
        return columns.filter { wanted.contains($0.name) }
    }

    private func filter(_ name: String) -> (field: FilterField, comparison: FilterOperator)? {
        if let filter = filters[name] { return filter }
        guard let customColumn, name.hasPrefix("custom."), FieldKind.isCustomKey(String(name.dropFirst(7))) else { return nil }
        return (.custom(name, in: customColumn), .equal)
    }

    /// What may have been meant by a name that is none: which operators the field takes, or the nearest name.
    private func hint(for name: String, after faults: FaultList) -> String {
        func nearest(among names: [String]) -> String { faults.hint(for: name, among: names) }
        let field = String(name.prefix { $0 != "[" })
        guard field != name else { return nearest(among: names) }
        if customColumn != nil, field.hasPrefix("custom.") {
            return " A field of your own is compared as a whole, as in \(Suggestion.shown(field))=a,b."
        }
        let others = names.filter { $0 == field || $0.hasPrefix(field + "[") }
        guard !others.isEmpty else { return nearest(among: names) }
        let isOperator = FilterOperator.allCases.contains { name == "\(field)[\($0.rawValue)]" }
        return isOperator
            ? " It takes \(others.joined(separator: ", "))."
            : nearest(among: others) + " It takes \(others.joined(separator: ", "))."
    }
}
