import Activity
import CRM
import Core
import Operations
import Postgres
import Support
import TestSupport
import Testing

/// What crm knows of support's tickets: tasks and notes are about them, and none waits for support but the first about one that is new.
@Suite struct RecordCopyTests {
    private struct Bench: Sendable {
        let support: RunningService
        let crm: RunningService
        let database: TestDatabase
        let context: RequestContext

        var member: Caller { .member(context) }

        func ticket(_ body: JSON = ["subject": "The export stops"]) async throws -> String {
            try await support.send(.post, "/v1/tickets", body, as: member, expecting: 201).json["id"]?.string ?? ""
        }

        /// What is copied of tickets, a line each: whose, and whether it is deleted.
        func copies() async throws -> [String] {
            try await texts(
                """
                select owner || case when deleted_at is null then '' else ' deleted' end || ' ' || version from (
                    select *, case when owner_id is null then 'nobody' else right(owner_id::text, 4) end as owner from crm.ticket_copy
                ) as copy order by id
                """)
        }

        func texts(_ query: SQL) async throws -> [String] { try await database.query([query])[0].map { try $0.decode(0) } }
    }

    private static func about(_ id: String, type: String = "ticket") -> JSON {
        ["subject": "Call back", "related": ["type": .string(type), "id": .string(id)]]
    }

    private static func member(_ role: BuiltInRole = .manager, tenant: TenantID = TenantID()) -> RequestContext {
        RequestContext(
            tenant: tenant, user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes, plan: "pro",
            edge: .test())
    }

    /// - Parameters:
    ///   - follows: whether events are handed over and followed.
    ///   - bodies: one after another, each with crm started anew.
    private func run(follows: Bool = false, _ bodies: (@Sendable (Bench) async throws -> Void)...) async throws {
        let definitions = [Support.definition, CRM.definition] + (follows ? [Activity.definition] : [])
        try await TestDatabase.run(definitions) { database in
            @Sendable func run(_ settings: [String: String]) async throws {
                try await RunningService.run(Support.definition, on: database, settings: settings) { support in
                    let (context, settings) = (Self.member(), settings.merging(["MARTLET_SUPPORT_URL": support.url]) { $1 })
                    for body in bodies {
                        try await RunningService.run(CRM.definition, on: database, settings: settings) { crm in
                            try await body(Bench(support: support, crm: crm, database: database, context: context))
                        }
                    }
                }
            }
            guard follows else { return try await run([:]) }
            try await RunningService.run(Activity.definition, on: database) { activity in
                try await run(["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": activity.url])
            }
        }
    }

    /// crm while support is away.
    private static func alone(_ bench: Bench, _ body: @escaping @Sendable (RunningService) async throws -> Void) async throws {
        try await RunningService.run(CRM.definition, on: bench.database, settings: ["MARTLET_SUPPORT_URL": "http://127.0.0.1:1"], body)
    }

    /// Goal: a record can be about a ticket at once, and support is asked of it once.
    /// Method: nothing is followed here; then crm runs beside no support.
    @Test func aTicketThatIsNewIsAskedForOnce() async throws {
        try await run { bench in
            let (ticket, other) = (try await bench.ticket(), try await bench.ticket(["subject": "Another one"]))
            let task = try await bench.crm.send(.post, "/v1/tasks", Self.about(ticket), as: bench.member, expecting: 201).json
            #expect(task["related"] == Self.about(ticket)["related"])
            #expect(try await bench.copies() == ["nobody 1"])
            let note: JSON = ["body": "They wait", "related": Self.about(ticket)["related"] ?? .null]
            try await bench.crm.send(.post, "/v1/notes", note, as: bench.member, expecting: 201)
            for path in ["tasks", "notes"] {
                let list = try await bench.crm.send(
                    .get, "/v1/\(path)?related=ticket:\(ticket)&expand=related", as: bench.member, expecting: 200)
                #expect(list.json["data"]?.array?.count == 1)
                #expect(list.json["data"]?[0]?["related_record"] == .null)
            }
            let none = RecordID().description
            let refused = try await bench.crm.send(.post, "/v1/tasks", Self.about(none), as: bench.member, expecting: 422)
            #expect(refused.code == "reference_not_found" && refused.json["errors"]?[0]?["pointer"] == "/related/id")
            try await bench.crm.send(.post, "/v1/tasks", Self.about(ticket, type: "lead"), as: bench.member, expecting: 422)

            try await Self.alone(bench) { alone in
                try await alone.send(.post, "/v1/tasks", Self.about(ticket), as: bench.member, expecting: 201)
                try await alone.send(.post, "/v1/tasks", ["subject": "x"], as: bench.member, expecting: 201)
                let away = try await alone.send(.post, "/v1/tasks", Self.about(other), as: bench.member, expecting: 503)
                #expect(away.code == "upstream_unavailable")
            }
        }
    }

    /// In each way in which a record is written: a change, an upsert, batches; and a repeat writes nothing.
    @Test func everyWriteFindsATicketThatIsNew() async throws {
        try await run { bench in
            let task = try await bench.crm.send(.post, "/v1/tasks", ["subject": "x"], as: bench.member, expecting: 201).json
            let path = "/v1/tasks/\(task["id"]?.string ?? "")"
            try await bench.crm.send(.patch, path, Self.about(try await bench.ticket()), as: bench.member, expecting: 200)
            try await bench.crm.send(
                .put, "/v1/tasks/by-external-id/a", Self.about(try await bench.ticket()), as: bench.member, expecting: 201)
            for isAtomic in [true, false] {
                var operations: [JSON] = []
                for _ in 0..<2 { operations.append(["op": "create", "body": Self.about(try await bench.ticket())]) }
                let batch: JSON = ["atomic": .bool(isAtomic), "operations": .array(operations)]
                let answer = try await bench.crm.send(.post, "/v1/tasks/batch", batch, as: bench.member, expecting: 200)
                #expect(answer.json["results"]?.array?.map { $0["status"] } == [201, 201])
                operations.append(["op": "create", "body": Self.about(RecordID().description)])
                let refused = try await bench.crm.send(
                    .post, "/v1/tasks/batch", ["atomic": .bool(isAtomic), "operations": .array(operations)], as: bench.member)
                #expect(isAtomic ? refused.status == 422 : refused.json["results"]?[2]?["status"] == 422)
            }
            let body = Self.about(try await bench.ticket())
            let key = [("Idempotency-Key", "once")]
            let first = try await bench.crm.send(.post, "/v1/tasks", body, as: bench.member, headers: key, expecting: 201)
            let again = try await bench.crm.send(.post, "/v1/tasks", body, as: bench.member, headers: key, expecting: 201)
            #expect(first.json == again.json)
            #expect(try await bench.copies().count == 7)
            try await bench.crm.send(.patch, path, Self.about(RecordID().description), as: bench.member, expecting: 422)
            let stale = [("If-Match", "\"1\"")]
            try await bench.crm.send(.patch, path, Self.about(try await bench.ticket()), as: bench.member, headers: stale, expecting: 412)
        }
    }

    /// Goal: support away fails what needs it and nothing beside it, and no repeat of what took effect.
    /// Method: a batch has one operation about a ticket that is not copied, and is repeated once support is back; then the copies are taken away.
    @Test func whatNeedsNoAnswerOfSupportIsDoneWithoutIt() async throws {
        try await run { bench in
            let (known, new) = (try await bench.ticket(), try await bench.ticket())
            try await bench.crm.send(.post, "/v1/tasks", Self.about(known), as: bench.member, expecting: 201)
            let bodies: [JSON] = [Self.about(known), Self.about(new), ["subject": "x"]]
            let batch: JSON = ["operations": .array(bodies.map { ["op": "create", "body": $0] })]
            @Sendable func results(_ crm: RunningService) async throws -> [JSON] {
                let answer = try await crm.send(
                    .post, "/v1/tasks/batch", batch, as: bench.member, headers: [("Idempotency-Key", "batch")], expecting: 200)
                return answer.json["results"]?.array ?? []
            }
            try await Self.alone(bench) { alone in
                let part = try await results(alone)
                #expect(part.map { $0["status"] } == [201, 503, 201])
                #expect(part[1]["body"]?["code"] == "upstream_unavailable")
            }
            let first = try await results(bench.crm)
            #expect(first.map { $0["status"] } == [201, 201, 201])
            #expect(try await bench.texts("select id::text from crm.task").count == 4)

            let act: JSON = ["filter": ["priority": "high"], "change": ["related": Self.about(known)["related"] ?? .null]]
            let writes: [(path: String, body: JSON, status: Int)] = [
                ("/v1/tasks", Self.about(known), 201),
                ("/v1/tasks/batch", ["atomic": true, "operations": batch["operations"] ?? .null], 200),
                ("/v1/tasks/bulk", act, 202),
            ]
            @Sendable func send(_ write: (path: String, body: JSON, status: Int), to crm: RunningService) async throws -> JSON {
                try await crm.send(
                    .post, write.path, write.body, as: bench.member, headers: [("Idempotency-Key", "once")], expecting: write.status
                ).json
            }
            var answers: [JSON] = []
            for write in writes { answers.append(try await send(write, to: bench.crm)) }
            try await bench.database.query(["delete from crm.ticket_copy"])
            try await Self.alone(bench) { [answers] alone in
                for (write, answer) in zip(writes, answers) {
                    let again = try await send(write, to: alone)
                    #expect(again == answer)
                }
                let again = try await results(alone)
                #expect(again == first)
            }
        }
    }

    /// Who may not read a ticket makes nothing about it, and is told the same as of one that never was.
    @Test func aTicketIsReferredToByWhoMayReadIt() async throws {
        try await run { bench in
            let (ticket, tenant) = (try await bench.ticket(), bench.context.tenant)
            var (own, without) = (Self.member(tenant: tenant), Self.member(tenant: tenant))
            own.scopes[.tickets] = .own
            without.permissions = PermissionSet(
                BuiltInRole.manager.permissions.permissions.filter { $0 != Permission(.tickets, .read) })
            // Whether there is a copy or not.
            for known in [false, true] {
                for stranger in [own, without, Self.member()] {
                    let refused = try await bench.crm.send(.post, "/v1/tasks", Self.about(ticket), as: .member(stranger), expecting: 422)
                    #expect(refused.code == "reference_not_found" && refused.json["errors"]?[0]?["pointer"] == "/related/id")
                }
                if !known { try await bench.crm.send(.post, "/v1/tasks", Self.about(ticket), as: bench.member, expecting: 201) }
            }
            #expect(try await bench.texts("select tenant_id::text from crm.ticket_copy") == [tenant.description])
            let theirs = try await bench.support.send(.post, "/v1/tickets", ["subject": "Theirs"], as: .member(own), expecting: 201).json
            try await bench.crm.send(.post, "/v1/tasks", Self.about(theirs["id"]?.string ?? ""), as: .member(own), expecting: 201)
        }
    }

    /// Goal: nobody finds out which tickets there are that are not his to read.
    /// Method: of such a ticket, copied or not, and of one that never was the same is answered, also while support is away, and nothing is written down.
    @Test func whetherAnothersTicketIsThereIsNotTold() async throws {
        try await run { bench in
            let tenant = bench.context.tenant
            var (own, none, without) = (Self.member(tenant: tenant), Self.member(tenant: tenant), Self.member(tenant: tenant))
            own.scopes[.tickets] = .own
            none.scopes[.tickets] = .none
            without.permissions = PermissionSet(
                BuiltInRole.manager.permissions.permissions.filter { $0 != Permission(.tickets, .read) })
            let (copied, new, never) = (try await bench.ticket(), try await bench.ticket(), RecordID().description)
            try await bench.crm.send(.post, "/v1/tasks", Self.about(copied), as: bench.member, expecting: 201)
            for ticket in [copied, new, never] {
                for stranger in [own, none, without] {
                    try await bench.crm.send(.post, "/v1/tasks", Self.about(ticket), as: .member(stranger), expecting: 422)
                }
            }
            #expect(try await bench.texts("select id::text from crm.ticket_copy") == [copied])
            try await Self.alone(bench) { [own, none, without] alone in
                for ticket in [copied, new, never] {
                    // Who reads none asks for none.
                    for stranger in [none, without] {
                        try await alone.send(.post, "/v1/tasks", Self.about(ticket), as: .member(stranger), expecting: 422)
                        let batch: JSON = ["atomic": true, "operations": [["op": "create", "body": Self.about(ticket)]]]
                        try await alone.send(.post, "/v1/tasks/batch", batch, as: .member(stranger), expecting: 422)
                    }
                    try await alone.send(.post, "/v1/tasks", Self.about(ticket), as: .member(own), expecting: 503)
                }
            }
        }
    }

    /// Goal: the copy is as the tickets are, and what is about a deleted one stays as it is until that comes back.
    /// Method: a ticket is made, assigned, changed, deleted and restored; then the log is followed once more from its beginning.
    @Test func theCopyFollowsTheTickets() async throws {
        try await run(follows: true) { bench in
            let ada = UserID()
            try await bench.database.query(
                in: .support,
                [
                    """
                    insert into member_copy (tenant_id, user_id, email, name, role, status, version)
                    values (\(bench.context.tenant), \(ada), 'a@b.test', 'Ada', 'support', 'active', 1)
                    """
                ])
            let path = "/v1/tickets/\(try await bench.ticket())"
            let id = String(path.dropFirst(12))
            func becomes(_ copy: String) async throws {
                try await eventually("the copy says: \(copy)") { try await bench.copies() == [copy] }
            }
            func change(_ body: JSON) async throws {
                try await bench.support.send(.patch, path, body, as: bench.member, expecting: 200)
            }
            let adas = ada.description.suffix(4)
            try await becomes("nobody 1")
            try await change(["assignee_id": .string(ada.description)])
            try await becomes("\(adas) 2")
            let task = try await bench.crm.send(.post, "/v1/tasks", Self.about(id), as: bench.member, expecting: 201).json
            // This says nothing of whose it is, so nothing is written.
            try await change(["priority": "high"])
            try await bench.support.send(.delete, path, as: bench.member, expecting: 204)
            try await becomes("\(adas) deleted 4")
            try await bench.crm.send(.post, "/v1/tasks", Self.about(id), as: bench.member, expecting: 422)
            let kept: JSON = ["related": task["related"] ?? .null, "priority": "high"]
            let taskPath = "/v1/tasks/\(task["id"]?.string ?? "")"
            try await bench.crm.send(.patch, taskPath, kept, as: bench.member, expecting: 200)
            try await bench.crm.send(.delete, taskPath, as: bench.member, expecting: 204)
            let back = try await bench.crm.send(.post, "\(taskPath)/restore", as: bench.member, expecting: 200)
            #expect(back.json["related"] == task["related"])
            try await bench.support.send(.post, "\(path)/restore", as: bench.member, expecting: 200)
            try await becomes("\(adas) 5")
            try await bench.crm.send(.post, "/v1/tasks", Self.about(id), as: bench.member, expecting: 201)
            try await change(["assignee_id": nil])
            try await becomes("nobody 6")
            try await bench.database.query(["update crm.log_follower set position = 0 where aggregate = 'ticket'"])
        } _: { bench in
            try await eventually("all was followed again") {
                try await bench.texts(
                    """
                    select 'x' from crm.log_follower where aggregate = 'ticket' and position
                        >= (select max(last_position) from activity.event_position where aggregate = 'ticket')
                    """
                ).count == 1
            }
            #expect(try await bench.copies() == ["nobody 6"])
            #expect(try await bench.texts("select kind from crm.followed_dead_letter").isEmpty)
        }
    }

    /// Goal: a copy that is renewed has what support has, and no more; one that was erased is gone, and what is about it stays.
    @Test func theCopyIsRenewedAndForgetsWhatWasErased() async throws {
        try await run(follows: true) { bench in
            for _ in 0..<3 { _ = try await bench.ticket() }
            try await eventually("all are copied") { try await bench.copies() == ["nobody 1", "nobody 1", "nobody 1"] }
        } _: { bench in
            let first = try await bench.texts("select id::text from crm.ticket_copy order by id limit 1")[0]
            let task = try await bench.crm.send(.post, "/v1/tasks", Self.about(first), as: bench.member, expecting: 201).json
            try await bench.database.query(in: .support, ["delete from ticket where id = \(first)::uuid"])
            try await eventually("it is gone") { try await bench.copies() == ["nobody 1", "nobody 1"] }
            try await bench.crm.send(.post, "/v1/tasks", Self.about(first), as: bench.member, expecting: 422)
            let read = try await bench.crm.send(.get, "/v1/tasks/\(task["id"]?.string ?? "")", as: bench.member, expecting: 200)
            #expect(read.json["related"] == task["related"])
            try await eventually("nothing is in doubt") { try await bench.texts("select record_id from crm.followed_doubt").isEmpty }
            // As those of another world: one that never was, one that is later.
            try await bench.database.query([
                "insert into crm.ticket_copy (tenant_id, id, created_by, version) values (\(TenantID()), \(RecordID()), \(UserID()), 1)",
                "update crm.ticket_copy set version = 9, deleted_at = now() where tenant_id = \(bench.context.tenant)",
                "update crm.log_follower set format = 0 where aggregate = 'ticket'",
            ])
        } _: { bench in
            try await eventually("the copies are as support has them") { try await bench.copies() == ["nobody 1", "nobody 1"] }
        }
    }

    /// What services are told, and nobody else.
    @Test func supportTellsOtherServicesOfItsTickets() async throws {
        try await run { bench in
            let path = "/internal/records/ticket"
            var ids: [String] = []
            for _ in 0..<3 { ids.append(try await bench.ticket()) }
            try await bench.support.send(.delete, "/v1/tickets/\(ids[2])", as: bench.member, expecting: 204)
            var told: [JSON] = []
            var place = ""
            repeat {
                let page = try await bench.support.send(.get, "\(path)?limit=2\(place)", as: .anotherService, expecting: 200).json
                told += page["data"]?.array ?? []
                place = page["next"]?.string.map { "&after=\($0)" } ?? ""
            } while !place.isEmpty
            #expect(told.map { $0["id"]?.string } == ids)
            #expect(told[0].object?.names == ["tenant", "id", "owner_id", "created_by", "version", "deleted_at"])
            #expect(told.map { $0["deleted_at"] != .null } == [false, false, true])
            func ask(_ tenant: TenantID, _ ids: [String], expecting: Int = 200) async throws -> JSON {
                let body: JSON = ["tenant": .string(tenant.description), "ids": .array(ids.map { .string($0) })]
                return try await bench.support.send(.post, path, body, as: .anotherService, expecting: expecting).json["data"] ?? .null
            }
            #expect(try await ask(bench.context.tenant, [ids[0], RecordID().description]) == .array([told[0]]))
            #expect(try await ask(bench.context.tenant, [ids[2]]) == .array([told[2]]))
            #expect(try await ask(TenantID(), ids) == [])
            _ = try await ask(bench.context.tenant, [], expecting: 422)
            _ = try await ask(bench.context.tenant, ["x"], expecting: 422)
            try await bench.support.send(.get, "\(path)?after=x", as: .anotherService, expecting: 400)
            try await bench.support.send(.get, "\(path)?limit=0", as: .anotherService, expecting: 400)
            try await bench.support.send(.get, path, as: bench.member, expecting: 404)
            try await bench.support.send(.post, path, [:], as: bench.member, expecting: 404)
        }
    }
}
