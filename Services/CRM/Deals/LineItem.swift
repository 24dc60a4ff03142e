import Core
import Resources

/// What is sold in a deal: a line says how much of what, and for how much. The table fills in what the line does not say and its product does, and
/// gives the deal the sum as its amount (Shared/Decisions/0030).
enum LineItem {
    static let maximumCount = 200

    static let field = Field(
        "line_items",
        .list(
            [
                Field("id", .reference(.member), [], "Keeps the line; one that is not given is new."),
                Field("product_id", .reference(.resource("products", onDelete: .keep))),
                Field("name", .text(max: 200), [], "That of the product unless given.", example: "Turbine inspection"),
                Field(
                    "quantity", .decimal(.positive(whole: 9, fraction: 4, example: "1.5")), default: .value("1"), "How many units."),
                Field(
                    "unit_price_minor", .integer(0...FieldKind.maximumAmount), [],
                    "Of one unit, without tax, in the deal's currency; that of the product unless given.", example: 125_000),
                Field("discount_percent", .decimal(.percentage), [], "Off the price of the line.", example: "10"),
                Field("discount_minor", .integer(0...FieldKind.maximumAmount), [], "Off the price of the line; instead of a percentage."),
                Field("tax_percent", .decimal(.percentage), [], "The rate of tax on the line; that of the product unless given."),
            ], maxCount: maximumCount, key: "id"), [.importable], tellsOf: "amount_minor",
        """
        What is sold. While there are any, amount_minor is the sum of the lines without tax: of each quantity × unit price, less its discount, \
        rounded to the nearest unit of the currency, half a unit upwards.
        """)

    /// What the table holds lines and amounts to.
    static let rules = [
        "line_items_name_required": "A line has a name of its own, or a product.",
        "line_items_price_required": "A line has a price of its own, or a product with one in the deal's currency.",
        "line_items_one_discount": "A line has a discount in percent or an amount off, not both.",
        "line_items_not_negative": "The discount of a line is not more than its price.",
        "line_items_in_range": "The lines come to more than an amount can be.",
        "amount_minor_of_line_items": "While a deal has line items, its amount is their sum: change them, or take them away.",
        "currency_of_line_items":
            "The prices of the line items are in the currency: give them anew in the same request, or take them away.",
    ]
}
