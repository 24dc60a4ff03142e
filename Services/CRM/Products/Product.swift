import Core
import Resources

/// What the tenant sells, with its price in each currency: a price list.
public enum Product {
    public static let definition = ResourceDefinition(
        "products", singular: "product", permissions: .products,
        fields: [
            Field("name", .text(max: 200), [.required, .sortable, .filterable, .searchable, .importable], example: "Turbine inspection"),
            Field("sku", .text(max: 100), [.unique, .filterable, .searchable, .importable], "The article number.", example: "TI-200"),
            Field("description", .longText(max: 10_000), [.searchable, .importable]),
            Field("active", .boolean, [.filterable, .importable], default: .value(true), "Whether it is offered."),
            Field(
                "prices",
                .list(
                    [
                        Field("currency", .currency, [.required]),
                        Field("unit_price_minor", .amount(currency: "currency"), [.required], "Of one unit, without tax."),
                    ], maxCount: 100, key: "currency"), [.importable], "The price in each currency that it is sold in.",
                example: [["currency": "EUR", "unit_price_minor": 125_000], ["currency": "JPY", "unit_price_minor": 198_000]]),
            Field("tax_percent", .decimal(.percentage), [.importable], "The rate of tax on it.", example: "19"),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
