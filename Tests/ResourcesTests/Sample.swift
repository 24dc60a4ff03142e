import Core
import Postgres
import Resources

/// A resource with a field of every kind that a list can be filtered by, each once with and once without a value that must be there.
enum Sample {
    static let kinds = ["red", "green", "blue"]

    static let definition = ResourceDefinition(
        "samples", singular: "sample", permissions: .leads, owner: "owner_id",
        fields: [
            Field("name", .text(max: 100), [.required, .sortable, .filterable, .searchable]),
            Field("label", .text(max: 255), [.filterable]),
            Field("email", .email, [.filterable]),
            Field("phone", .phone, [.filterable]),
            Field("amount", .integer(-1000...1000), [.sortable, .filterable]),
            Field("rank", .integer(0...Int64.max), [.filterable]),
            Field("day", .date, [.filterable]),
            Field("due_at", .timestamp, [.sortable, .filterable]),
            Field("seen_at", .timestamp, [.filterable]),
            Field("active", .boolean, [.filterable]),
            Field("flag", .boolean, [.filterable], default: .value(false)),
            Field("kind", .enumeration(kinds), [.filterable]),
            Field("owner_id", .reference(.member), [.filterable]),
            Field("helper_id", .reference(.member), [.filterable]),
            Field("tags", .tags(maxCount: 5, maxLength: 20)),
            Field("custom", .custom),
        ])

    static var table: [SQL] {
        [
            "create domain sample_kind as text constraint sample_kind_check check (value in ('red', 'green', 'blue'))",
            """
            create table sample (
                tenant_id uuid not null,
                id uuid not null,
                version bigint not null default 1,
                external_id text,
                name text not null,
                label text,
                email text,
                phone text,
                phone_e164 text,
                amount integer,
                rank bigint,
                day date,
                due_at timestamptz(3),
                seen_at timestamptz(3),
                active boolean,
                flag boolean not null default false,
                kind sample_kind,
                owner_id uuid,
                helper_id uuid,
                tags text[] not null default '{}',
                custom custom_members not null default '{}',
                created_at timestamptz(3) not null default now(),
                updated_at timestamptz(3) not null default now(),
                created_by uuid not null,
                updated_by uuid not null,
                deleted_at timestamptz(3),
                search tsvector not null generated always as (
                    search_words(tenant_id, name)
                        || filter_words(
                            tenant_id, tags, custom, 'name:' || name, coalesce('label:' || label, 'label'),
                            coalesce('email:' || email_key(email), 'email'))
                ) stored,
                constraint sample_pkey primary key (tenant_id, id)
            )
            """,
            "call isolate('sample')",
            """
            call listed(
                'sample', owner => 'owner_id', orders => '{name, amount, due_at}',
                filters => '{rank, day, seen_at, active, flag, kind, helper_id}', phones => '{phone}')
            """,
            "call audited('sample', 'sample')", "call searchable('sample')",
        ]
    }
}
