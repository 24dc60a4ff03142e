import Activity
import CRM
import Contracts
import Core
import Foundation
import Operations
import Postgres
import TestSupport
import Testing

@testable import ServiceRuntime

/// The relay between two real services, each on its schema.
@Suite struct OutboxRelayTests {
    private static func insert(_ tenant: TenantID, _ number: Int, payload: String) -> SQL {
        """
        insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
        values (\(tenant), 'lead', \(String(number)), 'lead.updated', \(payload)::jsonb, 'system', '', crm.outbox_lane(\(tenant)))
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
        try await database.query(["select count(*) from \(unescaped: table)"])[0][0].decode(0)
    }

    /// Fault F7: an event that activity can never take (nested deeper than it reads) is set aside, the others arrive, and the trail says
    /// in its place what is missing, until it is mended and put back.
    @Test func aPoisonEventIsSetAsideAndLeavesAGapInItsPlace() async throws {
        let tenant = TenantID()
        let poison = #"{"after":"# + String(repeating: "[", count: 40) + String(repeating: "]", count: 40) + "}"
        let statements = (0..<21).map { Self.insert(tenant, $0, payload: $0 == 7 ? poison : #"{"before":null,"after":{}}"#) }
        try await relay(statements) { database, _ in
            try await eventually("the outbox is empty") { try await Self.count("crm.outbox", database) == 0 }
            #expect(try await Self.count("activity.event", database) == 21)
            let rows = try await database.query([
                """
                select sequence = 8 as is_in_place, kind, gap.payload ->> 'event_id' = dead.event_id::text as is_named,
                    gap.id = crm.gap_id(dead.event_id) as is_paired, gap.id::text as id, dead.event_id::text as event_id,
                    gap.payload ->> 'action' as action, gap.payload ->> 'reason' as reason,
                    gap.payload ->> 'payload_sha256' = encode(sha256(dead.payload::text::bytea), 'hex') as is_digest
                from activity.event as gap cross join crm.outbox_dead_letter as dead
                where dead.aggregateid = '7' and aggregate = 'lead' and aggregate_id = '7'
                """
            ])[0]
            let gap = try #require(rows.first)
            #expect(rows.count == 1)
            #expect(try EventChain.gapID(of: gap.decode("event_id")) == gap.decode("id", as: String.self))
            for name in ["is_in_place", "is_named", "is_digest", "is_paired"] { #expect(try gap.decode(name, as: Bool.self), "\(name)") }
            #expect(try gap.decode("kind", as: String.self) == "audit.gap")
            #expect(try gap.decode("action", as: String.self) == "lead.updated")
            #expect(try gap.decode("reason", as: String.self) == "400 invalid_json")

            try await database.query(
                in: .crm, [#"update outbox_dead_letter set payload = '{"after":{}}'"#, "select put_back(event_id) from outbox_dead_letter"])
            try await eventually("the mended event arrives") { try await Self.count("activity.event", database) == 22 }
            #expect(
                try await Self.count(
                    "activity.event as gap join activity.event as mended on mended.id::text = gap.payload ->> 'event_id'", database) == 1)
            #expect(try await Self.count("crm.outbox_dead_letter", database) == 0)
        }
    }

    /// E21: what was set aside is somebody's data, and is not kept for ever.
    @Test func whatWasSetAsideGoesAfterNinetyDays() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await database.query(
                in: .crm,
                [
                    """
                    insert into outbox_dead_letter
                        (id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at, lane, reason, set_aside_at)
                    select n, gen_random_uuid(), \(TenantID()), 'lead', n::text, 'lead.updated', '{}', '', '', now(), 0, '', now() - n * interval '1 day'
                    from unnest(array[1, 89, 91, 400]) as n
                    """
                ])
            try await RunningService.run(CRM.definition, on: database) { service in
                try await service.runJob("dead-letter-retention")
                #expect(try await Self.count("crm.outbox_dead_letter where id < 90", database) == 2)
                #expect(try await Self.count("crm.outbox_dead_letter", database) == 2)
            }
        }
    }

    /// A tenant that has written 3,000 events before another's one: that one is in the first look.
    @Test func aTenantWithManyEventsDelaysNoOtherLane() async throws {
        let busy = TenantID()
        func lane(_ tenant: TenantID) async throws -> Int {
            var superuser = try TestPostgres.superuser()
            superuser.bulkConnections = 0
            return try await TestPostgres.withClient(superuser) { client in
                try await client.batch(as: SystemContext(service: "test"), ["select uuid_hash(\(tenant)) & 63"])[0][0].decode(0)
            }
        }
        var quiet = TenantID()
        while try await lane(quiet) == lane(busy) { quiet = TenantID() }
        let backlog: SQL = """
            insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
            select \(busy), 'lead', n::text, 'lead.updated', '{}', 'system', '', crm.outbox_lane(\(busy)) from generate_series(1, 3000) as n
            """
        let other = quiet
        try await relay([backlog, Self.insert(quiet, 1, payload: "{}")]) { database, _ in
            try await eventually("the outbox is empty", within: .seconds(60)) { try await Self.count("crm.outbox", database) == 0 }
            #expect(
                try await Self.count(
                    """
                    activity.event where tenant_id = '\(busy)'
                        and recorded_at < (select recorded_at from activity.event where tenant_id = '\(other)')
                    """, database) <= 500)
            #expect(try await Self.count("activity.event where tenant_id = '\(busy)'", database) == 3000)
        }
    }

    /// More than one hand-over carries: 40 events of 256 KiB wait at once.
    @Test func aBacklogLargerThanOneHandOverArrivesWhole() async throws {
        let tenant = TenantID()
        let statement: SQL = """
            insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
            select \(tenant), 'lead', n::text, 'lead.updated', jsonb_build_object('after', repeat('x', 1 << 18)), 'system', '', crm.outbox_lane(\(tenant))
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
