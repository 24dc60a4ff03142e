import Core
import Postgres
import TestSupport
import Testing

@Suite struct IsolationCheckTests {
    private func faults(_ database: TestPostgres, as configuration: PostgresConfiguration? = nil) async throws -> [String] {
        try await TestPostgres.withClient(configuration ?? database.runtime) { client in
            do {
                try await IsolationCheck(client, schema: database.schema).run(as: SystemContext(service: "test"))
                return []
            } catch let error as IsolationFault {
                return error.faults
            }
        }
    }

    @Test func aSchemaUnderIsolationPasses() async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            try await database.asOwner([
                "create table plan (name text)",
                "create policy system on item to martlet_\(unescaped: database.schema)_system using (true) with check (true)",
                "create policy fewer on item as restrictive using (name <> '')",
                "create view names with (security_invoker = true) as select name from item",
                "create function one() returns integer language sql security definer set search_path = '' as 'select 1'",
                "revoke all on function one() from public",
                "create function noted() returns trigger language plpgsql security definer set search_path = '' as 'begin return null; end'",
            ])
            #expect(try await faults(database) == [])
        }
    }

    @Test(arguments: [
        ("alter table item disable row level security", "has no row security enabled"),
        ("alter table item no force row level security", "does not force row security"),
        ("drop policy tenant on item", "has no policy that names its tenant"),
        ("create policy open on item using (true)", "policy open"),
        ("create policy open on item for select to martlet_SCHEMA using (true)", "policy open"),
        ("create policy open on item for insert to martlet_SCHEMA with check (true)", "policy open"),
        // The words are there, but not what they must say.
        ("alter policy tenant on item using (current_setting('app.tenant', true) <> '')", "has no policy that names its tenant"),
        ("alter policy tenant on item using (current_setting('app.tenant', true) <> '')", "policy tenant"),
        ("alter policy tenant on item using (TENANT or name = 'app.tenant')", "policy tenant"),
        ("alter policy tenant on item with check (id = (select nullif(current_setting('app.tenant', true), '')::uuid))", "policy tenant"),
        (
            "alter policy tenant on item using (tenant_id <= (select nullif(current_setting('app.tenant', true), '')::uuid))",
            "policy tenant"
        ),
        ("alter policy tenant on item to martlet_SCHEMA_system", "has no policy that names its tenant"),
        (
            "drop policy tenant on item; create policy tenant on item for select to martlet_SCHEMA using (TENANT)",
            "has no policy that names its tenant"
        ),
        ("create table fresh (tenant_id uuid, id uuid)", ".fresh has no row security enabled"),
        ("create view names as select name from item", ".names does not read as its caller"),
        ("create view names with (security_invoker = false) as select name from item", ".names does not read as its caller"),
        ("create materialized view names as select 1 as one", ".names keeps rows"),
        (
            "create function one() returns integer language sql security definer as 'select 1'; revoke all on function one() from public",
            "one() runs with the search path of its caller"
        ),
        (
            "create function one() returns integer language sql security definer set search_path = SCHEMA as 'select 1'",
            "one() runs with the search path of its caller"
        ),
        (
            "create function one() returns integer language sql security definer set search_path = '' as 'select 1'",
            "one() may be called by everybody"
        ),
        ("grant truncate on item to martlet_SCHEMA", "has the right to truncate table"),
        ("grant trigger on item to martlet_SCHEMA_system", "_system has the right to trigger table"),
        ("grant references on item to public", "has the right to references table"),
        ("alter table item add unique (id), add constraint item_link foreign key (parent) references item (id)", "key item_link of"),
        (
            "alter table item add unique (id, tenant_id); "
                + "alter table item add constraint item_link foreign key (tenant_id, parent) references item (id, tenant_id)",
            "foreign key item_link of"
        ),
        (
            "alter table item add unique (id); create table open (item uuid, constraint open_item foreign key (item) references item (id))",
            "foreign key open_item of"
        ),
        ("grant create on schema SCHEMA to martlet_SCHEMA", "may create in schema"),
    ])
    func aSchemaThatDoesNotIsolateIsNamed(change: String, fault: String) async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            let tenant = "tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid)"
            let text = change.replacing("SCHEMA", with: database.schema).replacing("TENANT", with: tenant)
            try await database.asOwner(text.split(separator: "; ").map { "\(unescaped: String($0))" })
            let faults = try await faults(database)
            #expect(faults.contains { $0.contains(fault) }, "\(faults)")
        }
    }

    private func asSuperuser(_ statements: [SQL]) async throws {
        try await TestPostgres.withClient(TestPostgres.superuser()) { client in
            _ = try await client.batch(as: SystemContext(service: "test"), statements)
        }
    }

    /// The service works as these roles too.
    @Test(arguments: ["system", "search"])
    func anUnsafeRoleBesideItIsNamed(suffix: String) async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            let role = "martlet_\(database.schema)_\(suffix)"
            try await asSuperuser([
                "alter role \(unescaped: role) bypassrls",
                "alter table \(unescaped: database.schema).item owner to \(unescaped: role)",
            ])
            let faults = try await faults(database)
            #expect(faults.contains { $0.contains("role \(role) bypasses row security") }, "\(faults)")
            #expect(faults.contains { $0.contains("role \(role) owns \(database.schema).item or may become its owner") }, "\(faults)")
        }
    }

    @Test func whatRunsAsAnybodyElseIsNamed() async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            let role = "martlet_\(database.schema)"
            let function = "\(database.schema).one()"
            try await asSuperuser([
                "create function \(unescaped: function) returns int language sql security definer set search_path = '' as 'select 1'",
                "grant \(unescaped: role)_system to \(unescaped: role)",
            ])
            let faults = try await faults(database)
            #expect(faults.contains { $0.contains("one() runs as") }, "\(faults)")
            #expect(faults.contains("role \(role) may act as \(role)_system"), "\(faults)")
        }
    }

    @Test func anUnsafeRoleIsNamed() async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            let owner = try await faults(database, as: database.owner)
            #expect(owner.contains { $0.contains("owns \(database.schema).item") }, "\(owner)")
            let superuser = try await faults(database, as: TestPostgres.superuser())
            #expect(superuser.contains { $0.contains("is a superuser") }, "\(superuser)")
        }
    }
}
