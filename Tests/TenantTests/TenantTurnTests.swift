import Contracts
import Core
import Operations
import Postgres
import TestSupport
import Testing

@Suite struct TenantTurnTests {
    private struct Request: Sendable {
        let method: Core.Method
        let path: String
        let body: JSON?
    }

    /// What somebody does to a colleague's rights while his requests wait.
    enum Loss: String, CaseIterable, Sendable {
        case anotherRole, less, disabled, removed

        func statement(_ member: TestMember) -> SQL {
            let row: SQL = "where tenant_id = \(member.tenant) and user_id = \(member.person.id)"
            return switch self {
            case .anotherRole: "update member set role = 'sales', epoch = epoch + 1, version = version + 1 " + row
            case .less:
                """
                update custom_role set permissions = array_remove(permissions, 'leads.export'), epoch = epoch + 1, version = version + 1
                where tenant_id = \(member.tenant)
                """
            case .disabled: "update member set status = 'disabled', epoch = epoch + 1, version = version + 1 " + row
            case .removed: "update member set deleted_at = now(), epoch = epoch + 1, version = version + 1 " + row
            }
        }
    }

    /// Goal: what waits for its turn is decided by what its caller is when it comes, whatever his token says.
    /// Method: a transaction holds the tenant and takes the rights away; the requests are sent meanwhile, and it commits once they wait.
    @Test(arguments: Loss.allCases)
    func whoeverHasLostHisRightsChangesNothing(loss: Loss) async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            try await platform.role("owner", BuiltInRole.tenantAdmin.permissions.permissions.map(\.description), by: admin)
            let other = try await platform.join("other", role: "owner", by: admin)
            let requests = try await Self.requests(platform, admin)
            let before = try await Self.content(platform)
            let answers = try await Self.sent(requests, as: other, after: loss.statement(other), platform)
            for (request, answer) in answers {
                #expect(answer.status == 401 && answer.code == "token_stale", "\(request.method) \(request.path): \(answer.text)")
            }
            #expect(answers.count == requests.count)
            #expect(try await Self.content(platform) == before)
            // Of the rights that were left to somebody else nothing is lost.
            try await platform.service.send(.post, "/v1/teams", ["name": "Two"], as: admin.caller, expecting: 201)
        }
    }

    /// Nor does anybody whose tenant is suspended while he waits.
    @Test func whoeverWaitsWhileHisTenantIsSuspendedChangesNothing() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let requests = try await Self.requests(platform, admin)
            let suspension: SQL = "update tenant set status = 'suspended', epoch = epoch + 1 where tenant_id = \(admin.tenant)"
            let before = try await Self.content(platform)
            let answers = try await Self.sent(requests, as: admin, after: suspension, platform)
            for (request, answer) in answers {
                #expect(answer.status == 403 && answer.code == "tenant_suspended", "\(request.method) \(request.path): \(answer.text)")
            }
            #expect(answers.count == requests.count)
            #expect(try await Self.content(platform) == before)
        }
    }

    /// One of each kind.
    private static func requests(_ platform: TenantPlatform, _ admin: TestMember) async throws -> [Request] {
        try await platform.role("clerk", ["leads.read"], by: admin)
        let person = try await platform.join("person", role: "sales", by: admin)
        let team = try await platform.team("One", [person], by: admin)
        let invitation = try await platform.service.send(
            .post, "/v1/invitations", ["email": "a@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
        return [
            Request(method: .patch, path: "/v1/members/\(person.person.id)", body: ["role": "manager"]),
            Request(method: .patch, path: "/v1/members/\(person.person.id)", body: ["teams": []]),
            Request(method: .delete, path: "/v1/members/\(person.person.id)", body: nil),
            Request(method: .post, path: "/v1/roles", body: ["name": "spy", "permissions": ["leads.read"]]),
            Request(method: .patch, path: "/v1/roles/clerk", body: ["permissions": ["leads.read", "leads.delete"]]),
            Request(method: .delete, path: "/v1/roles/clerk", body: nil),
            Request(method: .post, path: "/v1/teams", body: ["name": "Two"]),
            Request(method: .patch, path: "/v1/teams/\(team)", body: ["member_ids": []]),
            Request(method: .delete, path: "/v1/teams/\(team)", body: nil),
            Request(method: .post, path: "/v1/invitations", body: ["email": "b@acme.test", "role": "sales"]),
            Request(method: .delete, path: "/v1/invitations/\(invitation.json["id"]?.string ?? "")", body: nil),
            Request(method: .patch, path: "/v1/tenant", body: ["name": "Mine"]),
        ]
    }

    private static func content(_ platform: TenantPlatform) async throws -> [String] {
        try await platform.database.query(
            in: .tenant,
            [
                """
                select row(name, version)::text from tenant union all select row(user_id, role, teams)::text from member where role <> 'owner'
                    and deleted_at is null and name <> 'other'
                union all select row(name, permissions)::text from custom_role where name <> 'owner'
                union all select row(name, member_ids, deleted_at)::text from team
                union all select row(email, deleted_at)::text from invitation order by 1
                """
            ])[0].map { try $0.decode(0) }
    }

    private static func sent(
        _ requests: [Request], as member: TestMember, after loss: SQL, holding tenant: TenantID? = nil, _ platform: TenantPlatform
    ) async throws -> [(Request, APIAnswer)] {
        var superuser = platform.database.superuser
        superuser.bulkConnections = 1
        return try await TestPostgres.withClient(superuser) { client in
            try await withThrowingTaskGroup(of: (Request, APIAnswer).self) { group in
                try await client.transaction(as: SystemContext(service: "test", timeout: .seconds(60))) { transaction in
                    try await transaction.batch([
                        "select set_config('search_path', 'tenant', true)",
                        "select from tenant where tenant_id = \(tenant ?? member.tenant) for no key update", loss,
                    ])
                    for request in requests {
                        group.addTask {
                            (request, try await platform.service.send(request.method, request.path, request.body, as: member.caller))
                        }
                    }
                    try await eventually("they wait", within: .seconds(10)) {
                        try await !platform.database.query([
                            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                        ])[0].isEmpty
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
    }

    /// So is what an operator does to another tenant, of which he is no member.
    @Test func whoeverIsNoOperatorAnyLongerChangesNoTenant() async throws {
        try await TenantPlatform.run { platform in
            let acme = try await platform.organization("acme")
            let root = try await platform.platformOperator()
            let plan = Request(method: .patch, path: "/v1/platform/tenants/\(acme.tenant)", body: ["plan": "free"])
            let refused = try await Self.sent([plan], as: root, after: Loss.anotherRole.statement(root), holding: acme.tenant, platform)
            #expect(refused.map { $0.1.code } == ["token_stale"])
            try await platform.database.query(in: .tenant, ["update member set role = 'super_admin' where user_id = \(root.person.id)"])
            try await platform.service.send(plan.method, plan.path, plan.body, as: root.caller, expecting: 200)
        }
    }

    /// Two administrators demote each other at once, with a third beside them: one of the two is done, and the other was sent by nobody.
    @Test func ofTwoWhoDemoteEachOtherOneIsHeard() async throws {
        try await TenantPlatform.run { platform in
            for round in 0..<6 {
                let admin = try await platform.organization("acme-\(round)")
                let one = try await platform.join("one", role: "tenant_admin", by: admin)
                let two = try await platform.join("two", role: "tenant_admin", by: admin)
                async let first = platform.service.send(
                    .patch, "/v1/members/\(one.person.id)", ["role": "sales"], as: two.caller)
                async let second = platform.service.send(
                    .patch, "/v1/members/\(two.person.id)", ["role": "sales"], as: one.caller)
                let statuses = try await [first.status, second.status].sorted()
                #expect(statuses == [200, 401])
            }
        }
    }
}
