import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// What the service does behind a merge; merging itself is tested with the engine.
@Suite struct MergeTests {
    /// 700 contacts, which is more than a merge moves itself.
    @Test func contactsOfAMergedAccountFollowIt() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database, settings: ["MARTLET_WORKERS": "true"]) { service in
                let tenant = TenantID()
                let member = AccountTests.member(.manager, tenant: tenant)
                func account(_ name: String) async throws -> String {
                    let made = try await service.send(.post, "/v1/accounts", ["name": .string(name)], as: member, expecting: 201)
                    return made.json["id"]?.string ?? ""
                }
                let (kept, gone) = (try await account("Kept"), try await account("Gone"))
                try await database.query(
                    in: .crm,
                    [
                        """
                        insert into contact (tenant_id, id, last_name, account_id, created_by, updated_by) \
                        select \(tenant)::uuid, uuid_v7(), 'C', \(gone)::uuid, uuid_v7(), uuid_v7() from generate_series(1, 700)
                        """
                    ])
                let merge = try await service.send(
                    .post, "/v1/accounts/\(kept)/merge", ["from": [.string(gone)]], as: member, expecting: 200)
                func count(_ account: String) async throws -> Int64? {
                    let list = try await service.send(
                        .get, "/v1/contacts?account_id=\(account)&limit=1&count=exact", as: member, expecting: 200)
                    return list.json["page"]?["total"]?.integer
                }
                try await eventually("all contacts have moved") { try await count(kept) == 700 }
                try await service.send(
                    .post, "/v1/accounts/\(kept)/unmerge", ["merge_id": merge.json["id"] ?? .null], as: member, expecting: 200)
                #expect(try await count(gone) == 700)
                try await service.runJob("merge-retention")
                let known = try await service.send(.get, "/v1/accounts/\(kept)/merges", as: member, expecting: 200)
                #expect(known.json["data"]?.array?.count == 1)
                try await database.query(in: .crm, ["update merge set created_at = now() - interval '31 days'"])
                try await service.runJob("merge-retention")
                let none = try await service.send(.get, "/v1/accounts/\(kept)/merges", as: member, expecting: 200)
                #expect(none.json["data"]?.array?.isEmpty == true)
                #expect(try await database.query(in: .crm, ["select from merge_move"])[0].isEmpty)
            }
        }
    }
}
