/// A resource as a caller sees it: the declaration, and what of it there is for him. What reads his requests and makes his answers takes a
/// view and no declaration, so that no way in or out can forget the difference.
struct ResourceView: Sendable {
    /// The resource as it is: what a record is made of, whoever makes it.
    let definition: ResourceDefinition
    /// The same with the fields that the caller may read; what it has no name for does not exist for him.
    let shown: ResourceDefinition
    /// What can be expanded in its records.
    let expansions: [Expansion]

    /// The view of a caller who sees everything.
    init(_ definition: ResourceDefinition, expansions: [Expansion] = []) {
        self.definition = definition
        shown = definition
        self.expansions = expansions
    }
}
