import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct MemberTests {
    @Test func anInvitedPersonBecomesAMemberWithTheRole() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            #expect(sales.membership.role == "sales")
            #expect(sales.membership.permissions == BuiltInRole.sales.permissions)
            #expect(sales.membership.scopes == BuiltInRole.sales.scopes)
            let list = try await platform.service.send(.get, "/v1/members", as: admin.caller, expecting: 200).json
            #expect(list["data"]?.array?.compactMap { $0["email"]?.string } == ["admin@acme.test", "sales@acme.test"])
            let asked: JSON = ["users": [.string(sales.person.id.description), .string(UserID().description)]]
            let answer = try await platform.service.send(
                .post, "/internal/tenants/\(admin.tenant)/members", asked, as: .anotherService, expecting: 200)
            let known: JSON = [
                "tenant": .string(admin.tenant.description), "id": .string(sales.person.id.description), "email": "sales@acme.test",
                "name": "sales", "role": "sales",
                "teams": [], "status": "active", "is_removed": false, "version": 1,
            ]
            #expect(answer.json["data"] == [known])
            try await platform.service.send(.delete, "/v1/members/\(sales.person.id)", as: admin.caller, expecting: 204)
            let later = try await platform.service.send(
                .post, "/internal/tenants/\(admin.tenant)/members", asked, as: .anotherService, expecting: 200)
            #expect(later.json["data"]?[0]?["is_removed"] == true)

            // And everybody, for who makes a copy: of all tenants, by pages.
            let globex = try await platform.organization("globex")
            var all: [JSON] = []
            var place = ""
            repeat {
                let page = try await platform.service.send(
                    .get, "/internal/members?limit=2\(place)", as: .anotherService, expecting: 200
                ).json
                all += page["data"]?.array ?? []
                place = page["next"]?.string.map { "&after=\($0)" } ?? ""
            } while !place.isEmpty
            #expect(Set(all.compactMap { $0["id"]?.string }).count == 3 && all.count == 3)
            #expect(Set(all.compactMap { $0["tenant"]?.string }) == [admin.tenant.description, globex.tenant.description])
            #expect(all.filter { $0["is_removed"] == true }.map { $0["id"]?.string } == [sales.person.id.description])
            try await platform.service.send(.get, "/internal/members?after=x", as: .anotherService, expecting: 400)
            try await platform.service.send(.get, "/internal/members?limit=0", as: .anotherService, expecting: 400)
            try await platform.service.send(.get, "/internal/members", as: admin.caller, expecting: 404)
        }
    }

    @Test func listsPageFilterAndSort() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            for name in ["a", "b", "c"] { _ = try await platform.join(name, role: "sales", by: admin) }
            var seen: [String] = []
            var after = ""
            for _ in 0..<4 {
                let page = try await platform.service.send(
                    .get, "/v1/members?limit=1&sort=-created_at\(after)", as: admin.caller, expecting: 200
                ).json
                seen += page["data"]?.array?.compactMap { $0["name"]?.string } ?? []
                guard let next = page["page"]?["next"]?.string else { break }
                after = "&after=\(next)"
            }
            #expect(seen == ["c", "b", "a", "Admin of acme"])
            let filtered = try await platform.service.send(
                .get, "/v1/members?role=tenant_admin&status=active", as: admin.caller, expecting: 200)
            #expect(filtered.json["data"]?.array?.count == 1)

            let service = platform.service
            #expect(try await service.send(.get, "/v1/members?limit=201", as: admin.caller).code == "invalid_parameter")
            #expect(try await service.send(.get, "/v1/members?role=boss", as: admin.caller).code == "invalid_parameter")
            #expect(try await service.send(.get, "/v1/members?sort=email", as: admin.caller).code == "invalid_parameter")
            #expect(try await service.send(.get, "/v1/members?after=x", as: admin.caller).code == "invalid_cursor")
            let otherFilter = try await service.send(.get, "/v1/members?role=sales\(after)", as: admin.caller)
            #expect(otherFilter.code == "invalid_cursor")
            let unknown = try await service.send(.get, "/v1/members?rol=sales", as: admin.caller)
            #expect(unknown.code == "unknown_parameter")
            #expect(unknown.json["detail"]?.string?.contains("'role'") == true)
        }
    }

    @Test func aRoleChangeRaisesTheEpochAndIsToldToGateways() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let path = "/v1/members/\(sales.person.id)"
            let before = try await platform.service.send(.get, path, as: admin.caller, expecting: 200)
            let changed = try await platform.service.send(
                .patch, path, ["role": "manager"], as: admin.caller, headers: [("if-match", before.header("etag") ?? "")],
                expecting: 200)
            #expect(changed.json["role"]?.string == "manager")
            #expect(changed.header("etag") == "\"2\"")
            let after = try await platform.member(sales.person, in: admin.tenant)
            #expect(after.membership.epoch == 2)
            #expect(after.membership.permissions == BuiltInRole.manager.permissions)
            #expect(
                try await platform.revocations().contains(.member(tenant: admin.tenant, user: sales.person.id, epoch: 2)))
            #expect(try await platform.events(in: admin.tenant).last == "member.updated")

            let stale = try await platform.service.send(
                .patch, path, ["role": "sales"], as: admin.caller, headers: [("if-match", "\"1\"")], expecting: 412)
            #expect(stale.json["current_version"]?.integer == 2)
            // As on every other resource: a weak tag matches nothing, of several one must match, and `*` is any version.
            for (tag, status) in [("W/\"2\"", 412), ("\"1\", \"3\"", 412), ("\"1\", \"2\"", 200), ("*", 200)] {
                try await platform.service.send(
                    .patch, path, [:], as: admin.caller, headers: [("if-match", tag)], expecting: status)
            }
            let known = try await platform.service.send(.get, path, as: admin.caller, headers: [("if-none-match", "\"2\"")])
            #expect(known.status == 304)
        }
    }

    @Test func aDisabledOrRemovedMemberCannotActAndCanComeBack() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let path = "/v1/members/\(sales.person.id)"
            try await platform.service.send(.patch, path, ["status": "disabled"], as: admin.caller, expecting: 200)
            let membershipsPath = "/internal/users/\(sales.person.id)/memberships"
            let none = try await platform.service.send(.get, membershipsPath, as: .anotherService, expecting: 200)
            #expect(none.json["data"]?.array?.isEmpty == true)
            try await platform.service.send(
                .get, "/internal/tenants/\(admin.tenant)/members/\(sales.person.id)", as: .anotherService, expecting: 404)
            try await platform.service.send(.patch, path, ["status": "active"], as: admin.caller, expecting: 200)
            try await platform.service.send(.delete, path, as: admin.caller, expecting: 204)
            try await platform.service.send(.delete, path, as: admin.caller, expecting: 404)
            try await platform.service.send(.get, path, as: admin.caller, expecting: 404)

            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": .string(sales.person.email), "role": "support"], as: admin.caller, expecting: 201)
            let back = try await platform.service.send(
                .post, "/internal/invitations/accept", ["token": invitation.json["token"] ?? .null, "user": sales.person.json],
                as: .anotherService, expecting: 200)
            #expect(back.json["role"]?.string == "support")
            #expect(back.json["epoch"]?.integer == 5)
            #expect(try await platform.events(in: admin.tenant).contains("member.restored"))
        }
    }

    @Test func nobodyGrantsWhatHeDoesNotHold() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let path = "/v1/members/\(sales.person.id)"
            let toOperator = try await platform.service.send(.patch, path, ["role": "super_admin"], as: admin.caller, expecting: 403)
            #expect(toOperator.code == "forbidden")
            try await platform.service.send(
                .post, "/v1/invitations", ["email": "x@acme.test", "role": "super_admin"], as: admin.caller, expecting: 403)
            for role in ["manager", "sales", "support", "read_only"] {
                let person = try await platform.join("of-\(role)", role: role, by: admin)
                try await platform.service.send(.patch, path, ["role": "read_only"], as: person.caller, expecting: 403)
                try await platform.service.send(.delete, path, as: person.caller, expecting: 403)
                try await platform.service.send(
                    .post, "/v1/invitations", ["email": "x@acme.test", "role": "read_only"], as: person.caller, expecting: 403)
            }
        }
    }

    /// Two administrators remove each other at the same moment, many times: one is always left.
    @Test func theLastAdministratorStaysWhoeverComesFirst() async throws {
        try await TenantPlatform.run { platform in
            for round in 0..<8 {
                let first = try await platform.organization("acme-\(round)")
                let second = try await platform.join("second", role: "tenant_admin", by: first)
                async let one = platform.service.send(.delete, "/v1/members/\(second.person.id)", as: first.caller)
                async let other =
                    round.isMultiple(of: 2)
                    ? platform.service.send(.delete, "/v1/members/\(first.person.id)", as: second.caller)
                    : platform.service.send(.patch, "/v1/members/\(first.person.id)", ["role": "sales"], as: second.caller)
                let statuses = try await [one.status, other.status].sorted()
                // Whoever comes second is no administrator any longer.
                #expect(statuses == [round.isMultiple(of: 2) ? 204 : statuses[0], 401])
                let left = try await platform.database.query(
                    in: .tenant,
                    [
                        """
                        select from member where tenant_id = \(first.tenant) and role = 'tenant_admin' and status = 'active'
                        and deleted_at is null
                        """
                    ])[0]
                #expect(left.count == 1)
            }
            let alone = try await platform.organization("alone")
            for body: JSON in [["role": "manager"], ["status": "disabled"]] {
                let answer = try await platform.service.send(
                    .patch, "/v1/members/\(alone.person.id)", body, as: alone.caller, expecting: 409)
                #expect(answer.code == "conflict")
            }
        }
    }

    @Test func repeatedWritesWithAKeyTakeEffectOnce() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let path = "/v1/members/\(sales.person.id)"
            let key = [("idempotency-key", "k1")]
            let first = try await platform.service.send(.patch, path, ["role": "support"], as: admin.caller, headers: key, expecting: 200)
            let again = try await platform.service.send(.patch, path, ["role": "support"], as: admin.caller, headers: key, expecting: 200)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(again.body == first.body)
            #expect(again.header("etag") == "\"2\"")
            let other = try await platform.service.send(.patch, path, ["role": "sales"], as: admin.caller, headers: key, expecting: 422)
            #expect(other.code == "idempotency_key_reused")
            let removal = [("idempotency-key", "k2")]
            try await platform.service.send(.delete, path, as: admin.caller, headers: removal, expecting: 204)
            let removedAgain = try await platform.service.send(.delete, path, as: admin.caller, headers: removal, expecting: 204)
            #expect(removedAgain.header("idempotent-replayed") == "true")
        }
    }

    @Test func aBodyOfARemovalIsRefused() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "x@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            let invitationID = try #require(invitation.json["id"]?.string)
            for path in ["/v1/members/\(sales.person.id)", "/v1/invitations/\(invitationID)"] {
                let refused = try await platform.service.send(.delete, path, ["reason": "x"], as: admin.caller, expecting: 400)
                #expect(refused.code == "invalid_parameter")
                try await platform.service.send(.get, path, as: admin.caller, expecting: 200)
                try await platform.service.send(.delete, path, as: admin.caller, expecting: 204)
            }
        }
    }

    @Test func anothersMembersAndInvitationsAreNotThere() async throws {
        try await TenantPlatform.run { platform in
            let acme = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "x@globex.test", "role": "sales"], as: globex.caller, expecting: 201)
            let invitationID = try #require(invitation.json["id"]?.string)
            func comparable(_ answer: APIAnswer) -> [JSON] {
                var object = answer.json.object ?? JSONObject()
                object["request_id"] = nil
                return [.number(answer.status), .object(object)]
            }
            for (method, path, body) in [
                (Method.get, "/v1/members/", nil), (.patch, "/v1/members/", ["role": "sales"] as JSON?), (.delete, "/v1/members/", nil),
            ] {
                let foreign = try await platform.service.send(method, path + globex.person.id.description, body, as: acme.caller)
                let never = try await platform.service.send(method, path + UserID().description, body, as: acme.caller)
                #expect(foreign.status == 404)
                #expect(comparable(foreign) == comparable(never))
            }
            for method in [Method.get, .delete] {
                let foreign = try await platform.service.send(method, "/v1/invitations/\(invitationID)", as: acme.caller)
                let never = try await platform.service.send(method, "/v1/invitations/\(RecordID())", as: acme.caller)
                #expect(foreign.status == 404)
                #expect(comparable(foreign) == comparable(never))
            }
            let page = try await platform.service.send(.get, "/v1/members?limit=1", as: globex.caller)
            #expect(page.json["page"]?["next"] == .null)
        }
    }

    @Test func wrongInputIsNamedAllAtOnce() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let path = "/v1/members/\(admin.person.id)"
            let unknown = try await platform.service.send(
                .patch, path, ["rol": "sales", "status": "gone"], as: admin.caller, expecting: 400)
            #expect(unknown.code == "unknown_member")
            #expect(unknown.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/rol", "/status"])
            #expect(unknown.json["detail"]?.string?.contains("'role'") == true)
            let wrong = try await platform.service.send(.patch, path, ["role": 3, "status": nil], as: admin.caller, expecting: 422)
            #expect(wrong.json["errors"]?.array?.count == 2)
            try await platform.service.send(.patch, path, [1], as: admin.caller, expecting: 422)
            try await platform.service.send(.patch, "/v1/members/none", ["role": "sales"], as: admin.caller, expecting: 404)
            try await platform.service.send(
                .patch, path, ["role": "sales"], as: admin.caller, headers: [("if-match", "7")], expecting: 400)
            try await platform.service.send(.get, "/internal/gateway-state", as: admin.caller, expecting: 404)
            try await platform.service.send(.get, "/v1/members", as: .anybody(), expecting: 401)
        }
    }
}
