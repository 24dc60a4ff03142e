import Core
import Postgres
import Resources

/// Entries that are about a ship or a fleet, whichever, in the three ways in which its deletion can matter.
enum Logbook {
    static let definition = ResourceDefinition(
        "entries", singular: "entry", permissions: .notes,
        fields: [
            Field("body", .text(max: 100), [.required]),
            Field("related", .related(["ship", "fleet"], onDelete: .keep), [.filterable], "What it is about."),
            Field("held", .related(["ship", "fleet"], onDelete: .refuse)),
            Field("seen", .related(["ship", "fleet"], onDelete: .clear)),
            Field("noted", .related(["ship", "fleet"], onDelete: .clear)),
        ])

    static func run<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await ResourceAPI.run(definition, Fleet.ship, Fleet.definition, tables: Fleet.tables + tables, body)
    }

    private static let fields = ["related", "held", "seen", "noted"]
    private static let types = ["ship", "fleet"]

    /// The migration.
    private static let tables: [SQL] =
        fields.map { field in
            """
            create domain entry_\(unescaped: field) as record_reference constraint entry_\(unescaped: field)_check \
            check (value is not distinct from null or ((value).type in ('ship', 'fleet')) is true and (value).id is not null)
            """
        } + [
            """
            create table entry (tenant_id uuid not null, id uuid not null, version bigint not null default 1, body text not null, external_id text, \
            \(unescaped: fields.map(columns).joined()) \
            created_at timestamptz(3) not null default now(), updated_at timestamptz(3) not null default now(), \
            created_by uuid not null, updated_by uuid not null, deleted_at timestamptz(3), \
            constraint entry_pkey primary key (tenant_id, id))
            """,
            "call isolate('entry')", "call listed('entry')",
        ]
        + fields.map {
            "create index entry_\(unescaped: $0) on entry (tenant_id, ((\(unescaped: $0)).id), created_at, id) where deleted_at is null"
        } + [
            "call audited('entry', 'entry', \(unescaped: fields.flatMap { field in types.map { "'\(field)_\($0)_id'" } }.joined(separator: ", ")))"
        ]

    private static func columns(_ field: String) -> String {
        "\(field) entry_\(field), "
            + types.map { type in
                """
                \(field)_\(type)_id uuid generated always as (case when (\(field)).type = '\(type)' then (\(field)).id end) stored, \
                constraint entry_\(field)_\(type)_fkey foreign key (tenant_id, \(field)_\(type)_id) references \(type) (tenant_id, id),
                """
            }.joined(separator: " ")
    }
}
