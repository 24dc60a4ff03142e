import CRM
import Core
import Foundation
import Postgres
import Resources
import TestSupport
import Testing

/// Merges that are undone, and what follows a merge in the background.
@Suite struct UnmergeTests {
    private func undo(_ merge: String) -> String { #"{"merge_id":"\#(merge)"}"# }

    @Test func allIsAsItWasButWhatWasChangedSince() async throws {
        try await MergeTests.run { api in
            let admin = api.member()
            let kept = try await api.create(#"{"last_name":"Kept","tags":["a"]}"#, as: admin).id
            let gone = try await api.create(
                #"{"last_name":"Gone","email":"n@kestrel.example","title":"CEO","tags":["b"],"external_id":"g","phone":"+49405550101"}"#,
                as: admin)
            let notes = [
                try await MergeTests.note(about: "contact", gone.id, api, as: admin),
                try await MergeTests.note(about: "contact", gone.id, api, as: admin),
                try await MergeTests.note(about: "contact", kept, api, as: admin),
            ]
            let path = "/v1/contacts/\(kept)"
            let merge = try await api.send(.post, "\(path)/merge", MergeTests.merge([gone.id], values: #"{"last_name":"Both"}"#), as: admin)
            let id = try merge.json.id
            // One value and one note go other ways meanwhile.
            #expect(try await api.send(.patch, path, #"{"title":"CFO"}"#, as: admin).json["version"] == 3)
            #expect(try await api.send(.patch, "/v1/notes/\(notes[1])", #"{"related":null}"#, as: admin).status == 200)
            let list = try await api.send(.get, "\(path)/merges", as: admin)
            #expect(try list.json["data"]?.array == [merge.json] && list.next == nil, "\(list.text)")

            let headers = ["If-Match": "\"3\"", "Idempotency-Key": "u"]
            let undone = try await api.send(.post, "\(path)/unmerge", undo(id), as: admin, headers: headers)
            #expect(undone.status == 200, "\(undone.text)")
            #expect(try undone.json["undone_by"]?.string == admin.user.description && undone.json.id == id)
            let again = try await api.send(.post, "\(path)/unmerge", undo(id), as: admin, headers: headers)
            #expect(again.body == undone.body && again.header("idempotent-replayed") == "true")
            #expect(try await api.send(.post, "\(path)/unmerge", undo(id), as: admin).code == "conflict")

            let now = try await api.send(.get, path, as: admin).json
            #expect(now["version"] == 4 && now["last_name"] == "Kept" && now["title"] == "CFO" && now["email"] == .null)
            #expect(now["tags"] == ["a"] && now["phone"] == .null && now["phone_e164"] == .null && now["external_id"] == .null)
            let back = try await api.send(.get, "/v1/contacts/\(gone.id)", as: admin)
            #expect(back.status == 200, "\(back.text)")
            for member in ["last_name", "email", "title", "tags", "external_id", "phone_e164", "created_at"] {
                #expect(try back.json[member] == gone[member], "\(member)")
            }
            #expect(try back.json["version"] == 3)
            #expect(try await api.send(.get, "/v1/contacts/by-external-id/g", as: admin).json.id == gone.id)
            func about(_ place: Int) async throws -> JSON? {
                try await api.send(.get, "/v1/notes/\(notes[place])", as: admin).json["related"]
            }
            #expect(try await about(0)?["id"]?.string == gone.id)
            #expect(try await about(1) == .null)
            #expect(try await about(2)?["id"]?.string == kept)
            #expect(try await api.events().contains("contact.unmerged"))
            // And they can be merged again, the other way round.
            #expect(try await api.send(.post, "/v1/contacts/\(gone.id)/merge", MergeTests.merge([kept]), as: admin).status == 200)
        }
    }

    @Test func whatCannotBeUndoneIsRefused() async throws {
        try await MergeTests.run { api in
            let admin = api.member(limits: ["leads": 4])
            func lead(_ more: String = "", as caller: RequestContext? = nil) async throws -> String {
                try await api.create(#"{"last_name":"L"\#(more)}"#, at: "/v1/leads", as: caller ?? admin).id
            }
            let (kept, other) = (try await lead(), try await lead())
            let gone = try await lead(#","external_id":"g""#)
            let path = "/v1/leads/\(kept)/unmerge"
            let merge = try await api.send(.post, "/v1/leads/\(kept)/merge", MergeTests.merge([gone]), as: admin).json.id
            for (target, body, status, code) in [
                (path, "{}", 422, "validation_failed"), (path, #"{"merge_id":"x"}"#, 422, "validation_failed"),
                (path, #"{"merge":"x"}"#, 400, "unknown_member"), (path, undo(RecordID().description), 422, "reference_not_found"),
                ("/v1/leads/\(other)/unmerge", undo(merge), 422, "reference_not_found"),
                ("/v1/contacts/\(kept)/unmerge", undo(merge), 404, "not_found"),
                ("/v1/leads/\(RecordID())/unmerge", undo(merge), 404, "not_found"),
                ("/v1/leads/\(gone)/unmerge", undo(merge), 409, "merged"),
                ("\(path)?x=1", undo(merge), 400, "unknown_parameter"),
            ] {
                let reply = try await api.send(.post, target, body, as: admin)
                #expect(try reply.status == status && reply.code == code, "\(target) \(body): \(reply.text)")
            }
            #expect(try await api.send(.post, path, undo(merge), as: admin, headers: ["If-Match": "\"9\""]).code == "version_mismatch")
            #expect(try await api.send(.post, path, undo(merge), as: api.member(tenant: TenantID())).code == "not_found")
            #expect(try await api.send(.get, "/v1/leads/\(kept)/merges", as: api.member(tenant: TenantID())).code == "not_found")
            #expect(try await api.send(.get, "/v1/leads/\(kept)/merges", as: api.member(.support)).status == 403)
            // Its value is another's by now (the survivor has taken it over and lets it go), then the plan has no room.
            #expect(try await api.send(.patch, "/v1/leads/\(kept)", #"{"external_id":null}"#, as: admin).status == 200)
            let taker = try await lead(#","external_id":"g""#)
            let taken = try await api.send(.post, path, undo(merge), as: admin)
            #expect(
                try taken.code == "already_exists" && taken.json.id == taker && taken.faults == ["/external_id not_unique"], "\(taken.text)"
            )
            #expect(try await api.send(.patch, "/v1/leads/\(taker)", #"{"external_id":null}"#, as: admin).status == 200)
            let last = try await lead()
            let full = try await api.send(.post, path, undo(merge), as: admin)
            #expect(try full.code == "plan_limit_reached", "\(full.text)")
            #expect(try await api.send(.delete, "/v1/leads/\(last)", as: admin).status == 204)
            // What it was merged into has become another one.
            let second = try await api.send(.post, "/v1/leads/\(other)/merge", MergeTests.merge([kept]), as: admin).json.id
            let on = try await api.send(.post, path, undo(merge), as: admin)
            #expect(try on.code == "merged" && on.json.id == other, "\(on.text)")
            #expect(try await api.send(.post, "/v1/leads/\(other)/unmerge", undo(second), as: admin).status == 200)
            // Too late.
            try await api.write(["update merge set created_at = now() - interval '31 days' where id = \(merge)"])
            #expect(try await api.send(.post, path, undo(merge), as: admin).code == "conflict")
            #expect(try await api.send(.get, "/v1/leads/\(gone)", as: admin).status == 301)
        }
    }

    // MARK: Behind it

    /// What the job was asked to do, as its payload says, done as a job would.
    ///
    /// - Parameter merge: by default the last one that was asked for.
    private func follow(_ api: ResourceAPI, _ merge: String? = nil, as context: RequestContext) async throws -> Int {
        let which: SQL = merge.map { " and key = \($0)" } ?? ""
        let payload = try await TestPostgres.withClient(api.database.system) { client in
            try await client.batch(
                as: SystemContext(service: "test"),
                ["select payload from job where kind = 'merge-references'" + which + " order by created_at desc limit 1"])[0].first?
                .text(0)
        }
        let following = try JSONDecoder().decode(MergeFollowing.self, from: Data(try #require(payload).utf8))
        var steps = 1
        while case .more = try await following.step(
            among: api.resources, as: context, write: { try await api.postgres.batch(as: context, $0) })
        {
            steps += 1
        }
        return steps
    }

    /// 1,200 contacts, one that is deleted, and one of a request that saw the account still there.
    @Test func whatIsMoreThanAMergeHasRoomForFollowsItAndComesBack() async throws {
        try await MergeTests.run { api in
            let admin = api.member()
            let kept = try await api.create(#"{"name":"Kept"}"#, at: "/v1/accounts", as: admin).id
            let gone = try await api.create(#"{"name":"Gone"}"#, at: "/v1/accounts", as: admin).id
            func fill(_ count: Int, deleted: Bool = false) async throws {
                try await api.write([
                    """
                    insert into contact (tenant_id, id, last_name, account_id, deleted_at, created_by, updated_by) \
                    select \(api.tenant)::uuid, gen_random_uuid(), 'C', \(gone)::uuid, case when \(deleted)::boolean then now() end, gen_random_uuid(), \
                    gen_random_uuid() from generate_series(1, \(count)::int)
                    """
                ])
            }
            func count(_ account: String, version: Int? = nil) async throws -> Int {
                let rows: SQL = version.map { "and version = \($0)" } ?? ""
                return try await api.postgres.batch(
                    as: admin, ["select count(*) from contact where account_id = \(account) " + rows])[0][0].decode(0)
            }
            try await fill(1200)
            try await fill(1, deleted: true)
            let merge = try await api.send(.post, "/v1/accounts/\(kept)/merge", MergeTests.merge([gone]), as: admin).json.id
            #expect(try await count(kept, version: 2) == 500)
            #expect(try await follow(api, as: admin) == 2)
            #expect(try await count(kept, version: 2) == 1201)
            try await fill(1)
            #expect(try await follow(api, as: admin) == 1)
            #expect(try await count(gone) == 0)
            #expect(try await count(kept, version: 2) == 1202)
            #expect(try await api.events().count { $0 == "contact.updated" } == 1202)

            let undone = try await api.send(.post, "/v1/accounts/\(kept)/unmerge", undo(merge), as: admin)
            #expect(undone.status == 200, "\(undone.text)")
            _ = try await follow(api, as: admin)
            #expect(try await count(gone, version: 3) == 1202)
            // Nothing of it moves any more.
            #expect(try await follow(api, as: admin) == 1)
            #expect(try await count(gone, version: 3) == 1202)
        }
    }

    /// Goal: nothing stays with a record in the middle. Method: of the 1,200 contacts of an account 700 are still to come when the one that it was merged into
    /// is merged itself, and all that this one had has moved on.
    @Test func aMergeOfTheSurvivorTakesAlongWhatIsStillToCome() async throws {
        try await MergeTests.run { api in
            let admin = api.member()
            var accounts: [String] = []
            for name in ["First", "Middle", "Last"] {
                accounts.append(try await api.create(#"{"name":"\#(name)"}"#, at: "/v1/accounts", as: admin).id)
            }
            try await api.write([
                """
                insert into contact (tenant_id, id, last_name, account_id, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'C', \(accounts[0])::uuid, gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 1200)
                """
            ])
            func counts() async throws -> [Int] {
                let counts = accounts.map { "select count(*) from contact where account_id = \($0)" as SQL }
                return try await api.postgres.batch(as: admin, counts).map { try $0[0].decode(0) }
            }
            func merge(_ gone: Int, into kept: Int) async throws -> String {
                let reply = try await api.send(
                    .post, "/v1/accounts/\(accounts[kept])/merge", MergeTests.merge([accounts[gone]]), as: admin)
                #expect(reply.status == 200, "\(reply.text)")
                return try reply.json.id
            }
            let first = try await merge(0, into: 1)
            // What is to come may be the one that it becomes: below the first one, which is the middle one by now.
            try await api.write(["update account set parent_id = \(accounts[0]) where id = \(accounts[2])"])
            let second = try await merge(1, into: 2)
            func parent() async throws -> JSON? { try await api.send(.get, "/v1/accounts/\(accounts[2])", as: admin).json["parent_id"] }
            #expect(try await counts() == [700, 0, 500])
            _ = try await follow(api, second, as: admin)
            // As when that job has ended.
            try await api.write(["delete from job where key = \(second)"])
            _ = try await follow(api, first, as: admin)
            #expect(try await counts() == [0, 700, 500])
            _ = try await follow(api, second, as: admin)
            #expect(try await counts() == [0, 0, 1200])
            #expect(try await parent() == .null)

            // And back: more than is moved at once.
            try await api.write([
                """
                insert into merge_move (tenant_id, id, merge_id, source, field, from_id, ids) \
                select \(api.tenant)::uuid, lpad(n::text, 32, '0')::uuid, \(second)::uuid, 'gone', 'gone_id', \(second)::uuid, '{}' \
                from generate_series(1, 8) as n
                """
            ])
            #expect(try await api.send(.post, "/v1/accounts/\(accounts[2])/unmerge", undo(second), as: admin).status == 200)
            #expect(try await counts() == [0, 0, 1200])
            let early = try await api.send(.post, "/v1/accounts/\(accounts[1])/unmerge", undo(first), as: admin)
            #expect(try early.status == 409 && early.code == "conflict", "\(early.text)")
            _ = try await follow(api, second, as: admin)
            #expect(try await counts() == [0, 1200, 0])
            // Not to what has become another one.
            #expect(try await parent() == .null)
            #expect(try await api.send(.post, "/v1/accounts/\(accounts[1])/unmerge", undo(first), as: admin).status == 200)
            _ = try await follow(api, first, as: admin)
            #expect(try await counts() == [1200, 0, 0])
        }
    }
}
