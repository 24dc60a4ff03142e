import Core
import Resources

/// What may be sold to somebody. Where it stands is said by its stage, which the table keeps all else in step with (Shared/Decisions/0029).
public enum Deal {
    public static let definition = ResourceDefinition(
        "deals", singular: "deal", permissions: .deals, owner: "owner_id",
        rules: [
            "stage_id_of_pipeline": "The stage is none of the pipeline's.",
            "probability_of_open": "The probability of a closed deal is its stage's.",
            "lost_reason_of_lost": "Only a lost deal has a reason for it.",
        ].merging(LineItem.rules) { $1 },
        fields: [
            Field("name", .text(max: 200), [.required, .sortable, .filterable, .searchable, .importable], example: "Kestrel: 40 seats"),
            Field(
                "account_id", .reference(.resource("accounts", onDelete: .keep)), [.filterable, .importable], "The company that may buy."),
            Field("contact_id", .reference(.resource("contacts", onDelete: .keep)), [.filterable, .importable], "The person to talk to."),
            Field(
                "pipeline_id", .reference(.resource("pipelines", onDelete: .refuse)), [.filterable, .importable], default: .table,
                "That of its stage; the tenant's default unless given. Another one brings the deal to its first open stage."),
            Field(
                "stage_id", .reference(.row("stage")), [.filterable, .importable], default: .table,
                "The pipeline's first open one unless given. One of another pipeline brings the deal there."),
            Field("stage_changed_at", .timestamp, [.readOnly, .required], "Since when it is in its stage."),
            Field("status", .enumeration(["open", "won", "lost"]), [.readOnly, .required, .filterable], "The kind of its stage."),
            Field(
                "amount_minor", .amount(currency: "currency"), [.sortable, .filterable, .importable],
                "What it is worth, in the currency's smallest unit.", example: 480_000),
            Field(
                "currency", .currency, [.importable], default: .tenantCurrency, "That of the amount; the tenant's unless given.",
                example: "EUR"),
            LineItem.field,
            Field(
                "probability", .integer(0...100), [.importable],
                "In percent. Each change of the stage sets that stage's, unless the same request gives another; null gives it back."),
            Field("expected_close_on", .date, [.sortable, .filterable, .importable], example: "2026-03-31"),
            Field("closed_at", .timestamp, [.readOnly, .filterable], "When it was won or lost; null while it is open."),
            Field("lost_reason", .text(max: 200), [.importable], "Why it was lost; goes when it is lost no longer."),
            Field("owner_id", .reference(.member), [.filterable], default: .caller, "The member in charge; the creator unless given."),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
        ])
}
