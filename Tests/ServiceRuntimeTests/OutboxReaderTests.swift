import CRM
import Contracts
import Core
import Operations
import Postgres
import TestSupport
import Testing

@testable import ServiceRuntime

/// How the relay finds what is to be handed over, on a real outbox.
@Suite struct OutboxReaderTests {
    private static func insert(_ tenant: TenantID, count: Int = 1) -> SQL {
        """
        insert into outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
        select \(tenant), 'lead', n::text, 'lead.updated', '{}', 'system', '', outbox_lane(\(tenant)) from generate_series(1, \(count)) as n
        """
    }

    private static func withSession<T: Sendable>(_ body: (PostgresClient, PostgresSession) async throws -> T) async throws -> T {
        try await TestDatabase.run([CRM.definition]) { database in
            var configuration = database.superuser
            configuration.schema = "crm"
            configuration.bulkConnections = 3
            return try await TestPostgres.withClient(configuration) { client in
                try await client.session(as: SystemContext(service: "test")) { try await body(client, $0) }
            }
        }
    }

    private static func deliver(_ reader: inout OutboxReader, _ session: PostgresSession) async throws -> [QueuedEvent] {
        let events = try await reader.read()
        _ = try await session.query(QueuedEvent.removal(of: events[...]))
        reader.delivered(events)
        return events
    }

    /// Fault F9, where the floor rises: a transaction takes its id first and commits last.
    @Test func theFloorWaitsForWhoeverTookAnIdEarly() async throws {
        try await Self.withSession { client, session in
            var reader = try await OutboxReader(session, of: .crm, settling: .zero)
            let tenant = TenantID()
            try await client.transaction(as: SystemContext(service: "test")) { late in
                _ = try await late.query(Self.insert(tenant))
                _ = try await client.batch(as: SystemContext(service: "test"), [Self.insert(tenant, count: 3)])
                #expect(try await Self.deliver(&reader, session).map(\.id) == [2, 3, 4])
                for _ in 0..<5 { #expect(try await Self.deliver(&reader, session).isEmpty) }
            }
            #expect(try await Self.deliver(&reader, session).map(\.id) == [1])
        }
    }

    /// E23: 20,000 delivered rows stay in table and index, as a snapshot is open; a look does not walk over them.
    @Test func anOpenSnapshotMakesNoLookSlower() async throws {
        try await Self.withSession { client, session in
            /// Pages of the outbox and its index that were looked at: all is done by this session, as another's are told of some time later.
            func pages() async throws -> Int {
                try await session.query("select pg_stat_force_next_flush()")
                try await session.query("select 1")
                return try await client.batch(
                    as: SystemContext(service: "test"),
                    [
                        "select pg_stat_clear_snapshot()",
                        """
                        select heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit from pg_statio_user_tables
                        where relname = 'outbox'
                        """,
                    ])[1][0].decode(0)
            }
            // What the server clears away by itself would be counted too.
            try await session.query("alter table outbox set (autovacuum_enabled = false)")
            try await client.session(as: SystemContext(service: "test")) { dump in
                try await dump.query("begin isolation level repeatable read")
                try await dump.query("select count(*) from outbox")
                var reader = try await OutboxReader(session, of: .crm, settling: .zero)
                let tenants = (0..<4).map { _ in TenantID() }
                for tenant in tenants { _ = try await session.query(Self.insert(tenant, count: 5000)) }
                var delivered = 0
                while case let events = try await Self.deliver(&reader, session), !events.isEmpty { delivered += events.count }
                #expect(delivered == 20_000)
                for _ in 0..<3 { _ = try await Self.deliver(&reader, session) }
                let before = try await pages()
                for number in 0..<10 {
                    _ = try await session.query(Self.insert(tenants[number % 4]))
                    #expect(try await Self.deliver(&reader, session).count == 1)
                }
                // Two or three for each lane of a look, and those of the deletion; 15,000 a look without the floor.
                let looked = try await pages() - before
                #expect(looked < 5000)
                // The server believes from here on that the outbox is empty, and could join it by walking a whole index for each event.
                try await session.query("analyze outbox")
                let start = try await pages()
                for tenant in tenants { _ = try await session.query(Self.insert(tenant, count: 250)) }
                #expect(try await Self.deliver(&reader, session).count == 1000)
                #expect(try await pages() - start < 60_000)
                try await dump.query("rollback")
            }
        }
    }

    @Test func everyLanesFirstEventsComeBeforeTheSecondOfAny() async throws {
        try await Self.withSession { client, session in
            var reader = try await OutboxReader(session, of: .crm, laneLimit: 4, limit: 6)
            let tenants = (0..<200).map { _ in TenantID() }
            _ = try await client.batch(
                as: SystemContext(service: "test"), [Self.insert(tenants[0], count: 10)] + tenants.map { Self.insert($0) })
            var order: [Int: [Int64]] = [:]
            var (looks, count) = (0, 0)
            while case let events = try await Self.deliver(&reader, session), !events.isEmpty {
                if looks < 5 { #expect(Set(events.map(\.lane)).count == events.count, "another lane has an older one") }
                #expect(events.count <= 6)
                for event in events { order[event.lane, default: []].append(event.id) }
                looks += 1
                count += events.count
            }
            #expect(count == 210)
            for ids in order.values { #expect(ids == ids.sorted()) }
        }
    }

    /// Two tenants of one lane: the one's event comes in the first look, past the other's many, and nothing is left behind.
    @Test func aTenantWithManyEventsDelaysNoOtherOfItsLane() async throws {
        try await Self.withSession { client, session in
            func lane(_ tenant: TenantID) async throws -> Int {
                try await client.batch(as: SystemContext(service: "test"), ["select uuid_hash(\(tenant)) & 63"])[0][0].decode(0)
            }
            let busy = TenantID()
            var quiet = TenantID()
            while try await lane(quiet) != lane(busy) { quiet = TenantID() }
            _ = try await client.batch(
                as: SystemContext(service: "test"), [Self.insert(busy, count: 100), Self.insert(quiet), Self.insert(busy, count: 100)])
            var reader = try await OutboxReader(session, of: .crm, laneLimit: 60, settling: .zero)
            let first = try await Self.deliver(&reader, session)
            #expect(first.count == 61)
            #expect(first.last?.event.tenant == quiet)
            var ids = first.dropLast().map(\.id)
            while case let events = try await Self.deliver(&reader, session), !events.isEmpty { ids += events.map(\.id) }
            #expect(ids == Array(1...100) + Array(102...201))
        }
    }

    @Test func aLookHasRoomForSomeBytesAndAtLeastOneEvent() async throws {
        try await Self.withSession { client, session in
            var reader = try await OutboxReader(session, of: .crm, bytes: 2500)
            let tenant = TenantID()
            let insertion: SQL = """
                insert into outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
                select \(tenant), 'lead', n::text, 'lead.updated', to_jsonb(repeat('x', n * 1000)), 'system', '', outbox_lane(\(tenant)) from generate_series(1, 4) as n
                """
            _ = try await client.batch(as: SystemContext(service: "test"), [insertion])
            var sizes: [Int] = []
            while case let events = try await Self.deliver(&reader, session), !events.isEmpty { sizes.append(events.count) }
            #expect(sizes == [2, 1, 1])
        }
    }

    @Test func theLeaseIsOneSessionsAndEndsWithItOrItsTime() async throws {
        try await Self.withSession { client, session in
            let lease = try #require(try await Lease.take(.relay, session))
            try await client.session(as: SystemContext(service: "test")) { other in
                #expect(try await Lease.take(.relay, other) == nil)
                try await lease.renew(session)
                try await other.query("update lease set expires_at = now() - interval '1 second'")
                let next = try #require(try await Lease.take(.relay, other))
                #expect(next.fence == lease.fence + 1)
                await #expect(throws: Lease.Lost.self) { try await lease.renew(session) }
                #expect(try await Lease.take(.relay, session) == nil)
            }
            // The session is gone, so the lease is free though its time is not over.
            try await eventually("the lease is free") { try await Lease.take(.relay, session)?.fence == lease.fence + 2 }
        }
    }
}
