import Core
import Postgres
import Resources

/// Two resources that are in no service: a ship belongs to a fleet, without which it cannot be, and has one that it was lent to.
enum Fleet {
    static let definition = ResourceDefinition(
        "fleets", singular: "fleet", permissions: .accounts, fields: [Field("name", .text(max: 50), [.required])])

    static let ship = ResourceDefinition(
        "ships", singular: "ship", permissions: .contacts,
        fields: [
            Field("name", .text(max: 50), [.required]),
            Field("fleet_id", .reference(.resource("fleets", onDelete: .refuse)), [.filterable]),
            Field("lent_to_id", .reference(.resource("fleets", onDelete: .clear)), [.filterable]),
        ])

    static func run<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await ResourceAPI.run(ship, definition, tables: tables, body)
    }

    /// The migration.
    static let tables: [SQL] = ["fleet", "ship"].flatMap { name -> [SQL] in
        let links = name == "fleet" ? [] : ["fleet_id", "lent_to_id"]
        let keys = links.map { ", constraint ship_\($0)_fkey foreign key (tenant_id, \($0)) references fleet (tenant_id, id)" }
        let table: SQL = """
            create table \(unescaped: name) (tenant_id uuid not null, id uuid not null, version bigint not null default 1, name text not null, external_id text, \
            \(unescaped: links.map { "\($0) uuid, " }.joined()) \
            created_at timestamptz(3) not null default now(), updated_at timestamptz(3) not null default now(), \
            created_by uuid not null, updated_by uuid not null, deleted_at timestamptz(3), \
            constraint \(unescaped: name)_pkey primary key (tenant_id, id)\(unescaped: keys.joined()))
            """
        return [
            table, "call isolate('\(unescaped: name)')",
            "call listed('\(unescaped: name)', filters => '{\(unescaped: links.joined(separator: ", "))}')",
            "call audited('\(unescaped: name)', '\(unescaped: name)')",
        ]
    }
}
