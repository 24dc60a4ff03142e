import CRM
import Core
import Postgres
import ServiceRuntime
import TestSupport
import Testing

/// Partitions that a service makes itself.
@Suite struct PartitionTests {
    private static let table = """
        create table delivery (
            tenant_id uuid not null, id uuid not null, created_at timestamptz not null,
            constraint delivery_pkey primary key (tenant_id, created_at, id)
        ) partition by range (created_at);
        create table plain (tenant_id uuid not null, id uuid not null);
        call isolate('delivery', 'select, insert');
        call isolate('plain');
        call audited('delivery', 'delivery');
        """

    private func member() -> RequestContext {
        RequestContext(
            tenant: TenantID(), user: UserID(), role: "", permissions: PermissionSet(), scopes: RowScopes(), plan: "", edge: .test())
    }

    private func insert(_ time: String, as context: RequestContext) -> SQL {
        "insert into delivery (tenant_id, id, created_at) values (\(context.tenant), \(RecordID()), \(time)::timestamptz)"
    }

    /// Declares the table, then acts as the role that serves requests.
    private func run(_ body: (PostgresClient, TestPostgres) async throws -> Void) async throws {
        try await TestPostgres.run { database in
            let foundation = try ServiceHost.migrations(of: CRM.definition)[0]
            let own = try MigrationSet(name: "own", migrations: [Migration(set: "own", version: 1, name: "table", sql: Self.table)])
            try await Migrator(configuration: database.owner, schema: database.schema).apply(
                [foundation, own], logger: TestPostgres.logger)
            try await database.withClient { client in try await body(client, database) }
        }
    }

    @Test func theRoleThatServesMakesAMonthsPartitionUnderIsolation() async throws {
        try await run { client, database in
            let (one, other) = (member(), member())
            await #expect(throws: PostgresError.self) { try await client.batch(as: one, [insert("2026-11-30T23:59:59Z", as: one)]) }
            for _ in 0..<2 { _ = try await client.batch(as: one, ["select make_partition('delivery', '2026-11-15')"]) }
            _ = try await client.batch(as: one, [insert("2026-11-30T23:59:59Z", as: one)])
            #expect(try await client.batch(as: one, ["select from delivery"])[0].count == 1)
            #expect(try await client.batch(as: other, ["select from delivery"])[0].isEmpty)
            await #expect(throws: PostgresError.self) { try await client.batch(as: one, ["select from delivery_2026_11"]) }
            await #expect(throws: PostgresError.self) { try await client.batch(as: one, [insert("2026-12-01T00:00:00Z", as: one)]) }
            try await IsolationCheck(client, schema: database.schema).run(as: SystemContext(service: "test"))
            let events = try await TestPostgres.withClient(database.system) { system in
                try await system.batch(as: SystemContext(service: "test"), ["select type from outbox"])[0].map { $0.text(0) }
            }
            #expect(events == ["delivery.created"])
        }
    }

    @Test func manyAtOnceMakeOne() async throws {
        try await run { client, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        _ = try await client.batch(
                            as: SystemContext(service: "test"), ["select make_partition('delivery', now()::date)"])
                    }
                }
                try await group.waitForAll()
            }
            let children = try await client.batch(
                as: SystemContext(service: "test"), ["select from pg_inherits where inhparent = 'delivery'::regclass"])[0]
            #expect(children.count == 1)
        }
    }

    @Test(arguments: [
        "'plain', '2026-11-01'", "'pg_catalog.pg_class', '2026-11-01'", "'delivery', '1926-11-01'", "'delivery', '2926-11-01'",
    ])
    func nothingElseCanBeAskedFor(arguments: String) async throws {
        try await run { client, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await client.batch(as: member(), ["select make_partition(\(unescaped: arguments))"])
            }
            #expect(error?.sqlState == "42501")
        }
    }
}
