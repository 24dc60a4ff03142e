import Core

/// A parameter of a list beside its filters: what the public document says of it, and what it does.
struct ListParameter: Sendable {
    let document: Operation.Parameter
    let apply: @Sendable (_ value: String, _ request: inout ListRequest) throws(ValueFault) -> Void

    init(
        _ name: String, _ schema: JSON, _ description: String,
        apply: @escaping @Sendable (_ value: String, _ request: inout ListRequest) throws(ValueFault) -> Void
    ) {
        document = Operation.Parameter(name, in: .query, schema: schema, description)
        self.apply = apply
    }

    /// The parameters of a resource's list, but for `limit` and `after` (``Paging``) and the filters.
    static func all(of view: ResourceView) -> [ListParameter] {
        [sort(view.shown), fields, expand(view.expansions), count, deleted] + (view.definition.isSearchable ? [search(view)] : [])
    }

    static func expand(_ expansions: [Expansion]) -> ListParameter {
        let names = expansions.map(\.name)
        return ListParameter(
            "expand", ["type": "string", "examples": [.string(names.prefix(2).joined(separator: ","))]],
            """
            The records and members that are referred to, beside the references, joined by commas: \(names.joined(separator: ", ")). Null when \
            a record is deleted or not the caller's to read; a member who was removed is shown, and is null only when erased or not known here yet.
            """
        ) { value, request throws(ValueFault) in
            request.expansions = try expanded(value, among: expansions)
        }
    }

    static func expanded(_ text: String, among expansions: [Expansion]) throws(ValueFault) -> [Expansion] {
        let names = expansions.map(\.name)
        let wanted = try Self.names(text, among: names) { name in
            let hint = Suggestion.hint(for: name, among: names)
            return "'\(Suggestion.shown(name))' is nothing to expand. Expected one of \(names.joined(separator: ", ")).\(hint)"
        }
        return expansions.filter { wanted.contains($0.name) }
    }

    /// The names that are joined by commas, however often each is there.
    ///
    /// - Throws: ``ValueFault`` `not_allowed` for the first that is none of them, with what `refusal` says of it.
    static func names(_ text: String, among known: [String], refusal: (String) -> String) throws(ValueFault) -> Set<String> {
        let known = Set(known)
        var wanted: Set<String> = []
        for part in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let name = String(Substring(part))
            guard known.contains(name) else { throw ValueFault(.notAllowed, refusal(name)) }
            wanted.insert(name)
        }
        return wanted
    }

    private static func sort(_ definition: ResourceDefinition) -> ListParameter {
        let orders = definition.sortable
        let names = orders.map(\.column)
        return ListParameter(
            "sort",
            ["type": "string", "enum": .array(names.flatMap { [.string($0), .string("-\($0)")] }), "default": "-created_at"],
            "The order; records without a value come last going up and first going down."
        ) { value, request throws(ValueFault) in
            let isDescending = value.hasPrefix("-")
            let name = isDescending ? String(value.dropFirst()) : value
            guard var order = orders.first(where: { $0.column == name }) else {
                let hint = Suggestion.hint(for: name, among: names)
                throw ValueFault(
                    .notAllowed, "Expected one of \(names.joined(separator: ", ")), with - for descending.\(hint)")
            }
            order.isDescending = isDescending
            request.sort = order
        }
    }

    static let fields = ListParameter("fields", ["type": "string"], "The members to answer, joined by commas.") {
        value, request throws(ValueFault) in
        request.fields = value
    }

    private static let count = ListParameter(
        "count", ["type": "string", "enum": ["exact", "estimate"]], "Adds page.total; an estimate counts up to 10,000."
    ) { value, request throws(ValueFault) in
        guard let count = ListRequest.Count(rawValue: value) else { throw .format("exact or estimate") }
        request.count = count
    }

    private static let deleted = ListParameter(
        "deleted", ["type": "string", "enum": ["only", "include"]],
        "The deleted records instead of the live ones, or both; each then has deleted_at, which is null for a live one."
    ) { value, request throws(ValueFault) in
        guard let deleted = ListRequest.Deleted(rawValue: value) else { throw .format("only or include") }
        request.deleted = deleted
    }

    private static func search(_ view: ResourceView) -> ListParameter {
        let (isSearchable, isNumbered) = (view.isSearchable, view.shown.number != nil)
        return ListParameter(
            "q", ["type": "string", "maxLength": 200],
            """
            Words, "phrases", -exclusions and or, without regard to case, accents and signs within words. The last word may be unfinished, \
            unless a blank or a quote follows it; any end of a number of 4 digits or more finds it, as it was given and not in another form. Not \
            there for a role that a field is hidden from that it searches.
            """
        ) { value, request throws(ValueFault) in
            guard isSearchable else {
                throw ValueFault(.notAllowed, "q is not there for your role: fields that it searches are hidden from it.")
            }
            // A blank at the end is kept: it says that the last word is finished.
            let words = try PlainText.checked(value, as: .line, maximum: 200)
            if words.isEmpty { throw ValueFault(.tooShort, "Expected words.") }
            request.search = value.last?.isWhitespace == true ? words + " " : words
            if isNumbered { request.number = number(words) }
        }
    }

    /// `41` and `#41`; `nil` when it is anything else.
    private static func number(_ text: String) -> Int64? {
        let digits = text.hasPrefix("#") ? text.dropFirst() : text[...]
        return digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int64(digits) : nil
    }
}
