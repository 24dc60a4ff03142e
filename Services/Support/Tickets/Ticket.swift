import Core
import Resources

/// Something that a customer needs help with.
public enum Ticket {
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
                "status", .enumeration(["new", "open", "pending", "on_hold", "solved", "closed"]), [.filterable, .importable],
                default: .value("new")),
            Field("priority", .enumeration(["low", "normal", "high", "urgent"]), [.filterable, .importable], default: .value("normal")),
            Field("channel", .enumeration(["web", "email", "phone", "chat", "api"]), [.filterable, .importable], default: .value("api")),
            Field("assignee_id", .reference(.member), [.filterable], "The member who works on it."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
