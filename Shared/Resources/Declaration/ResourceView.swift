import Core

/// A resource as a caller sees it: the declaration, and what of it there is for him. What reads his requests and makes his answers takes a
/// view and no declaration, so that no way in or out can forget the difference.
struct ResourceView: Sendable {
    /// The resource as it is: what a record is made of, whoever makes it.
    let definition: ResourceDefinition
    /// The same with the fields that the caller may read; what it has no name for does not exist for him.
    let shown: ResourceDefinition
    /// What can be expanded in its records.
    let expansions: [Expansion]
    /// What the caller's role takes away, of other resources too.
    let rules: FieldRules
    /// The members that a body may have.
    let givable: [String]
    /// Those that a body may not have although the caller knows them.
    let notGivable: [String]
    /// Whether what is searched is all the caller's to read. The index has the words of hidden fields too: even where they decide nothing,
    /// the time that they take would tell them.
    let isSearchable: Bool

    /// The view of a caller who sees everything, unless there are rules.
    init(_ definition: ResourceDefinition, expansions: [Expansion] = [], under rules: FieldRules = .none) {
        let hidden = definition.withCompanions(rules.hidden(in: definition.name))
        self.definition = definition
        self.rules = rules
        self.expansions = expansions.filter { !hidden.contains($0.column) }
        shown = hidden.isEmpty ? definition : definition.without(hidden)
        // What tells of a field that the caller may not give would give it.
        let own = definition.withCompanions(Set(rules[definition.name].keys))
        givable = shown.fields.lazy.filter { !$0.isReadOnly && !own.contains($0.name) }.map(\.name)
        notGivable = shown.fields.lazy.filter { $0.isReadOnly || own.contains($0.name) }.map(\.name) + ResourceDefinition.commonNames
        isSearchable = definition.fields.allSatisfy { !hidden.contains($0.name) || !$0.traits.contains(.searchable) }
    }

    /// Whether an answer shows less than the record.
    var hidesFields: Bool { shown.fields.count < definition.fields.count }

    func isHidden(_ field: Field) -> Bool { hidesFields && shown.field(field.name) == nil }

    /// Whether the caller may give the field, where anybody may.
    func isGivable(_ field: Field) -> Bool { rules.isEmpty || givable.contains(field.name) }
}
