import Core

/// The fields that a role can hide or keep from being changed, as the tenant service and the trail know them: the resources are declared in
/// other services, and a test holds this against what they publish. `external_id` is not among them, nor what every record has: they are what
/// a record is called by. A telephone number in E.164 goes with the number.
public struct FieldCatalogue: Sendable {
    /// The resource's name, `leads`; that of its permissions too.
    public let resource: String
    /// What its events are about: `lead`.
    public let aggregate: String
    /// Without them no record can be made.
    public let required: [String]
    public let others: [String]

    public var fields: [String] { required + others }

    public static let all = [
        FieldCatalogue(
            "leads", "lead", required: ["last_name"],
            [
                "first_name", "company", "title", "email", "phone", "website", "source", "status", "score", "owner_id", "tags", "address",
                "description", "custom",
            ]),
        FieldCatalogue(
            "contacts", "contact", required: ["last_name"],
            ["first_name", "account_id", "title", "email", "phone", "owner_id", "tags", "address", "do_not_contact", "custom"]),
        FieldCatalogue(
            "accounts", "account", required: ["name"],
            [
                "domain", "industry", "employees", "annual_revenue_minor", "currency", "phone", "website", "status", "parent_id",
                "owner_id", "tags", "address", "custom",
            ]),
        FieldCatalogue("notes", "note", required: ["body"], ["related", "pinned"]),
        FieldCatalogue(
            "tickets", "ticket", required: ["subject"],
            ["number", "description", "status", "solved_at", "priority", "channel", "assignee_id", "tags", "custom"]),
    ]

    private init(_ resource: String, _ aggregate: String, required: [String], _ others: [String]) {
        self.resource = resource
        self.aggregate = aggregate
        self.required = required
        self.others = others
    }

    public static func find(_ resource: String) -> FieldCatalogue? { all.first { $0.resource == resource } }
}

extension RequestContext {
    /// The members of a record that the trail keeps from the caller, by what its events are about; `nil` for all of them, when there are
    /// records of the kind that are none of his to read.
    public func hidden(inEventsOf aggregate: String) -> Set<String>? {
        guard let resource = FieldCatalogue.all.first(where: { $0.aggregate == aggregate })?.resource,
            let permissions = PermissionResource(rawValue: resource)
        else { return [] }
        guard self.permissions.contains(Permission(permissions, .read)), scopes[permissions] == .all else { return nil }
        return fields.hidden(in: resource)
    }
}
