import Core
import Resources

/// A person with whom the tenant deals.
public enum Contact {
    public static let definition = ResourceDefinition(
        "contacts", singular: "contact", permissions: .contacts, owner: "owner_id",
        duplicates: [.email("email"), .phone("phone"), .name(["first_name", "last_name"])],
        fields: [
            Field("first_name", .text(max: 100), [.searchable, .importable], example: "Ngozi"),
            Field("last_name", .text(max: 100), [.required, .sortable, .filterable, .searchable, .importable], example: "Okafor"),
            Field(
                "account_id", .reference(.resource("accounts", onDelete: .keep)), [.filterable, .importable],
                "The company that the person works for."),
            Field("title", .text(max: 200), [.searchable, .importable], "The position in the company.", example: "Plant Manager"),
            Field("email", .email, [.filterable, .searchable, .importable]),
            Field("phone", .phone, [.filterable, .searchable, .importable]),
            Field("owner_id", .reference(.member), [.filterable], default: .caller, "The member in charge; the creator unless given."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("address", .object(Address.fields), [.searchable, .importable]),
            Field(
                "do_not_contact", .boolean, [.filterable, .importable], default: .value(false),
                "Whether the person has asked to be left alone."),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
