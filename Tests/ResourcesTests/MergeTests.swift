import CRM
import Core
import Foundation
import Postgres
import Resources
import TestSupport
import Testing

/// Records that become one.
@Suite struct MergeTests {
    static func run(_ body: (ResourceAPI) async throws -> Void) async throws {
        try await ResourceAPI.run(
            Contact.definition, Account.definition, Lead.definition, Note.definition, Deal.definition, Pipeline.definition
        ) { try await body($0) }
    }

    static func note(about type: String, _ id: String, _ api: ResourceAPI, as caller: RequestContext) async throws -> String {
        try await api.create(#"{"body":"N","related":{"type":"\#(type)","id":"\#(id)"}}"#, at: "/v1/notes", as: caller).id
    }

    static func merge(_ ids: [String], values: String = "{}") -> String {
        #"{"from":[\#(ids.map { "\"\($0)\"" }.joined(separator: ","))],"values":\#(values)}"#
    }

    // MARK: What becomes of it

    @Test func theSurvivorHasWhatWasChosenAndWhatItLacked() async throws {
        try await Self.run { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"Kestrel"}"#, at: "/v1/accounts", as: admin).id
            let kept = try await api.create(
                #"{"first_name":"Ngozi","last_name":"Okafor","tags":["vip"],"custom":{"tier":"gold"},"title":"CEO"}"#, as: admin)
            let first = try await api.create(
                #"{"last_name":"Ng","email":"n@kestrel.example","tags":["VIP","fair"],"custom":{"tier":"lead","size":3},"title":"CTO"}"#,
                as: admin)
            let second = try await api.create(
                """
                {"last_name":"O","email":"o@kestrel.example","phone":"+49 40 5550101","do_not_contact":true,"account_id":"\(account)",\
                "address":{"city":"Hamburg"},"external_id":"hubspot-1"}
                """, as: admin)
            let path = "/v1/contacts/\(kept.id)"
            let body = Self.merge([first.id, second.id], values: #"{"title":"CFO","custom":{"chosen":true}}"#)
            let merge = try await api.send(.post, "\(path)/merge", body, as: admin, headers: ["If-Match": "\"1\"", "Idempotency-Key": "m"])
            #expect(merge.status == 200, "\(merge.text)")
            #expect(try merge.json["survivor_id"]?.string == kept.id && merge.json["undone_at"] == .null)
            #expect(try merge.json["merged_ids"] == [.string(first.id), .string(second.id)])
            let now = try await api.send(.get, path, as: admin).json
            #expect(now["version"] == 2 && now["first_name"] == "Ngozi" && now["last_name"] == "Okafor" && now["title"] == "CFO")
            #expect(now["email"] == "n@kestrel.example" && now["phone"] == "+49 40 5550101" && now["phone_e164"] == "+49405550101")
            #expect(now["tags"] == ["vip", "fair"] && now["do_not_contact"] == true && now["account_id"]?.string == account)
            #expect(now["custom"] == ["tier": "gold", "chosen": true], "what is named is not taken over: \(now)")
            #expect(now["address"]?["city"] == "Hamburg" && now["external_id"] == "hubspot-1")
            // A repeat is answered as before.
            let again = try await api.send(.post, "\(path)/merge", body, as: admin, headers: ["If-Match": "\"1\"", "Idempotency-Key": "m"])
            #expect(again.status == 200 && again.body == merge.body && again.header("idempotent-replayed") == "true", "\(again.text)")
            let third = try await api.create(#"{"last_name":"T","custom":{"size":4,"tier":"x"}}"#, as: admin).id
            #expect(try await api.send(.post, "\(path)/merge", Self.merge([third]), as: admin).status == 200)
            #expect(try await api.send(.get, path, as: admin).json["custom"] == ["size": 4, "tier": "gold", "chosen": true])
        }
    }

    @Test func whatWasMergedIsGoneAndItsIdsLeadToTheSurvivor() async throws {
        try await Self.run { api in
            let admin = api.member()
            let (kept, gone, last) = (
                try await api.create(#"{"last_name":"Kept","external_id":"k"}"#, as: admin).id,
                try await api.create(#"{"last_name":"Gone","external_id":"g/1"}"#, as: admin).id,
                try await api.create(#"{"last_name":"Last"}"#, as: admin).id
            )
            #expect(try await api.send(.post, "/v1/contacts/\(kept)/merge", Self.merge([gone]), as: admin).status == 200)
            for query in ["", "?deleted=include", "?deleted=only", "?q=gone&deleted=include", "?id=\(gone)&deleted=include&count=exact"] {
                let list = try await api.send(.get, "/v1/contacts\(query)", as: admin)
                #expect(!list.text.contains(gone), "\(query): \(list.text)")
            }
            func expectMoved(to survivor: String) async throws {
                for target in [gone, "\(gone)?fields=id", "\(gone)?expand=account", "by-external-id/g%2F1"] {
                    let read = try await api.send(.get, "/v1/contacts/\(target)", as: admin)
                    #expect(read.status == 301 && read.header("location") == "/v1/contacts/\(survivor)", "\(target): \(read.text)")
                    #expect(try read.code == "merged" && read.json["status"] == 301 && read.json.id == survivor)
                }
                for list in ["duplicates", "merges"] {
                    let read = try await api.send(.get, "/v1/contacts/\(gone)/\(list)", as: admin)
                    #expect(read.status == 301 && read.header("location") == "/v1/contacts/\(survivor)/\(list)", "\(read.text)")
                }
                let operations = """
                    {"atomic":false,"operations":[{"op":"update","id":"\(gone)","body":{"title":"T"}},{"op":"delete","id":"\(gone)"},\
                    {"op":"upsert","external_id":"g/1","body":{"last_name":"G"}}]}
                    """
                let batch = try await api.send(.post, "/v1/contacts/batch", operations, as: admin)
                #expect(try batch.json["results"]?.array?.map { $0["status"]?.integer } == [409, 409, 409], "\(batch.text)")
                #expect(try batch.json["results"]?.array?.allSatisfy { $0["body"]?.id == survivor } == true)
                for reply in [
                    try await api.send(.patch, "/v1/contacts/\(gone)", #"{"title":"T"}"#, as: admin),
                    try await api.send(.patch, "/v1/contacts/by-external-id/g%2F1", #"{"title":"T"}"#, as: admin),
                    try await api.send(.put, "/v1/contacts/by-external-id/g%2F1", #"{"last_name":"G"}"#, as: admin),
                    try await api.send(.delete, "/v1/contacts/\(gone)", as: admin),
                    try await api.send(.delete, "/v1/contacts/by-external-id/g%2F1", as: admin),
                    try await api.send(.post, "/v1/contacts/\(gone)/restore", as: admin),
                    try await api.send(.post, "/v1/contacts/\(gone)/merge", Self.merge([last]), as: admin),
                    try await api.send(.post, "/v1/contacts/\(last)/merge", Self.merge([gone]), as: admin),
                ] {
                    #expect(try reply.status == 409 && reply.code == "merged" && reply.json.id == survivor, "\(reply.text)")
                }
            }
            try await expectMoved(to: kept)
            #expect(
                try await api.send(.post, "/v1/contacts", #"{"last_name":"X","account_id":"\#(gone)"}"#, as: admin).code
                    == "reference_not_found")
            // Another tenant's, and who may not read either of them, find nothing.
            let stranger = api.member(tenant: TenantID())
            for caller in [stranger, api.member(.sales)] {
                #expect(try await api.send(.get, "/v1/contacts/\(gone)", as: caller).code == "not_found")
                #expect(try await api.send(.get, "/v1/contacts/by-external-id/g%2F1", as: caller).code == "not_found")
            }
            #expect(try await api.send(.patch, "/v1/contacts/\(gone)", #"{"title":"T"}"#, as: stranger).code == "not_found")
            #expect(try await api.send(.put, "/v1/contacts/by-external-id/g%2F1", #"{"last_name":"G"}"#, as: stranger).status == 201)
            // Merged on, and gone for good.
            #expect(try await api.send(.post, "/v1/contacts/\(last)/merge", Self.merge([kept]), as: admin).status == 200)
            try await expectMovedOn(gone, to: last, api, as: admin)
            #expect(try await api.send(.delete, "/v1/contacts/\(last)", as: admin).status == 204)
            #expect(try await api.send(.get, "/v1/contacts/\(gone)", as: admin).code == "not_found")
            #expect(try await api.send(.patch, "/v1/contacts/\(gone)", #"{"title":"T"}"#, as: admin).code == "not_found")
            #expect(try await api.send(.post, "/v1/contacts/\(gone)/restore", as: admin).code == "not_found")
        }
    }

    private func expectMovedOn(_ gone: String, to last: String, _ api: ResourceAPI, as admin: RequestContext) async throws {
        #expect(try await api.send(.get, "/v1/contacts/\(gone)", as: admin).header("location") == "/v1/contacts/\(last)")
        let reply = try await api.send(.patch, "/v1/contacts/\(gone)", #"{"title":"T"}"#, as: admin)
        #expect(try reply.code == "merged" && reply.json.id == last)
    }

    /// Whoever's they are; each with a version and an entry in the trail, and followers are told what became of what.
    @Test func everyReferenceLeadsToTheSurvivor() async throws {
        try await Self.run { api in
            let admin = api.member()
            let sales = api.member(.sales)
            let kept = try await api.create(#"{"name":"Kept"}"#, at: "/v1/accounts", as: admin).id
            let gone = try await api.create(#"{"name":"Gone"}"#, at: "/v1/accounts", as: sales).id
            let contact = try await api.create(#"{"last_name":"C","account_id":"\#(gone)"}"#, as: sales).id
            let child = try await api.create(#"{"name":"Child","parent_id":"\#(gone)"}"#, at: "/v1/accounts", as: sales).id
            let deal = try await api.create(#"{"name":"D","account_id":"\#(gone)","currency":"EUR"}"#, at: "/v1/deals", as: sales).id
            let note = try await Self.note(about: "account", gone, api, as: sales)
            let other = try await Self.note(about: "account", child, api, as: sales)
            var blind = admin
            blind.permissions = PermissionSet(admin.permissions.permissions.filter { [.accounts].contains($0.resource) })
            let merge = try await api.send(.post, "/v1/accounts/\(kept)/merge", Self.merge([gone]), as: blind)
            #expect(merge.status == 200, "\(merge.text)")
            for (path, member) in [
                ("/v1/contacts/\(contact)", "account_id"), ("/v1/accounts/\(child)", "parent_id"), ("/v1/deals/\(deal)", "account_id"),
            ] {
                let record = try await api.send(.get, path, as: admin).json
                #expect(record[member]?.string == kept && record["version"] == 2, "\(path): \(record)")
                #expect(record["updated_by"]?.string == admin.user.description)
            }
            let moved = try await api.send(.get, "/v1/notes/\(note)", as: admin).json
            #expect(moved["related"]?["id"]?.string == kept && moved["version"] == 2)
            #expect(try await api.send(.get, "/v1/notes/\(other)", as: admin).json["version"] == 1)
            #expect(
                try await api.events().suffix(5).sorted() == [
                    "account.merged", "account.updated", "contact.updated", "deal.updated", "note.updated",
                ])
            let payload = try await TestPostgres.withClient(api.database.system) { client in
                try await client.batch(
                    as: SystemContext(service: "test"), ["select aggregateid, payload from outbox where type = 'account.merged'"])[0].map {
                        ($0.text(0), try $0.decode(1, as: JSON.self))
                    }
            }
            #expect(payload.count == 1 && payload[0].0 == gone && payload[0].1["after"]?["merged_into_id"]?.string == kept)
        }
    }

    /// Below what is merged into it: it takes that one's place, and no account is above itself.
    @Test func aTreeStaysATree() async throws {
        try await Self.run { api in
            let admin = api.member()
            var ids: [String] = []
            for place in 0..<5 {
                let parent = ids.last.map { #","parent_id":"\#($0)""# } ?? ""
                ids.append(try await api.create(#"{"name":"Level \#(place)"\#(parent)}"#, at: "/v1/accounts", as: admin).id)
            }
            func parent(of place: Int) async throws -> String? {
                try await api.send(.get, "/v1/accounts/\(ids[place])", as: admin).json["parent_id"]?.string
            }
            let merge = try await api.send(.post, "/v1/accounts/\(ids[3])/merge", Self.merge([ids[1]]), as: admin)
            #expect(merge.status == 200, "\(merge.text)")
            #expect(try await parent(of: 3) == ids[0])
            #expect(try await parent(of: 2) == ids[3])
            #expect(try await parent(of: 4) == ids[3])
            let undo = try await api.send(
                .post, "/v1/accounts/\(ids[3])/unmerge", #"{"merge_id":"\#(try merge.json.id)"}"#, as: admin)
            #expect(undo.status == 200, "\(undo.text)")
            for place in 1..<5 { #expect(try await parent(of: place) == ids[place - 1], "\(place)") }
            // All into the lowest, and the highest into none of its own.
            let all = try await api.send(.post, "/v1/accounts/\(ids[4])/merge", Self.merge(Array(ids[0...3])), as: admin)
            #expect(all.status == 200, "\(all.text)")
            #expect(try await parent(of: 4) == nil)
        }
    }

    // MARK: What is refused

    @Test func whatCannotBeMergedIsRefusedAndNothingIsDone() async throws {
        try await Self.run { api in
            let admin = api.member()
            let kept = try await api.create(#"{"last_name":"Kept"}"#, at: "/v1/leads", as: admin).id
            let other = try await api.create(#"{"last_name":"Other"}"#, at: "/v1/leads", as: admin).id
            let deleted = try await api.create(#"{"last_name":"Deleted"}"#, at: "/v1/leads", as: admin).id
            #expect(try await api.send(.delete, "/v1/leads/\(deleted)", as: admin).status == 204)
            let foreign = try await api.create(#"{"last_name":"Foreign"}"#, at: "/v1/leads", as: api.member(tenant: TenantID())).id
            let contact = try await api.create(#"{"last_name":"Contact"}"#, as: admin).id
            let path = "/v1/leads/\(kept)/merge"
            for (body, status, code, faults) in [
                ("{}", 422, "validation_failed", ["/from required"]), (#"{"from":[]}"#, 422, "validation_failed", ["/from too_short"]),
                (#"{"from":"\#(other)"}"#, 422, "validation_failed", ["/from invalid_type"]),
                (Self.merge((0...10).map { _ in RecordID().description }), 422, "validation_failed", ["/from too_many"]),
                (Self.merge(["x"]), 422, "validation_failed", ["/from/0 invalid_format"]),
                (Self.merge([kept, other, other]), 422, "validation_failed", ["/from/0 not_allowed", "/from/2 not_allowed"]),
                (#"{"from":["\#(other)"],"value":{}}"#, 400, "unknown_member", ["/value unknown_member"]),
                (Self.merge([other], values: #"{"emial":"x"}"#), 400, "unknown_member", ["/values/emial unknown_member"]),
                (
                    Self.merge([other], values: #"{"last_name":null,"score":101}"#), 422, "validation_failed",
                    ["/values/last_name required", "/values/score out_of_range"]
                ),
                (
                    Self.merge([other], values: #"{"owner_id":"\#(UserID())"}"#), 422, "reference_not_found",
                    ["/values/owner_id reference_not_found"]
                ),
                (Self.merge([other], values: #"{"status":"converted"}"#), 409, "conflict", ["/values/status not_allowed"]),
                (
                    Self.merge([RecordID().description, other, foreign, deleted, contact]), 422, "reference_not_found",
                    ["/from/0", "/from/2", "/from/3", "/from/4"].map { "\($0) reference_not_found" }
                ),
            ] {
                let reply = try await api.send(.post, path, body, as: admin)
                #expect(reply.status == status, "\(body): \(reply.text)")
                #expect(try reply.code == code && reply.faults == faults, "\(body): \(reply.text)")
            }
            #expect(
                try await api.send(.post, path, Self.merge([other]), as: admin, headers: ["If-Match": "\"2\""]).code == "version_mismatch")
            #expect(try await api.send(.post, "\(path)?x=1", Self.merge([other]), as: admin).code == "unknown_parameter")
            for id in [foreign, deleted, RecordID().description] {
                #expect(try await api.send(.post, "/v1/leads/\(id)/merge", Self.merge([other]), as: admin).code == "not_found")
            }
            for role in [BuiltInRole.sales, .support, .readOnly] {
                #expect(try await api.send(.post, path, Self.merge([other]), as: api.member(role)).status == 403)
                #expect(
                    try await api.send(.post, "/v1/leads/\(kept)/unmerge", #"{"merge_id":"\#(other)"}"#, as: api.member(role)).status == 403
                )
            }
            // Whoever may delete reaches what is his, and nothing else.
            var own = api.member(.sales)
            own.permissions.insert(Permission(.leads, .delete))
            let mine = try await api.create(#"{"last_name":"Mine"}"#, at: "/v1/leads", as: own).id
            #expect(try await api.send(.post, "/v1/leads/\(mine)/merge", Self.merge([other]), as: own).code == "reference_not_found")
            #expect(try await api.send(.post, path, Self.merge([mine]), as: own).code == "not_found")
            // What is kept is changed no more, and becomes no other.
            try await api.write(["update lead set status = 'converted' where id = \(kept)"])
            #expect(try await api.send(.post, path, Self.merge([other], values: #"{"title":"T"}"#), as: admin).code == "conflict")
            for id in [kept, other, mine] { #expect(try await api.send(.get, "/v1/leads/\(id)", as: admin).json["version"] == 1) }
            let becoming = try await api.send(.post, "/v1/leads/\(other)/merge", Self.merge([kept]), as: admin)
            #expect(try becoming.code == "conflict" && becoming.faults == ["/from/0 not_allowed"], "\(becoming.text)")
        }
    }

    @Test func aFieldThatIsHiddenIsTakenOverUnseen() async throws {
        try await Self.run { api in
            let admin = api.member()
            let caller = api.member(fields: ["contacts": ["email": .hidden]])
            let kept = try await api.create(#"{"last_name":"Kept"}"#, as: admin).id
            let gone = try await api.create(#"{"last_name":"Gone","email":"n@kestrel.example"}"#, as: admin).id
            let path = "/v1/contacts/\(kept)"
            let named = Self.merge([gone], values: #"{"email":"x@kestrel.example"}"#)
            #expect(try await api.send(.post, "\(path)/merge", named, as: caller).code == "unknown_member")
            let merge = try await api.send(.post, "\(path)/merge", Self.merge([gone]), as: caller)
            #expect(merge.status == 200 && !merge.text.contains("kestrel"))
            #expect(try await api.send(.get, path, as: admin).json["email"] == "n@kestrel.example")
        }
    }

    // MARK: At once

    /// Goal: of two that cross one goes on, and what referred to either refers to what is left. Method: notes about both; the two at once, twenty times.
    @Test func ofTwoMergesThatCrossOneWins() async throws {
        try await Self.run { api in
            let admin = api.member()
            for _ in 0..<20 {
                let one = try await api.create(#"{"last_name":"One"}"#, as: admin).id
                let two = try await api.create(#"{"last_name":"Two"}"#, as: admin).id
                var notes: [String] = []
                for id in [one, two, one, two] { notes.append(try await Self.note(about: "contact", id, api, as: admin)) }
                let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                    for (into, from) in [(one, two), (two, one)] {
                        group.addTask { try await api.send(.post, "/v1/contacts/\(into)/merge", Self.merge([from]), as: admin) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }.sorted { $0.status < $1.status }
                }
                try #require(replies.map(\.status) == [200, 409], "\(replies.map(\.text))")
                let survivor = try replies[0].json["survivor_id"]?.string
                #expect(try replies[1].code == "merged" && replies[1].json.id == survivor)
                for note in notes {
                    #expect(try await api.send(.get, "/v1/notes/\(note)", as: admin).json["related"]?["id"]?.string == survivor)
                }
            }
        }
    }
}
