import Core
import Foundation
import Postgres
import TestSupport
import Testing

@testable import Activity

/// What a page of the trail costs, with a tenant of 100,000 entries beside 300 of 20.
@Suite struct AuditPlanTests {
    private static let large = TenantID()
    private static let start = "2026-01-01T00:00:00Z"

    /// The entries of a tenant, one in 36 s, so a hundred in an hour. One kind, one resource, and one actor are rare: at its beginning.
    private static func fill(_ tenant: SQL, _ count: Int) -> [SQL] {
        [
            """
            insert into activity.event (tenant_id, sequence, format, id, source, aggregate, aggregate_id, kind, actor, request_id,
                occurred_at, recorded_at, payload_hash, previous_hash, hash)
            select tenant, n, 1, gen_random_uuid(), 'crm', case when n <= 5 then 'ticket' else 'lead' end, 'record-' || n % 1000,
                case when n <= 5 then 'lead.deleted' when n % 2 = 0 then 'lead.created' else 'lead.updated' end,
                case when n <= 5 then 'rare' else 'actor-' || n % 10 end, '', \(start)::timestamptz + n * interval '36 s', now(), '', '', ''
            from (\(tenant)) as of (tenant) cross join generate_series(1, \(count)) as n
            """,
            """
            insert into activity.event_hour select tenant_id, date_trunc('hour', occurred_at, 'UTC'), min(sequence), max(sequence)
            from activity.event group by 1, 2 on conflict do nothing
            """,
        ]
    }

    private static func time(_ text: String) -> Timestamp? { Timestamp(text) }

    private static let filters: [(name: String, filter: AuditFilter)] = [
        ("none", AuditFilter()), ("oldest first", AuditFilter(isNewestFirst: false)),
        ("actor", AuditFilter(actor: "actor-3")), ("a rare actor", AuditFilter(actor: "rare")), ("nobody", AuditFilter(actor: "nobody")),
        ("resource", AuditFilter(resource: "lead")), ("a rare resource", AuditFilter(resource: "ticket")),
        ("record", AuditFilter(resource: "lead", resourceID: "record-7")),
        ("action", AuditFilter(actions: ["lead.created"])), ("a rare action", AuditFilter(actions: ["lead.deleted"])),
        ("actions", AuditFilter(actions: ["lead.created", "lead.updated"])),
        ("rare actions", AuditFilter(actions: ["lead.deleted", "lead.restored", "lead.erased"])),
        ("actions of which one is rare", AuditFilter(actions: ["lead.deleted", "lead.updated"], isNewestFirst: false)),
        ("before all", AuditFilter(before: time("2020-01-01T00:00:00Z"))), ("after all", AuditFilter(after: time("2030-01-01T00:00:00Z"))),
        ("before, near the beginning", AuditFilter(before: time("2026-01-01T05:30:00Z"))),
        ("after, near the end", AuditFilter(after: time("2026-02-11T15:00:00Z"), isNewestFirst: false)),
        ("an hour", AuditFilter(after: time("2026-01-20T10:00:00Z"), before: time("2026-01-20T11:00:00Z"))),
        (
            "actions of an hour",
            AuditFilter(
                actions: ["lead.deleted", "lead.updated"], after: time("2026-01-20T10:00:00Z"), before: time("2026-01-20T11:00:00Z"))
        ),
    ]

    /// Goal: each filter walks an index, in the large tenant and in a small one, and however the plan is made.
    /// Method: the statement that the service sends, explained with the pages that it touches, under a plan for these values and under
    /// one for any. A page of 51 entries takes at most four for each, and the hours of the whole trail ten.
    @Test func eachFilterWalksAnIndex() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            var superuser = database.superuser
            superuser.statementTimeout = .seconds(120)
            let small = TenantID()
            _ = try await TestPostgres.withClient(superuser) { client in
                try await client.batch(
                    as: SystemContext(service: "test", timeout: .seconds(120)),
                    Self.fill("select \(Self.large)::uuid", 100_000)
                        + Self.fill("select md5(n::text)::uuid from generate_series(1, 300) as n union all select \(small)", 20)
                        + ["analyze activity.event, activity.event_hour"])
            }
            var runtime = database.superuser
            (runtime.user, runtime.password, runtime.schema) = ("martlet_activity", "test", "activity")
            try await TestPostgres.withClient(runtime) { client in
                for (name, filter) in Self.filters {
                    for (tenant, mode) in [Self.large, small].flatMap({ [($0, "force_custom_plan"), ($0, "force_generic_plan")] }) {
                        let (plan, pages) = try await Self.explain(filter, of: tenant, mode, client)
                        #expect(pages < 350, "\(name), \(mode): \(plan)")
                        #expect(!plan.contains("Seq Scan on event"), "\(name), \(mode): \(plan)")
                    }
                }
            }
        }
    }

    private static func explain(
        _ filter: AuditFilter, of tenant: TenantID, _ mode: String, _ client: PostgresClient
    ) async throws -> (plan: String, pages: Int) {
        let page = AuditStore.page(filter, beyond: nil, limit: 50, content: .change, of: tenant)
        let values = page.binds.map { value in
            if case .text(let text) = value { "'\(text.replacing("'", with: "''"))'" } else { "null" }
        }
        let context = RequestContext(tenant: tenant, user: UserID(), edge: .test())
        let results = try await client.batch(
            as: context,
            [
                "select set_config('plan_cache_mode', \(mode), true)", SQL(unescaped: "prepare page as " + page.text),
                SQL(unescaped: "explain (analyze, buffers, costs off, timing off) execute page (\(values.joined(separator: ", ")))"),
                "deallocate page",
            ])
        let plan = try results[2].map { try $0.decode(0, as: String.self) }
        // The first line about buffers is of the whole.
        let buffers = plan.first { $0.contains("Buffers: shared") } ?? ""
        let pages = buffers.split(whereSeparator: { " =".contains($0) }).compactMap { Int($0) }.reduce(0, +)
        return (plan.joined(separator: "\n"), pages)
    }
}
