import Core
import Operations

/// The fields that a role can hide or keep from being changed, as the tenant service and the trail know them: the resources are declared in
/// other services, and a test holds this against what they publish. What a record is called by is not among them: `external_id`, and what every
/// record has. Nor is a telephone number in E.164, which goes with the number.
public struct FieldCatalogue: Sendable {
    /// The resource's name, `leads`; that of its permissions too.
    public let resource: String
    /// What its events are about: `lead`.
    public let aggregate: String
    /// Whose records they are.
    public let service: ServiceName
    /// Without them no record can be made.
    public let required: [String]
    public let others: [String]
    /// Those that the service sets: nobody can give them.
    public let readOnly: [String]
    /// What says of another field what that has, and is hidden with it: `phone_e164` with `phone`.
    public let companions: [String: String]
    /// The field with the currency of each amount: one is not to be given without the other.
    public let amounts: [String: String]

    public var fields: [String] { required + others }

    public static let all = [
        FieldCatalogue(
            "leads", "lead", required: ["last_name"],
            [
                "first_name", "company", "title", "email", "phone", "website", "source", "status", "score", "owner_id", "tags", "address",
                "description", "custom",
            ], companions: ["phone_e164": "phone"]),
        FieldCatalogue(
            "contacts", "contact", required: ["last_name"],
            ["first_name", "account_id", "title", "email", "phone", "owner_id", "tags", "address", "do_not_contact", "custom"],
            companions: ["phone_e164": "phone"]),
        FieldCatalogue(
            "accounts", "account", required: ["name"],
            [
                "domain", "industry", "employees", "annual_revenue_minor", "currency", "phone", "website", "status", "parent_id",
                "owner_id", "tags", "address", "custom",
            ], companions: ["phone_e164": "phone"], amounts: ["annual_revenue_minor": "currency"]),
        FieldCatalogue("notes", "note", required: ["body"], ["related", "pinned"]),
        FieldCatalogue(
            "tickets", "ticket", of: .support, required: ["subject"],
            ["number", "description", "status", "solved_at", "priority", "channel", "assignee_id", "tags", "custom"],
            readOnly: ["number", "solved_at"], companions: ["solved_at": "status"]),
    ]

    private init(
        _ resource: String, _ aggregate: String, of service: ServiceName = .crm, required: [String], _ others: [String],
        readOnly: [String] = [], companions: [String: String] = [:], amounts: [String: String] = [:]
    ) {
        self.resource = resource
        self.aggregate = aggregate
        self.service = service
        self.required = required
        self.others = others
        self.readOnly = readOnly
        self.companions = companions
        self.amounts = amounts
    }

    public static func find(_ resource: String) -> FieldCatalogue? { all.first { $0.resource == resource } }
}
