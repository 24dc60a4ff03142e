import Core
import Resources

/// Something that a customer needs help with.
public enum Ticket {
    /// A ticket never is new again, a solved one can be opened again, and a closed one is kept as it is.
    static let states = StateMachine(
        [
            "new": ["open", "pending", "on_hold", "solved"],
            "open": ["pending", "on_hold", "solved"],
            "pending": ["open", "on_hold", "solved"],
            "on_hold": ["open", "pending", "solved"],
            "solved": ["open", "pending", "on_hold", "closed"],
            "closed": [],
        ], start: ["new", "open", "pending", "on_hold", "solved"])

    public static let definition = ResourceDefinition(
        "tickets", singular: "ticket", permissions: .tickets, owner: "assignee_id",
        fields: [
            Field(
                "number", .integer(1...Int64.max), [.readOnly, .required, .sortable, .filterable, .searchable],
                "Counts the tenant's tickets from 1.",
                example: 17),
            Field("subject", .text(max: 300), [.required, .searchable, .importable], example: "The export stops at row 500"),
            Field("description", .longText(max: 50_000), [.searchable, .importable]),
            Field(
                "status", .states(states), [.filterable, .importable],
                "new until somebody works on it; pending waits for the customer, on_hold for somebody else."),
            Field("solved_at", .since("status", in: ["solved", "closed"])),
            Field("priority", .enumeration(["low", "normal", "high", "urgent"]), [.filterable, .importable], default: .value("normal")),
            Field("channel", .enumeration(["web", "email", "phone", "chat", "api"]), [.filterable, .importable], default: .value("api")),
            Field("assignee_id", .reference(.member), [.filterable], "The member who works on it."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
