import Contracts
import Core
import Foundation
import Postgres
import TestSupport
import Testing

@testable import Activity

/// The log on a real database, through the service's own routes.
@Suite struct EventLogTests {
    private func event(_ tenant: TenantID, _ number: Int, kind: String = "lead.updated", padding: String = "") -> Event {
        Event(
            id: EventID(), tenant: tenant, source: "crm", aggregate: "lead", aggregateID: "record-\(number % 3)", kind: kind,
            actor: UserID().description, requestID: "r-\(number)", occurredAt: .now,
            payload: #"{"before":{"n":0},"after":{"n":\#(number),"text":"\#(padding)"}}"#)
    }

    private func member(of tenant: TenantID, role: BuiltInRole = .tenantAdmin) -> Caller {
        .member(
            RequestContext(
                tenant: tenant, user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes, plan: "pro",
                edge: .test()))
    }

    private func deliver(_ events: [Event], to service: RunningService) async throws {
        let context = RunningService.signer.sign(.anotherService, method: "POST", target: "/internal/events")
        try await APIClient(url: service.url).send(
            "POST", "/internal/events", bytes: Event.encode(events), headers: [(ContextSigner.headerName, context)], expecting: 204)
    }

    /// Fault F8: ten deliveries of the same events, each in another order and cut in other places, at once.
    @Test func repeatedAndReorderedDeliveriesLeaveEachEventOnce() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenants = [TenantID(), TenantID()]
                let events = (0..<60).map { event(tenants[$0 % 2], $0) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<10 {
                        let shuffled = events.shuffled()
                        let cut = Int.random(in: 1..<59)
                        group.addTask {
                            try await deliver(Array(shuffled[..<cut]), to: service)
                            try await deliver(Array(shuffled[cut...]), to: service)
                        }
                    }
                    try await group.waitForAll()
                }
                for tenant in tenants {
                    let page = try await service.send(.get, "/v1/audit?limit=200&sort=sequence", as: member(of: tenant), expecting: 200)
                    let entries = page.json["data"]?.array ?? []
                    #expect(entries.compactMap { $0["sequence"]?.integer } == Array(1...30))
                    #expect(
                        Set(entries.compactMap { $0["id"]?.string }) == Set(events.filter { $0.tenant == tenant }.map(\.id.description)))
                    let export = try await service.send(.get, "/v1/audit/export", as: member(of: tenant), expecting: 200)
                    let report = EventChain.verify(lines: export.body.split(separator: UInt8(ascii: "\n")).map(Array.init))
                    #expect(report.entries == 30)
                    #expect(report.fault == nil)
                }
            }
        }
    }

    @Test func theTrailIsFilteredAndReadInPages() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                let events = (0..<25).map { event(tenant, $0, kind: $0 == 7 ? "lead.deleted" : "lead.updated") }
                try await deliver(events, to: service)
                let reader = member(of: tenant)
                var seen: [Int64] = []
                var next: String? = ""
                while let cursor = next {
                    let after = cursor.isEmpty ? "" : "&after=\(cursor)"
                    let page = try await service.send(.get, "/v1/audit?limit=10\(after)", as: reader, expecting: 200)
                    seen += page.json["data"]?.array?.compactMap { $0["sequence"]?.integer } ?? []
                    next = page.json["page"]?["next"]?.string
                }
                #expect(seen == Array((1...25).reversed()))

                let deleted = try await service.send(.get, "/v1/audit?action=lead.deleted,lead.restored", as: reader, expecting: 200)
                #expect(deleted.json["data"]?.array?.compactMap { $0["id"]?.string } == [events[7].id.description])
                let record = try await service.send(.get, "/v1/audit?resource=lead&id=record-1&limit=200", as: reader, expecting: 200)
                #expect(record.json["data"]?.array?.count == 8)
                let actor = try await service.send(.get, "/v1/audit?actor=\(events[3].actor)", as: reader, expecting: 200)
                #expect(actor.json["data"]?.array?.first?["after"]?["n"] == 3)
            }
        }
    }

    /// A32: entries of any size are read with a memory that stays the same.
    @Test func pagesOfLargeEntriesEndEarlyAndTheExportIsWhole() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                let padding = String(repeating: "x", count: 150_000)
                for start in [0, 10, 20] {
                    try await deliver((start..<start + 10).map { event(tenant, $0, padding: $0 % 2 == 0 ? padding : "") }, to: service)
                }
                let reader = member(of: tenant)
                var seen: [Int64] = []
                var next: String? = ""
                while let cursor = next {
                    let page = try await service.send(
                        .get, "/v1/audit?limit=200" + (cursor.isEmpty ? "" : "&after=\(cursor)"), as: reader, expecting: 200)
                    #expect(page.body.count < 1_300_000)
                    seen += page.json["data"]?.array?.compactMap { $0["sequence"]?.integer } ?? []
                    next = page.json["page"]?["next"]?.string
                    try #require(seen.count < 31)
                }
                #expect(seen == Array((1...30).reversed()))
                let export = try await service.send(.get, "/v1/audit/export", as: reader, expecting: 200)
                let report = EventChain.verify(lines: export.body.split(separator: UInt8(ascii: "\n")).map(Array.init))
                #expect(report.entries == 30)
                #expect(report.fault == nil)
            }
        }
    }

    @Test func onlyWhoMayReadsTheTrailAndOnlyTheirOwn() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                try await deliver([event(tenant, 1), event(tenant, 2)], to: service)
                for role in [BuiltInRole.sales, .support, .readOnly] {
                    try await service.send(.get, "/v1/audit", as: member(of: tenant, role: role), expecting: 403)
                    try await service.send(.get, "/v1/audit/export", as: member(of: tenant, role: role), expecting: 403)
                }
                let other = try await service.send(.get, "/v1/audit", as: member(of: TenantID()), expecting: 200)
                #expect(other.json["data"]?.array?.isEmpty == true)
                let page = try await service.send(.get, "/v1/audit?limit=1", as: member(of: tenant), expecting: 200)
                let cursor = try #require(page.json["page"]?["next"]?.string)
                let refused = try await service.send(.get, "/v1/audit?limit=1&after=\(cursor)", as: member(of: TenantID()), expecting: 400)
                #expect(refused.code == "invalid_cursor")
                // A member cannot append, nor can nobody.
                try await service.send(.post, "/internal/events", [], as: member(of: tenant), expecting: 404)
                try await service.send(.post, "/internal/events", [], as: .anybody(), expecting: 404)
            }
        }
    }

    @Test(arguments: [
        ("limit=0", "invalid_parameter"), ("limit=201", "invalid_parameter"), ("sort=kind", "invalid_parameter"),
        ("created_after=yesterday", "invalid_parameter"), ("after=x", "invalid_cursor"), ("actoor=x", "unknown_parameter"),
        ("action=", "invalid_parameter"), ("action=lead.created,,lead.deleted", "invalid_parameter"),
    ])
    func aWrongParameterIsNamed(_ query: String, _ code: String) async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let answer = try await service.send(.get, "/v1/audit?\(query)", as: member(of: TenantID()), expecting: 400)
                #expect(answer.code == code)
            }
        }
    }
}
