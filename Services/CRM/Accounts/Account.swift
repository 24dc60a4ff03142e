import Core
import Resources

/// A company that is, was or may become a customer.
public enum Account {
    public static let definition = ResourceDefinition(
        "accounts", singular: "account", permissions: .accounts, owner: "owner_id",
        duplicates: [.host("domain", website: "website"), .phone("phone"), .name(["name"])],
        fields: [
            Field("name", .text(max: 200), [.required, .sortable, .filterable, .searchable, .importable], example: "Kestrel Freight"),
            Field("domain", .hostName, [.filterable, .searchable, .importable], example: "kestrel.example"),
            Field("industry", .text(max: 100), [.filterable, .searchable, .importable], example: "Logistics"),
            Field(
                "employees", .integer(0...100_000_000), [.sortable, .filterable, .importable], "How many people work there.", example: 240),
            Field(
                "annual_revenue_minor", .amount(currency: "currency"), [.sortable, .filterable, .importable],
                "A year's revenue in the currency's smallest unit.", example: 1_250_000_000),
            Field(
                "currency", .currency, [.importable], default: .tenantCurrency, "That of the annual revenue; the tenant's unless given.",
                example: "EUR"),
            Field("phone", .phone, [.filterable, .searchable, .importable]),
            Field("website", .url, [.searchable, .importable]),
            Field(
                "status", .enumeration(["prospect", "customer", "former"]), [.filterable, .importable], default: .value("prospect"),
                "Whether the company buys."),
            Field(
                "parent_id", .reference(.parent(onDelete: .keep)), [.filterable, .importable], "The account above, such as the group's."),
            Field("owner_id", .reference(.member), [.filterable], default: .caller, "The member in charge; the creator unless given."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("address", .object(Address.fields), [.searchable, .importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
