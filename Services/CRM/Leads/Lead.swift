import Core
import Resources

/// A person who may become a customer.
public enum Lead {
    /// `converted` comes about by converting the lead, not by setting it, and is its end: such a lead stays as it is (``LeadConversion``).
    static let states = StateMachine(
        [
            "new": ["contacted", "qualified", "unqualified"],
            "contacted": ["new", "qualified", "unqualified"],
            "qualified": ["new", "contacted", "unqualified"],
            "unqualified": ["new", "contacted", "qualified"],
            "converted": [],
        ], start: ["new", "contacted", "qualified", "unqualified"], kept: ["converted"])

    public static let definition = ResourceDefinition(
        "leads", singular: "lead", permissions: .leads, owner: "owner_id", planLimit: "leads",
        duplicates: [.email("email"), .phone("phone"), .name(["first_name", "last_name"])],
        fields: [
            Field("first_name", .text(max: 100), [.searchable, .importable], example: "Ngozi"),
            Field("last_name", .text(max: 100), [.required, .sortable, .filterable, .searchable, .importable], example: "Okafor"),
            Field("company", .text(max: 200), [.sortable, .filterable, .searchable, .importable], example: "Kestrel Freight"),
            Field("title", .text(max: 200), [.searchable, .importable], "The position in the company.", example: "Plant Manager"),
            Field("email", .email, [.filterable, .searchable, .importable]),
            Field("phone", .phone, [.filterable, .searchable, .importable]),
            Field("website", .url, [.searchable, .importable]),
            Field(
                "source", .text(max: 100), [.filterable, .importable], "Where the lead came from, such as web or fair.", example: "fair"),
            Field(
                "status", .states(states), [.filterable, .importable], "How far the lead has come; converted comes about by converting it."),
            Field("score", .integer(0...100), [.sortable, .filterable, .importable], "How promising the lead is.", example: 42),
            Field("owner_id", .reference(.member), [.filterable], default: .caller, "The member in charge; the creator unless given."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("address", .object(Address.fields), [.searchable, .importable]),
            Field("description", .longText(max: 10_000), [.searchable, .importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
            Field("converted_at", .since("status", in: ["converted"])),
            Field("converted_account_id", .reference(.resource("accounts", onDelete: .keep)), .readOnly, "The account that it became."),
            Field("converted_contact_id", .reference(.resource("contacts", onDelete: .keep)), .readOnly, "The contact that it became."),
            Field("converted_deal_id", .reference(.resource("deals", onDelete: .keep)), .readOnly, "The deal that was made of it."),
        ])
}
