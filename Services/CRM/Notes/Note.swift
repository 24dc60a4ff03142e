import Core
import Resources

/// What somebody wrote down about a lead, a contact, an account, a deal or a ticket.
public enum Note {
    public static let definition = ResourceDefinition(
        "notes", singular: "note", permissions: .notes,
        fields: [
            Field(
                "body", .longText(max: 50_000), [.required, .searchable, .importable], "Markdown, kept as it is given.",
                example: "Asked for a quote for **40 seats**."),
            Field(
                "related", .related(["lead", "contact", "account", "deal", "ticket"], onDelete: .keep), [.filterable, .importable],
                "What it is about. A ticket is not expanded, as it is the support service's."),
            Field("pinned", .boolean, [.filterable, .importable], default: .value(false), "Whether it is shown before others."),
            Field(
                "mention_ids", .members(maxCount: 50), [.filterable],
                "The members whom it mentions, however the text does so; ?mention= lists the notes that mention one."),
        ])
}
