import Activity
import CRM
import Contracts
import Core
import Foundation
import Postgres
import TestSupport
import Testing

/// The relay between two real services, each on its schema.
@Suite struct OutboxRelayTests {
    private static func insert(_ tenant: TenantID, _ number: Int, payload: String) -> SQL {
        """
        insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id)
        values (\(tenant), 'lead', \(String(number)), 'lead.updated', \(payload)::jsonb, 'system', '')
        """
    }

    /// Runs activity, then crm with its relay, on a database whose crm outbox has the events already.
    private func relay(_ statements: [SQL], _ check: @escaping @Sendable (TestDatabase, RunningService) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition, Activity.definition]) { database in
            _ = try await TestPostgres.withClient(database.superuser) { client in
                try await client.batch(as: SystemContext(service: "test"), statements)
            }
            try await RunningService.run(Activity.definition, on: database) { activity in
                let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": activity.url]
                try await RunningService.run(CRM.definition, on: database, settings: settings) { _ in
                    try await check(database, activity)
                }
            }
        }
    }

    private static func count(_ table: String, _ database: TestDatabase) async throws -> Int {
        try await TestPostgres.withClient(database.superuser) { client in
            try await client.batch(as: SystemContext(service: "test"), ["select count(*) from \(unescaped: table)"])[0][0].decode(0)
        }
    }

    /// Fault F7: an event that activity can never take (nested deeper than it reads) is set aside, and the others arrive.
    @Test func aPoisonEventIsSetAsideAndDelaysNoOther() async throws {
        let tenant = TenantID()
        let poison = #"{"after":"# + String(repeating: "[", count: 40) + String(repeating: "]", count: 40) + "}"
        let statements = (0..<21).map { Self.insert(tenant, $0, payload: $0 == 7 ? poison : #"{"before":null,"after":{}}"#) }
        try await relay(statements) { database, _ in
            try await eventually("the outbox is empty") { try await Self.count("crm.outbox", database) == 0 }
            #expect(try await Self.count("activity.event", database) == 20)
            #expect(try await Self.count("crm.outbox_dead_letter where aggregateid = '7'", database) == 1)
        }
    }

    /// More than one hand-over carries: 40 events of 256 KiB wait at once.
    @Test func aBacklogLargerThanOneHandOverArrivesWhole() async throws {
        let tenant = TenantID()
        let statement: SQL = """
            insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id)
            select \(tenant), 'lead', n::text, 'lead.updated', jsonb_build_object('after', repeat('x', 1 << 18)), 'system', ''
            from generate_series(1, 40) as n
            """
        try await relay([statement]) { database, _ in
            try await eventually("the outbox is empty", within: .seconds(120)) { try await Self.count("crm.outbox", database) == 0 }
            #expect(try await Self.count("activity.event", database) == 40)
            #expect(try await Self.count("crm.outbox_dead_letter", database) == 0)
        }
    }

    /// Fault F9: an event whose transaction took its id first but commits last is delivered all the same.
    @Test func anEventThatCommitsLateIsNotSkipped() async throws {
        let tenant = TenantID()
        try await relay([]) { database, _ in
            _ = try await TestPostgres.withClient(database.superuser) { client in
                var configuration = database.superuser
                configuration.bulkConnections = 1
                return try await TestPostgres.withClient(configuration) { late in
                    try await late.transaction(as: SystemContext(service: "test")) { transaction in
                        _ = try await transaction.query(Self.insert(tenant, 1, payload: #"{"after":{}}"#))
                        _ = try await client.batch(
                            as: SystemContext(service: "test"), [Self.insert(tenant, 2, payload: #"{"after":{}}"#)])
                        try await eventually("the later id is delivered first") { try await Self.count("activity.event", database) == 1 }
                    }
                }
            }
            try await eventually("the earlier id follows") { try await Self.count("activity.event", database) == 2 }
        }
    }
}
