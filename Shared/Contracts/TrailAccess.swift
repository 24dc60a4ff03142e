import Core

/// What a record of the trail is about: the aggregate of its events, and whose permission to read shows what they say.
public enum TrailAccess {
    /// By what events are about. A test asks for every aggregate that a migration has audited.
    public static let readers: [String: PermissionResource] = [
        "lead": .leads, "contact": .contacts, "account": .accounts, "note": .notes, "task": .tasks, "pipeline": .pipelines,
        "deal": .deals, "deal_contact": .deals, "product": .products, "exchange_rate": .exchangeRates, "ticket": .tickets,
        "tenant": .tenant, "team": .teams,
        "role": .roles, "member": .members, "invitation": .members, "user": .members, "session": .members,
    ]

    /// The field of the resource that they tell of, for what is no record of its own: where that is hidden, nothing of them is shown.
    static let fields = ["deal_contact": "contact_id"]
}

extension Rights {
    /// The members of a record that the trail keeps from who has these rights, by what its events are about; `nil` for all of them: where
    /// there are records of the kind that are not his to read, and where it is not known whose they are.
    public func hidden(inEventsOf aggregate: String) -> Set<String>? {
        guard let resource = TrailAccess.readers[aggregate], permissions.contains(Permission(resource, .read)), scopes[resource] == .all
        else { return nil }
        let hidden = fields.hidden(in: resource.rawValue)
        if let field = TrailAccess.fields[aggregate], hidden.contains(field) { return nil }
        guard !hidden.isEmpty, let catalogue = FieldCatalogue.find(resource.rawValue) else { return hidden }
        return hidden.union(catalogue.companions.lazy.filter { hidden.contains($0.value) }.map(\.key))
    }

    /// Why the whole trail is not to be shown to who has these rights; `nil` when it is. Its chain holds for whole entries only.
    public var obstacleToWholeTrail: String? {
        let whole = "The export has the whole trail, and"
        if fields.hideAny { return "\(whole) fields are hidden from the role." }
        for resource in PermissionResource.allCases where TrailAccess.readers.values.contains(resource) {
            let reading = Permission(resource, .read)
            if !permissions.contains(reading) { return "\(whole) the role does not have \(reading)." }
            if scopes[resource] != .all { return "\(whole) the role does not reach all records of \(resource.rawValue)." }
        }
        return nil
    }
}
