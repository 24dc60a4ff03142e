import Core
import Postgres
import Resources
import TestSupport
import Testing

/// Who gives a record to somebody whose records they do not see: refused, or told.
@Suite struct HandOverTests {
    /// May do everything with leads but share, and only with some.
    private func member(_ api: ResourceAPI, _ scope: RowScope, mayShare: Bool = false, user: UserID = UserID()) -> RequestContext {
        var context = api.member(user: user)
        context.scopes[.leads] = scope
        let share = Permission(.leads, .share)
        context.permissions = PermissionSet(context.permissions.permissions.filter { mayShare || $0 != share })
        return context
    }

    private func team(_ api: ResourceAPI, of users: [UserID]) async throws {
        try await TestPostgres.withClient(api.database.system) { client in
            _ = try await client.batch(
                as: SystemContext(service: "test"),
                [
                    """
                    insert into team_member_copy (tenant_id, team_id, user_id)
                    select \(api.tenant)::uuid, \(RecordID())::uuid, unnest(\(users)::uuid[])
                    """
                ])
        }
    }

    private func batch(_ operation: String, isAtomic: Bool) -> String { #"{"atomic":\#(isAtomic),"operations":[\#(operation)]}"# }

    @Test(arguments: [RowScope.own, .team])
    func nobodyGivesARecordAwayByAccident(scope: RowScope) async throws {
        try await ResourceAPI.leads { api in
            let caller = member(api, scope)
            let owner = #""owner_id":"\#(api.colleague)""#
            let own = try await api.create(#"{"last_name":"A","external_id":"own"}"#, as: caller)
            let path = "/v1/leads/\(own.id)"
            func expectRefused(_ reply: Reply, at pointer: String = "/owner_id") throws {
                #expect(reply.status == 403, "\(reply.text)")
                #expect(try reply.code == "forbidden" && reply.text.contains("leads.share"))
                #expect(try reply.faults == ["\(pointer) not_allowed"])
            }
            for headers in [[:], ["Idempotency-Key": "k"], ["Idempotency-Key": "k"]] {
                try expectRefused(try await api.send(.post, "/v1/leads", #"{"last_name":"B",\#(owner)}"#, as: caller, headers: headers))
                try expectRefused(try await api.send(.patch, path, #"{"score":1,\#(owner)}"#, as: caller, headers: headers))
                for name in ["own", "new"] {
                    try expectRefused(
                        try await api.send(
                            .put, "/v1/leads/by-external-id/\(name)", #"{"last_name":"A",\#(owner)}"#, as: caller, headers: headers))
                }
            }
            for operation in [
                #"{"op":"create","body":{"last_name":"B",\#(owner)}}"#, #"{"op":"update","id":"\#(own.id)","body":{\#(owner)}}"#,
                #"{"op":"upsert","external_id":"own","body":{\#(owner)}}"#,
            ] {
                try expectRefused(
                    try await api.send(.post, "/v1/leads/batch", batch(operation, isAtomic: true), as: caller),
                    at: "/operations/0/body/owner_id")
                let reply = try await api.send(.post, "/v1/leads/batch", batch(operation, isAtomic: false), as: caller)
                #expect(try reply.json["results"]?[0]?["status"] == 403, "\(reply.text)")
            }
            #expect(try await api.send(.get, path, as: caller).json["version"] == 1)
            #expect(try await api.events() == ["lead.created"])
            // Told before that: it is not theirs, it has changed meanwhile, there is no such member.
            #expect(try await api.send(.patch, path, "{\(owner)}", as: member(api, scope)).status == 404)
            #expect(try await api.send(.patch, path, "{\(owner)}", as: caller, headers: ["If-Match": "\"7\""]).status == 412)
            #expect(try await api.send(.patch, path, #"{"owner_id":"\#(UserID())"}"#, as: caller).status == 422)
            // Nobody's is whoever's made it, and one's own is no gift.
            for owner in ["null", #""\#(caller.user)""#] {
                #expect(try await api.send(.patch, path, #"{"owner_id":\#(owner)}"#, as: caller).status == 200)
                #expect(try await api.send(.post, "/v1/leads", #"{"last_name":"B","owner_id":\#(owner)}"#, as: caller).status == 201)
            }
        }
    }

    @Test func aRecordIsGivenWithinTheTeam() async throws {
        try await ResourceAPI.leads { api in
            let caller = member(api, .team)
            let owner = #""owner_id":"\#(api.colleague)""#
            let own = try await api.create(#"{"last_name":"A"}"#, as: caller)
            #expect(try await api.send(.patch, "/v1/leads/\(own.id)", "{\(owner)}", as: caller).status == 403)
            try await team(api, of: [caller.user, api.colleague])
            let given = try await api.send(.patch, "/v1/leads/\(own.id)", "{\(owner)}", as: caller)
            let read = try await api.send(.get, "/v1/leads/\(own.id)", as: caller)
            #expect(given.status == 200 && given.body == read.body)
            let made = try await api.create(#"{"last_name":"B",\#(owner)}"#, as: caller)
            #expect(made["owner_id"]?.string == api.colleague.description)
            // Made by somebody out of reach: without its owner it would be his.
            let others = try await api.create(#"{"last_name":"C",\#(owner)}"#, as: api.member())
            let refused = try await api.send(.patch, "/v1/leads/\(others.id)", #"{"owner_id":null}"#, as: caller)
            #expect(refused.status == 403, "\(refused.text)")
        }
    }

    /// The answer has what a read would not show: nothing but that there is one. So has its repeat.
    @Test(arguments: [RowScope.own, .team])
    func whoMayShareIsToldThatTheRecordIsOutOfSight(scope: RowScope) async throws {
        try await ResourceAPI.leads { api in
            let caller = member(api, scope, mayShare: true)
            let owner = #""owner_id":"\#(api.colleague)""#
            func expectOutOfSight(_ json: JSON?, _ version: Int) async throws {
                #expect(json?.object?.names == ["id", "version"] && json?["version"] == .number(version), "\(json ?? .null)")
                let id = json?.id ?? ""
                #expect(try await api.send(.get, "/v1/leads/\(id)", as: caller).status == 404)
                #expect(try await api.send(.get, "/v1/leads/\(id)", as: api.member(user: api.colleague)).status == 200)
            }
            for (index, key) in [nil, "k", "k"].enumerated() {
                let headers = key.map { ["Idempotency-Key": $0] } ?? [:]
                let made = try await api.send(.post, "/v1/leads", #"{"last_name":"A",\#(owner)}"#, as: caller, headers: headers)
                #expect(made.status == 201 && made.header("location") == nil, "\(made.text)")
                #expect(made.header("idempotent-replayed") == (index == 2 ? "true" : nil))
                try await expectOutOfSight(made.json, 1)
            }
            let body = #"{"last_name":"A","external_id":"x"}"#
            let own = try await api.create(body, as: caller)
            for isRepeat in [false, true] {
                let given = try await api.send(
                    .patch, "/v1/leads/\(own.id)", "{\(owner)}", as: caller, headers: ["Idempotency-Key": "p"])
                #expect(given.status == 200 && given.header("etag") == "\"2\"", "\(given.text)")
                #expect(given.header("idempotent-replayed") == (isRepeat ? "true" : nil))
                try await expectOutOfSight(given.json, 2)
            }
            #expect(try await api.send(.patch, "/v1/leads/\(own.id)", "{\(owner)}", as: caller).status == 404)
            for (name, status) in [("y", 201), ("z", 200)] {
                if status == 200 { _ = try await api.create(#"{"last_name":"A","external_id":"z"}"#, as: caller) }
                for _ in 0..<2 {
                    let put = try await api.send(
                        .put, "/v1/leads/by-external-id/\(name)", #"{"last_name":"A",\#(owner)}"#, as: caller,
                        headers: ["Idempotency-Key": name])
                    #expect(put.status == status && put.header("location") == nil, "\(put.text)")
                    try await expectOutOfSight(put.json, status == 200 ? 2 : 1)
                }
                // Out of sight is out of reach.
                let next = try await api.send(.put, "/v1/leads/by-external-id/\(name)", #"{"last_name":"A",\#(owner)}"#, as: caller)
                #expect(try next.status == 409 && next.code == "already_exists" && next.json["id"] == nil, "\(next.text)")
            }
            for isAtomic in [true, false] {
                let mine = try await api.create(#"{"last_name":"A"}"#, as: caller)
                let operations = """
                    {"op":"create","body":{"last_name":"A",\(owner)}},{"op":"update","id":"\(mine.id)","body":{\(owner)}},
                    {"op":"create","body":{"last_name":"A"}}
                    """
                for _ in 0..<2 {
                    let reply = try await api.send(
                        .post, "/v1/leads/batch?fields=last_name", batch(operations, isAtomic: isAtomic), as: caller,
                        headers: ["Idempotency-Key": "b\(isAtomic)"])
                    let results = try #require(try reply.json["results"]?.array, "\(reply.text)")
                    #expect(results.map { $0["status"]?.integer } == [201, 200, 201])
                    try await expectOutOfSight(results[0]["body"], 1)
                    try await expectOutOfSight(results[1]["body"], 2)
                    #expect(results[2]["body"] == ["last_name": "A"])
                }
            }
        }
    }

    /// In sight is shown whole, also to who may share.
    @Test func whatStaysInSightIsShownWhole() async throws {
        try await ResourceAPI.leads { api in
            let caller = member(api, .team, mayShare: true)
            try await team(api, of: [caller.user, api.colleague])
            let body = #"{"last_name":"A","owner_id":"\#(api.colleague)"}"#
            let made = try await api.send(.post, "/v1/leads", body, as: caller, headers: ["Idempotency-Key": "k"])
            #expect(try made.json["owner_id"]?.string == api.colleague.description)
            #expect(try await api.send(.post, "/v1/leads", body, as: caller, headers: ["Idempotency-Key": "k"]).body == made.body)
            let put = try await api.send(.put, "/v1/leads/by-external-id/x", body, as: caller)
            #expect(try put.status == 201 && put.json["last_name"] == "A" && put.header("location") == "/v1/leads/\(put.json.id)")
            let again = try await api.send(.put, "/v1/leads/by-external-id/x", body, as: caller)
            #expect(again.status == 200 && again.body == put.body)
        }
    }

    @Test func theDocumentSaysSo() async throws {
        try await ResourceAPI.leads { api in
            let document = OpenAPI.document(routes: api.resource.routes, schemas: api.resource.schemas)
            let create = try #require(document["paths"]?["/v1/leads"]?["post"])
            let batch = try #require(document["paths"]?["/v1/leads/batch"]?["post"])
            for operation in [create, batch] { #expect(operation["description"]?.string?.contains("needs leads.share") == true) }
            #expect(document.description.contains("#/components/schemas/LeadReference"))
        }
    }
}
