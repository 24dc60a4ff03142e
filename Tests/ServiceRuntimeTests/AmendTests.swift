import CRM
import Core
import Operations
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

/// Migrations that change the rows of tenants.
@Suite struct AmendTests {
    private func migrator(_ database: TestDatabase) -> Migrator { Migrator(configuration: database.owner(of: .crm), schema: "crm") }

    /// The migrations of crm and more behind them.
    private func sets(and more: [String]) throws -> [MigrationSet] {
        let sets = try ServiceHost.migrations(of: CRM.definition)
        let last = try #require(sets.last)
        let added = more.enumerated().map {
            Migration(set: last.name, version: last.migrations.count + $0 + 1, name: "step_\($0 + 1)", sql: $1)
        }
        return sets.dropLast() + [try MigrationSet(name: last.name, migrations: last.migrations + added)]
    }

    private final class Requests: Sendable {
        let answered = Atomic<Int>(0)
        let areOver = Atomic<Bool>(false)
    }

    private static func member(_ tenant: TenantID) -> Caller {
        .member(
            RequestContext(
                tenant: tenant, user: UserID(), role: "manager", permissions: BuiltInRole.manager.permissions,
                scopes: BuiltInRole.manager.scopes, plan: "pro", edge: .test()))
    }

    private func insert(_ count: Int, of tenant: TenantID, _ database: TestDatabase) async throws {
        try await database.query(
            in: .crm,
            [
                """
                insert into lead (tenant_id, id, last_name, created_by, updated_by)
                select \(tenant), gen_random_uuid(), 'Lead', \(tenant), \(tenant) from generate_series(1, \(count))
                """, "delete from outbox",
            ])
    }

    @Test(arguments: [
        "update lead set source = 'import'", "delete from lead", "update outbox set actor = 'nobody'",
        "create table copy as select * from lead",
        "create table link (tenant_id uuid, lead_id uuid); insert into link values (gen_random_uuid(), gen_random_uuid()); "
            + "alter table link add constraint link_lead_fkey foreign key (tenant_id, lead_id) references lead (tenant_id, id)",
    ])
    func aMigrationThatForgetsToAmendIsRefused(sql: String) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await insert(3, of: TenantID(), database)
            try await database.query(in: .crm, ["update lead set score = 1"])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply(sets(and: [sql]), logger: TestPostgres.logger)
            }
            #expect(error?.description.contains("begins with: call amend()") == true, "\(String(describing: error))")
        }
    }

    @Test func whatAMigrationAmendsIsAuditedAsItsDoing() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            let tenants = [TenantID(), TenantID()]
            for tenant in tenants { try await insert(3, of: tenant, database) }
            let statement = """
                call amend();
                update lead set source = 'import', version = version + 1;
                insert into lead (tenant_id, id, last_name, created_by, updated_by)
                select tenant_id, uuid_v7(), 'Welcome', tenant_id, tenant_id from lead group by tenant_id;
                """
            try await migrator(database).apply(sets(and: [statement]), logger: TestPostgres.logger)
            let events = try await database.query(
                in: .crm, ["select distinct type || ' ' || actor || ' ' || request_id, count(*) from outbox group by 1 order by 1"])[0]
            let request = try "crm.\(sets(and: [statement])[1].migrations.last?.description.split(separator: " ").last ?? "")"
            #expect(events.map { $0.text(0) } == ["lead.created migration \(request)", "lead.updated migration \(request)"])
            #expect(try events.map { try $0.decode(1, as: Int.self) } == [2, 6])
            // The next migration has to say so again.
            await #expect(throws: MigrationError.self) {
                try await migrator(database).apply(
                    sets(and: [statement, "update lead set source = null"]), logger: TestPostgres.logger)
            }
        }
    }

    /// Rows of two tenants are changed in steps, an index is built and a column added, while both tenants read, create and change the
    /// same rows. Every request is answered; every row that was there is changed once, and audited.
    @Test func requestsGoOnWhileRowsAreChangedAndAnIndexIsBuilt() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            let tenants = [TenantID(), TenantID()]
            for tenant in tenants { try await insert(400, of: tenant, database) }
            let held = try await database.query(in: .crm, ["select tenant_id, id from lead order by random() limit 8"])[0].map { row in
                (tenant: try row.decode(0, as: TenantID.self), id: try row.decode(1, as: RecordID.self))
            }
            try await RunningService.run(CRM.definition, on: database) { service in
                let requests = Requests()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for lead in held {
                        group.addTask {
                            let caller = Self.member(lead.tenant)
                            var round = 0
                            while !requests.areOver.load(ordering: .relaxed) {
                                round += 1
                                try await service.send(.get, "/v1/leads?limit=5", as: caller, expecting: 200)
                                let new: JSON = ["last_name": "New", "source": "web"]
                                try await service.send(.post, "/v1/leads", new, as: caller, expecting: 201)
                                try await service.send(
                                    .patch, "/v1/leads/\(lead.id)", ["title": .string("T\(round)")], as: caller, expecting: 200)
                                requests.answered.add(3, ordering: .relaxed)
                            }
                        }
                    }
                    group.addTask {
                        defer { requests.areOver.store(true, ordering: .relaxed) }
                        try await eventually("requests are under way") { requests.answered.load(ordering: .relaxed) > 20 }
                        let applied = try await migrator(database).apply(
                            sets(and: [
                                """
                                \(Migration.outsideMark)
                                call amend_in_steps('lead', 'source = ''import'', version = version + 1', 'source is null', 20)
                                """,
                                """
                                \(Migration.outsideMark)
                                create index concurrently if not exists lead_by_source on lead (tenant_id, source, id)
                                """,
                                "alter table lead add column rating text",
                            ]), logger: TestPostgres.logger)
                        #expect(applied.count == 3)
                    }
                    try await group.waitForAll()
                }
            }
            let results = try await database.query(
                in: .crm,
                [
                    "select count(*) filter (where source = 'import'), count(*) filter (where source is null) from lead",
                    "select count(distinct aggregateid), count(*) from outbox where actor = 'migration' and type = 'lead.updated'",
                    "select count(*) from pg_index where indexrelid = 'lead_by_source'::regclass and indisvalid",
                ])
            #expect(try [results[0][0].decode(0), results[0][0].decode(1), results[2][0].decode(0)] == [800, 0, 1])
            #expect(try [results[1][0].decode(0), results[1][0].decode(1)] == [800, 800])
        }
    }
}
