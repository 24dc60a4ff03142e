import Core
import Postgres

/// Checks the parameters of a list against a declaration.
struct ListReader: Sendable {
    let definition: ResourceDefinition
    let cursors: CursorSigner
    /// Every parameter that the list knows, but for `custom.<key>`.
    let parameterNames: [String]

    /// The most values of one filter.
    static let maximumValues = 100

    /// What `?expand=` knows.
    let expansions: [Expansion]
    private let columns: [Column]
    private let filterable: [Field]
    private let tagsField: Field?
    private let hasCustom: Bool

    init(_ definition: ResourceDefinition, expansions: [Expansion], cursors: CursorSigner) {
        self.definition = definition
        self.expansions = expansions
        self.cursors = cursors
        columns = definition.columns
        tagsField = definition.fields.first { if case .tags = $0.kind { true } else { false } }
        hasCustom = definition.fields.contains { if case .custom = $0.kind { true } else { false } }
        filterable = definition.fields.filter { $0.traits.contains(.filterable) }
        parameterNames =
            Paging.parameters.map(\.name) + ["sort", "fields", "count", "deleted"] + (definition.isSearchable ? ["q"] : [])
            + (expansions.isEmpty ? [] : ["expand"])
            + ["created_after", "created_before", "updated_after", "updated_before"] + (tagsField == nil ? [] : ["tag"])
            + filterable.map(\.name)
    }

    /// - Parameter parent: the record that all of the list refer to, where the path names it.
    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter` with every fault, or `invalid_cursor`.
    func read(
        _ query: Query, of parent: (field: Field, id: RecordID)? = nil, as context: RequestContext
    ) throws(Problem) -> (ListRequest, Paging) {
        try refuseUnknown(query)
        var request = ListRequest(
            sort: SortOrder(column: "created_at", isDescending: true, isNullable: false), selection: columns)
        var faults: [Problem.Fault] = []
        for item in query.items where item.name != "after" {
            do throws(ValueFault) {
                try apply(item, to: &request, as: context)
            } catch {
                faults.append(.init(pointer: "?\(item.name)", code: error.code, detail: error.detail))
            }
        }
        if let first = faults.first { throw Problem(.invalidParameter, first.detail, faults: faults) }
        if let parent { request.filters.append(definition.filter(parent.field, [parent.id.sqlValue], of: context.tenant)) }
        let isRestricted = context.scopes[definition.permissions] != .all
        let paging = Paging(
            query,
            of: [context.tenant.description, definition.name, isRestricted ? context.user.description : "-"]
                + (parent.map { [$0.id.description] } ?? []), limit: request.limit,
            shape: ["fields", "expand", "count"], cursors: cursors)
        request.cursor = try paging.position(Cursor.init)
        return (request, paging)
    }

    /// The columns of `?fields=`, for a single record.
    func selection(of query: Query) throws(Problem) -> [Column] {
        try query.allowOnly(["fields"])
        return try selected(query)
    }

    /// The columns and expansions of a single record's answer.
    func shape(of query: Query) throws(Problem) -> (selection: [Column], expansions: [Expansion]) {
        try query.allowOnly(expansions.isEmpty ? ["fields"] : ["fields", "expand"])
        let selection = try selected(query)
        guard let text = query["expand"] else { return (selection, []) }
        do throws(ValueFault) {
            return (selection, try expanded(text))
        } catch {
            throw .invalidParameter("expand", error.detail)
        }
    }

    private func selected(_ query: Query) throws(Problem) -> [Column] {
        guard let text = query["fields"] else { return columns }
        do throws(ValueFault) {
            return try selection(text)
        } catch {
            throw .invalidParameter("fields", error.detail)
        }
    }

    private func refuseUnknown(_ query: Query) throws(Problem) {
        var names = parameterNames
        if hasCustom {
            names += query.items.map(\.name).filter { $0.hasPrefix("custom.") && FieldKind.isCustomKey(String($0.dropFirst(7))) }
        }
        try query.allowOnly(names)
    }

    private func apply(_ item: Query.Item, to request: inout ListRequest, as context: RequestContext) throws(ValueFault) {
        let (name, value) = (item.name, item.value)
        switch name {
        case "limit": request.limit = try Paging.limit(value)
        case "sort": request.sort = try sort(value)
        case "fields": request.selection = try selection(value)
        case "expand": request.expansions = try expanded(value)
        case "count":
            guard let count = ListRequest.Count(rawValue: value) else { throw .format("exact or estimate") }
            request.count = count
        case "deleted":
            guard value == "only" else { throw .format("only") }
            request.isDeleted = true
        case "q":
            // A blank at the end is kept: it says that the last word is finished.
            let words = try PlainText.checked(value, as: .line, maximum: 200)
            if words.isEmpty { throw ValueFault(.tooShort, "Expected words.") }
            request.search = value.last?.isWhitespace == true ? words + " " : words
            if definition.number != nil { request.number = Self.number(words) }
        case "created_after", "created_before", "updated_after", "updated_before":
            let (column, sign) = name.hasSuffix("after") ? (String(name.dropLast(6)) + "_at", ">") : (String(name.dropLast(7)) + "_at", "<")
            let instant = try FieldKind.timestamp.type.scalar(text: value)
            request.filters.append(Filter("\(unescaped: column) \(unescaped: sign) \(instant)", .range(of: column)))
        case "tag":
            guard let tagsField else { return }
            request.filters.append(definition.filter(tagsField, try values(Self.parts(value), of: tagsField.type), of: context.tenant))
        case let name where name.hasPrefix("custom."):
            let values = try values(Self.parts(value), of: FieldKind.longText(max: FieldKind.maximumCustomText).type)
            request.filters.append(Filter(exactly: name, values, of: context.tenant))
        case let name:
            guard let field = definition.field(name) else { return }
            request.filters.append(definition.filter(field, try values(Self.parts(value), of: field.type), of: context.tenant))
        }
    }

    /// `41` and `#41`; `nil` when it is anything else.
    private static func number(_ text: String) -> Int64? {
        let digits = text.hasPrefix("#") ? text.dropFirst() : text[...]
        return digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int64(digits) : nil
    }

    /// The parts of `a,b,c`; `\,` is a comma in a part.
    private static func parts(_ text: String) -> [String] {
        guard text.utf8.contains(UInt8(ascii: ",")) else { return [text] }
        var parts = [""]
        var rest = Substring(text).unicodeScalars
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\\" where rest.first == ",":
                rest.removeFirst()
                parts[parts.count - 1].unicodeScalars.append(",")
            case ",": parts.append("")
            default: parts[parts.count - 1].unicodeScalars.append(scalar)
            }
        }
        return parts
    }

    /// The values that the parts spell, any of which may match.
    private func values(_ parts: [String], of type: FieldType) throws(ValueFault) -> [SQLValue] {
        guard parts.count <= Self.maximumValues else {
            throw ValueFault(.tooMany, "Expected at most \(Self.maximumValues) values.")
        }
        var values: [SQLValue] = []
        for part in parts {
            values.append(try type.scalar(text: part))
        }
        return values
    }

    private func sort(_ text: String) throws(ValueFault) -> SortOrder {
        let isDescending = text.hasPrefix("-")
        let name = isDescending ? String(text.dropFirst()) : text
        guard var order = definition.sortable.first(where: { $0.column == name }) else {
            let names = definition.sortable.map(\.column)
            throw ValueFault(
                .notAllowed,
                "Expected one of \(names.joined(separator: ", ")), with - for descending.\(Suggestion.hint(for: name, among: names))")
        }
        order.isDescending = isDescending
        return order
    }

    private func expanded(_ text: String) throws(ValueFault) -> [Expansion] {
        let wanted = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let names = expansions.map(\.name)
        for name in wanted where !names.contains(name) {
            let hint = Suggestion.hint(for: name, among: names)
            throw ValueFault(
                .notAllowed, "'\(Suggestion.shown(name))' is nothing to expand. Expected one of \(names.joined(separator: ", ")).\(hint)")
        }
        return expansions.filter { wanted.contains($0.name) }
    }

    private func selection(_ text: String) throws(ValueFault) -> [Column] {
        let wanted = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        for name in wanted where !columns.contains(where: { $0.name == name }) {
            let hint = Suggestion.hint(for: name, among: columns.map(\.name))
            throw ValueFault(.notAllowed, "There is no field '\(Suggestion.shown(name))'.\(hint)")
        }
        return columns.filter { wanted.contains($0.name) }
    }
}
