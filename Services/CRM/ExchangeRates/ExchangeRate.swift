import Core
import Resources

/// What a unit of a currency is worth from a day on, in the currency that the tenant counts in.
public enum ExchangeRate {
    public static let definition = ResourceDefinition(
        "exchange_rates", singular: "exchange_rate", permissions: .exchangeRates,
        rules: [
            "currency_not_base": "A currency has no rate into itself.",
            "valid_from_unique": "There is a rate of this currency from this day on already.",
        ],
        fields: [
            Field("currency", .currency, [.required, .filterable, .importable], "Of which one unit is worth so much.", example: "GBP"),
            Field(
                "base_currency", .currency, [.filterable, .importable], default: .tenantCurrency,
                """
                What that is counted in; the tenant's currency unless given. When the tenant comes to count in another one, these rates stay as \
                they are and are used no more, until it counts in this one again.
                """, example: "EUR"),
            Field(
                "rate", .decimal(.positive(whole: 10, fraction: 10, example: "1.0842")), [.required, .importable],
                "Units of base_currency for one unit of currency.", example: "1.1523"),
            Field(
                "valid_from", .date, [.required, .sortable, .filterable, .importable],
                "The first day that it is used on, until there is a rate from a later day on.", example: "2026-01-31"),
            Field("source", .text(max: 100), [.importable], "Who says so.", example: "ECB"),
        ])
}
