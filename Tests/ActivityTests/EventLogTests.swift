import Contracts
import Core
import Foundation
import Operations
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

    @discardableResult
    private func deliver(
        _ events: [Event], to service: RunningService, as caller: String = "crm", fence: Int64? = nil, expecting status: Int = 204
    ) async throws -> APIAnswer {
        let target = "/internal/events" + (fence.map { "?fence=\($0)" } ?? "")
        let bytes = Event.encode(events)
        let context = service.signed(.service(SystemContext(service: caller, edge: .test())), "POST", target, bytes: bytes)
        return try await APIClient(url: service.url).send(
            "POST", target, bytes: bytes, headers: [(ContextSigner.headerName, context)], expecting: status)
    }

    /// An export's lines.
    private func export(
        _ service: RunningService, _ tenant: TenantID, after sequence: Int64? = nil
    ) async throws -> [[UInt8]] {
        let target = "/v1/audit/export" + (sequence.map { "?after_sequence=\($0)" } ?? "")
        let answer = try await service.send(.get, target, as: member(of: tenant), expecting: 200)
        return answer.body.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast().map(Array.init)
    }

    /// Of a record the trail shows what its reader may read of all such records.
    @Test func whatARoleHidesIsNotInTheTrail() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                func event(_ aggregate: String, _ payload: String) -> Event {
                    Event(
                        id: EventID(), tenant: tenant, source: "crm", aggregate: aggregate, aggregateID: "r", kind: "\(aggregate).updated",
                        actor: UserID().description, requestID: "r", occurredAt: .now, payload: payload)
                }
                try await deliver(
                    [
                        event("lead", #"{"before":{"score":1,"title":"a"},"after":{"score":2,"title":"b"}}"#),
                        event("lead", #"{"before":{"score":3},"after":null}"#),
                        event("contact", #"{"before":{"score":4},"after":{"score":5}}"#),
                        event("lead", #"{"score":6,"note":7}"#),
                        event("invitation", #"{"before":null,"after":{"email":"a@b.example"}}"#),
                        event("ticket", #"{"before":{"status":"open"},"after":{"status":"solved","solved_at":"t","tags":[]}}"#),
                        event("contact", #"{"before":null,"after":{"phone":"1","phone_e164":"+1"}}"#),
                        event("novelty", #"{"before":null,"after":{"email":"c@d.example"}}"#),
                        event("deal_contact", #"{"before":{"role":"a"},"after":{"role":"b"}}"#),
                    ], to: service)
                func trail(_ change: (inout RequestContext) -> Void) async throws -> [JSON] {
                    guard case .member(var context) = member(of: tenant) else { return [] }
                    change(&context)
                    let answer = try await service.send(.get, "/v1/audit?sort=sequence", as: .member(context), expecting: 200)
                    return (answer.json["data"]?.array ?? []).map { [$0["before"] ?? "-", $0["after"] ?? "-", $0["details"] ?? "-"] }
                }
                let whole = try await trail { _ in }
                #expect(whole[0] == [["score": 1, "title": "a"], ["score": 2, "title": "b"], nil])
                let hidden = try await trail { $0.fields = FieldRules(["leads": ["score": .hidden, "title": .readOnly]]) }
                #expect(hidden[0] == [["title": "a"], ["title": "b"], nil] && hidden[1] == [[:], nil, nil])
                #expect(hidden[2] == whole[2] && hidden[3] == [nil, nil, ["note": 7]])
                // What says the same goes with it, and what nobody knows the readers of is shown to none.
                #expect(whole[4] == [nil, ["email": "a@b.example"], nil] && whole[7] == [nil, nil, nil])
                let companions = try await trail {
                    $0.fields = FieldRules(["tickets": ["status": .hidden], "contacts": ["phone": .hidden]])
                }
                #expect(companions[5] == [[:], ["tags": []], nil] && companions[6] == [nil, [:], nil])
                // What tells of a field alone is not shown to whom that is hidden.
                #expect(whole[8] == [["role": "a"], ["role": "b"], nil])
                #expect(try await trail { $0.fields = FieldRules(["deals": ["contact_id": .hidden]]) }[8] == [nil, nil, nil])
                #expect(try await trail { $0.fields = FieldRules(["deals": ["name": .hidden]]) }[8] == whole[8])
                let changes: [(inout RequestContext) -> Void] = [
                    { $0.scopes[.leads] = .own }, { $0.scopes[.leads] = .team },
                    { $0.permissions = PermissionSet([Permission(.audit, .read), Permission(.contacts, .read)]) },
                ]
                for change in changes {
                    let seen = try await trail(change)
                    for place in [0, 1, 3] { #expect(seen[place] == [nil, nil, nil]) }
                    #expect(seen[2] == whole[2])
                }
                #expect(try await trail(changes[2])[4] == [nil, nil, nil])
                guard case .member(var context) = member(of: tenant) else { return }
                context.fields = FieldRules(["contacts": ["email": .hidden]])
                let refused = try await service.send(.get, "/v1/audit/export", as: .member(context), expecting: 403)
                #expect(refused.code == "forbidden")
                context.fields = FieldRules(["contacts": ["email": .readOnly]])
                try await service.send(.get, "/v1/audit/export", as: .member(context), expecting: 200)
                // The whole trail has the records of others, and of kinds that the role may not read.
                context.scopes[.leads] = .own
                let scoped = try await service.send(.get, "/v1/audit/export", as: .member(context), expecting: 403)
                #expect(scoped.text.contains("all records of leads"), "\(scoped.text)")
                context.permissions = PermissionSet([Permission(.audit, .export), Permission(.leads, .read)])
                context.scopes[.leads] = .all
                let partial = try await service.send(.get, "/v1/audit/export", as: .member(context), expecting: 403)
                #expect(partial.text.contains("contacts.read"), "\(partial.text)")
            }
        }
    }

    @Test func everyAggregateHasReaders() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let services = root.appending(path: "Services")
        let files = try #require(FileManager.default.enumerator(at: services, includingPropertiesForKeys: nil)).compactMap { $0 as? URL }
        var aggregates: Set<String> = []
        for file in files where file.pathExtension == "sql" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /call audited\('[a-z_]+', '([a-z_]+)'/) { aggregates.insert(String(match.1)) }
        }
        #expect(aggregates.count >= 9 && aggregates.isSubset(of: TrailAccess.readers.keys))
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
                    let report = EventChain.verify(try await export(service, tenant))
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
                let report = EventChain.verify(try await export(service, tenant))
                #expect(report.entries == 30)
                #expect(report.fault == nil)
            }
        }
    }

    @Test func anExportGoesOnWhereOneEnded() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                #expect(EventChain.verify(try await export(service, tenant)).fault == nil, "an empty trail has an end too")
                try await deliver((0..<20).map { event(tenant, $0) }, to: service)
                let first = EventChain.verify(try await export(service, tenant))
                try await deliver((20..<30).map { event(tenant, $0) }, to: service)
                let rest = try await export(service, tenant, after: first.last.sequence)
                #expect(rest.count == 11)
                let report = EventChain.verify(rest, after: first.last)
                #expect(report.fault == nil)
                #expect(report.last == EventChain.verify(try await export(service, tenant)).last)
                #expect(EventChain.verify(rest).fault == "line 1: sequence 21 where 1 is expected")
                let elsewhere = EventChain.Position(sequence: 20, hash: report.last.hash)
                #expect(EventChain.verify(rest, after: elsewhere).fault == "line 1: entry 21 does not follow the entry before it")
                let nothing = try await export(service, tenant, after: 30)
                #expect(EventChain.verify(nothing, after: report.last).fault == nil)
            }
        }
    }

    /// E27: a payload and its salt are taken out of the database; nothing else of an entry can be, by nobody.
    @Test func anErasedPayloadLeavesAnEntryThatVerifies() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                try await deliver((0..<5).map { event(tenant, $0, padding: "secret-\($0)") }, to: service)
                try await database.query(in: .activity, ["update event set payload = null, salt = null where sequence = 3"])
                let lines = try await export(service, tenant)
                #expect(!lines.contains { String(decoding: $0, as: UTF8.self).contains("secret-2") })
                let report = EventChain.verify(lines)
                #expect(report.fault == nil)
                #expect(report.entries == 5)
                #expect(report.erased == 1)
                let page = try await service.send(.get, "/v1/audit?sort=sequence", as: member(of: tenant), expecting: 200)
                #expect(page.json["data"]?.array?.map { $0["erased"]?.bool } == [false, false, true, false, false])
                #expect(page.json["data"]?[2]?["after"] == .null)

                for change in [
                    "update event set payload = null where sequence = 1", "update event set salt = null, payload = '1' where sequence = 1",
                    "update event set payload = null, salt = null, actor = 'somebody' where sequence = 1",
                    "update event set kind = 'x' where sequence = 1", "update event set payload = '{}' where sequence = 3",
                    "delete from event", "truncate event",
                ] {
                    await #expect(throws: PostgresError.self, "\(change)") {
                        try await database.query(in: .activity, ["\(unescaped: change)"])
                    }
                }

                // Whoever takes the triggers away is found all the same.
                try await database.query(
                    in: .activity,
                    [
                        "alter table event disable trigger keep_entries",
                        "update event set payload = replace(payload::text, 'secret-4', 'secret-5')::json where sequence = 5",
                    ])
                let changed = EventChain.verify(try await export(service, tenant))
                #expect(changed.fault == "line 5: the payload of entry 5 was changed")
            }
        }
    }

    /// E25: what stands in the trail as done in crm was handed over by crm.
    @Test func aServiceHandsOverEventsOfItsOwnOnly() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                try await deliver([event(tenant, 1)], to: service, as: "support", expecting: 403)
                try await deliver([event(tenant, 1)], to: service)
                let page = try await service.send(.get, "/v1/audit", as: member(of: tenant), expecting: 200)
                #expect(page.json["data"]?.array?.count == 1)
            }
        }
    }

    /// Fault F10: a relay that has lost its lease, and does not know it.
    @Test func aDeliveryUnderAnEarlierLeaseIsRefused() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                try await deliver([event(tenant, 1)], to: service, fence: 3)
                try await deliver([event(tenant, 2)], to: service, fence: 3)
                try await deliver([event(tenant, 3)], to: service, fence: 4)
                #expect(try await deliver([event(tenant, 4)], to: service, fence: 3, expecting: 409).code == "conflict")
                try await deliver([event(tenant, 5)], to: service, fence: 4)
                // Each service has its own.
                try await deliver([], to: service, as: "support", fence: 1)
                let page = try await service.send(.get, "/v1/audit?sort=sequence", as: member(of: tenant), expecting: 200)
                #expect(page.json["data"]?.array?.compactMap { $0["request_id"]?.string } == ["r-1", "r-2", "r-3", "r-5"])
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
        ("/export?after_sequence=x", "invalid_parameter"), ("/export?after_sequence=-1", "invalid_parameter"),
        ("/export?after_sequence=1", "invalid_parameter"), ("/export?after=1", "unknown_parameter"),
    ])
    func aWrongParameterIsNamed(_ query: String, _ code: String) async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let answer = try await service.send(
                    .get, "/v1/audit\(query.hasPrefix("/") ? "" : "?")\(query)", as: member(of: TenantID()), expecting: 400)
                #expect(answer.code == code)
            }
        }
    }
}
