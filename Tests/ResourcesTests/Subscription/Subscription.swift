import Core
import Resources

/// What an account pays for, month by month: a resource as a service would declare it.
enum Subscription {
    private static let states = StateMachine(
        ["trial": ["active", "ended"], "active": ["paused", "ended"], "paused": ["active", "ended"], "ended": []],
        start: ["trial", "active"])

    static let definition = ResourceDefinition(
        "subscriptions", singular: "subscription", permissions: .deals, owner: "owner_id",
        rules: [
            "reason_required": "What has ended says why.",
            "price_minor_not_lowered": "It is lowered only while the subscription is paused.",
        ],
        fields: [
            Field("contract", .text(max: 40), [.required, .unique, .filterable], example: "K-2044"),
            Field("account_id", .reference(.resource("accounts", onDelete: .refuse)), [.required, .filterable]),
            Field("contact_id", .reference(.resource("contacts", onDelete: .clear)), [.filterable]),
            Field("price_minor", .integer(0...1_000_000), [.sortable], default: .value(0)),
            Field("owner_id", .reference(.member), [.filterable], default: .caller),
            Field("status", .states(states), [.filterable]),
            Field("ended_at", .since("status", in: ["ended"]), [.sortable, .filterable]),
            Field("reason", .longText(max: 500)),
        ])
}
