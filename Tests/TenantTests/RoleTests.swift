import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct RoleTests {
    @Test func rolesAndPermissionsAreShown() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let roles = try await platform.service.send(.get, "/v1/roles", as: admin.caller, expecting: 200).json["data"]?.array ?? []
            #expect(
                roles.compactMap { $0["name"]?.string } == ["super_admin", "tenant_admin", "manager", "sales", "support", "read_only"])
            #expect(roles[3]["scopes"]?["leads"]?.string == "team")
            #expect(roles[5]["permissions"]?.array?.contains("leads.create") == false)
            let permissions = try await platform.service.send(.get, "/v1/permissions", as: admin.caller, expecting: 200)
            #expect(permissions.json["data"]?.array?.count == Permission.catalogue.count)
            let sales = try await platform.join("sales", role: "sales", by: admin)
            try await platform.service.send(.get, "/v1/roles", as: sales.caller, expecting: 403)
        }
    }

    /// A role, permissions, scopes and a limit of a newer release: what is not known here gives nothing, and keeps nobody out.
    @Test func aMembershipOfANewerReleaseIsReadAsFarAsItIsKnown() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            try await platform.database.query(
                in: .tenant, ["update member set role = 'auditor'"])
            let membership = try await platform.member(admin.person, in: admin.membership.tenant.id).membership
            #expect(membership.role == "auditor")
            #expect(membership.permissions == PermissionSet() && membership.scopes == RowScopes())

            var newer = try #require(admin.membership.json.object)
            newer["permissions"] = .string(admin.membership.permissions.encoded + "ff")
            newer["scopes"] = .string(admin.membership.scopes.encoded + "3")
            newer["limits"] = ["leads": 100, "storage": ["bytes": 5]]
            newer["columns"] = ["deals": ["amount_minor": "hidden"]]
            let read = try #require(Membership(json: .object(newer)))
            #expect(read.permissions == admin.membership.permissions && read.scopes == admin.membership.scopes)
            #expect(read.limits == ["leads": 100])
        }
    }

    @Test func aDecisionIsExplained() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            func explain(_ permission: String) async throws -> APIAnswer {
                try await platform.service.send(
                    .post, "/v1/authorize/explain", ["permission": .string(permission)], as: sales.caller)
            }
            let allowed = try await explain("leads.update").json
            #expect(allowed["allowed"]?.bool == true)
            #expect(allowed["scope"]?.string == "team")
            let refused = try await explain("leads.delete").json
            #expect(refused["allowed"]?.bool == false)
            #expect(refused["reason"]?.string == "The role sales does not have leads.delete.")
            let unknown = try await explain("lead.delete")
            #expect(unknown.status == 422)
            #expect(unknown.text.contains("leads.delete"))
            #expect(allowed["built_in"] == true)
            #expect(
                allowed["reason"]
                    == "The role sales has leads.update on your own records and those of everybody who shares a team with you.")
            // To use it takes that to read, which the answer to a change is.
            try await platform.role("writer", ["leads.update", "leads.delete"], by: admin)
            let writer = try await platform.join("writer", role: "writer", by: admin)
            let blind = try await platform.service.send(
                .post, "/v1/authorize/explain", ["permission": "leads.update"], as: writer.caller, expecting: 200
            ).json
            #expect(blind["allowed"] == false && blind["scope"] == "none")
            #expect(blind["reason"]?.string?.contains("has leads.update, which is of no use without leads.read") == true)
            let deletion = try await platform.service.send(
                .post, "/v1/authorize/explain", ["permission": "leads.delete"], as: writer.caller, expecting: 200)
            #expect(deletion.json["allowed"] == true)
            try await platform.role("scout", ["leads.read"], ["leads": "own"], by: admin)
            let scout = try await platform.join("scout", role: "scout", by: admin)
            let own = try await platform.service.send(
                .post, "/v1/authorize/explain", ["permission": "leads.read"], as: scout.caller, expecting: 200
            ).json
            #expect(own["built_in"] == false && own["scope"] == "own" && own["allowed"] == true)
            #expect(own["reason"] == "The role scout of your tenant's own has leads.read on your own records.")
        }
    }

    /// No service with leads runs here: whether one is in reach nobody knows, and no guess is kept for a replay.
    @Test func aRecordThatCannotBeAskedAboutIsNoDecision() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let body: JSON = ["permission": "leads.read", "resource_id": .string(RecordID().description)]
            for _ in 0..<2 {
                let answer = try await platform.service.send(
                    .post, "/v1/authorize/explain", body, as: admin.caller, headers: [("idempotency-key", "one")], expecting: 503)
                #expect(answer.code == "upstream_unavailable" && answer.header("retry-after") == "1")
            }
        }
    }

    @Test func anExplanationWithAKeyIsGivenAgain() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let path = "/v1/authorize/explain"
            let key = [("idempotency-key", "why")]
            let body: JSON = ["permission": "leads.update"]
            let first = try await platform.service.send(.post, path, body, as: admin.caller, headers: key, expecting: 200)
            #expect(first.header("idempotent-replayed") == nil)
            let again = try await platform.service.send(.post, path, body, as: admin.caller, headers: key, expecting: 200)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(again.body == first.body)
            let reused = try await platform.service.send(
                .post, path, ["permission": "leads.delete"], as: admin.caller, headers: key, expecting: 422)
            #expect(reused.code == "idempotency_key_reused")
        }
    }
}
