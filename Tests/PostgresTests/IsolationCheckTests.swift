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
        ("create table fresh (tenant_id uuid, id uuid)", ".fresh has no row security enabled"),
        ("grant create on schema SCHEMA to martlet_SCHEMA", "may create in schema"),
    ])
    func aSchemaThatDoesNotIsolateIsNamed(change: String, fault: String) async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            try await database.asOwner(["\(unescaped: change.replacing("SCHEMA", with: database.schema))"])
            let faults = try await faults(database)
            #expect(faults.contains { $0.contains(fault) }, "\(faults)")
        }
    }

    /// The service works as these roles too.
    @Test(arguments: ["system", "search"])
    func anUnsafeRoleBesideItIsNamed(suffix: String) async throws {
        try await TestPostgres.run { database in
            try await database.makeTable()
            let role = "martlet_\(database.schema)_\(suffix)"
            try await TestPostgres.withClient(TestPostgres.superuser()) { client in
                _ = try await client.batch(
                    as: SystemContext(service: "test"),
                    [
                        "alter role \(unescaped: role) bypassrls",
                        "alter table \(unescaped: database.schema).item owner to \(unescaped: role)",
                    ])
            }
            let faults = try await faults(database)
            #expect(faults.contains { $0.contains("role \(role) bypasses row security") }, "\(faults)")
            #expect(faults.contains { $0.contains("role \(role) owns \(database.schema).item or may become its owner") }, "\(faults)")
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
