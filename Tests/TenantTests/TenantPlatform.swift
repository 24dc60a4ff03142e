import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import Tenant
import TestSupport
import Testing

/// The tenant service, running on a database of its own.
struct TenantPlatform: Sendable {
    let database: TestDatabase
    let service: RunningService

    /// Runs the service for the length of the closure.
    static func run(_ body: @escaping @Sendable (TenantPlatform) async throws -> Void) async throws {
        try await TestDatabase.run([TenantService.definition]) { database in
            try await RunningService.run(TenantService.definition, on: database) { service in
                try await body(TenantPlatform(database: database, service: service))
            }
        }
    }

    /// Makes a tenant, as identity does when somebody registers, and puts it on a plan.
    func organization(_ slug: String, plan: String = "enterprise") async throws -> TestMember {
        let owner = Person(id: UserID(), email: "admin@\(slug).test", name: "Admin of \(slug)")
        let id = TenantID()
        try await service.send(
            .post, "/internal/tenants",
            ["id": .string(id.description), "name": .string(slug), "slug": .string(slug), "owner": owner.json],
            as: .anotherService, expecting: 200)
        if plan != "free" {
            try await database.query(in: .tenant, ["update tenant set plan = \(plan) where slug = \(slug)"])
        }
        return try await member(owner, in: id)
    }

    /// A member as the gateway would make him of his token at this moment.
    func member(_ person: Person, in tenant: TenantID) async throws -> TestMember {
        let answer = try await service.send(.get, "/internal/users/\(person.id)/memberships", as: .anotherService, expecting: 200)
        let memberships = try #require(answer.json["data"]?.array).map { try #require(Membership(json: $0)) }
        return TestMember(person: person, membership: try #require(memberships.first { $0.tenant.id == tenant }))
    }

    /// Invites somebody and accepts for him.
    func join(_ name: String, role: String, by admin: TestMember) async throws -> TestMember {
        let person = Person(id: UserID(), email: "\(name)@\(admin.membership.tenant.slug).test", name: name)
        let invitation = try await service.send(
            .post, "/v1/invitations", ["email": .string(person.email), "role": .string(role)], as: admin.caller, expecting: 201)
        try await service.send(
            .post, "/internal/invitations/accept", ["token": invitation.json["token"] ?? .null, "user": person.json],
            as: .anotherService, expecting: 200)
        return try await member(person, in: admin.membership.tenant.id)
    }

    /// Accepts an invitation for whoever has the address.
    func accept(_ invitation: APIAnswer, _ email: String, user: UserID = UserID()) async throws -> APIAnswer {
        try await service.send(
            .post, "/internal/invitations/accept",
            ["token": invitation.json["token"] ?? .null, "user": Person(id: user, email: email, name: "Somebody").json], as: .anotherService
        )
    }

    /// Makes a team and gives its id.
    func team(_ name: String, _ members: [TestMember], by admin: TestMember) async throws -> String {
        let ids = members.map { JSON.string($0.person.id.description) }
        let answer = try await service.send(
            .post, "/v1/teams", ["name": .string(name), "member_ids": .array(ids)], as: admin.caller, expecting: 201)
        return try #require(answer.json["id"]?.string)
    }

    /// Makes a role of the tenant's own.
    @discardableResult
    func role(_ name: String, _ permissions: [String], _ scopes: JSON = [:], by admin: TestMember) async throws -> APIAnswer {
        try await service.send(
            .post, "/v1/roles",
            ["name": .string(name), "permissions": .array(permissions.map { .string($0) }), "scopes": scopes], as: admin.caller,
            expecting: 201)
    }

    /// Somebody with the role super_admin.
    func platformOperator() async throws -> TestMember {
        let person = Person(id: UserID(), email: "operator@martlet.test", name: "Operator")
        let answer = try await service.send(
            .post, "/internal/platform/operators", ["user": person.json], as: .anotherService, expecting: 200)
        return TestMember(person: person, membership: try #require(Membership(json: answer.json)))
    }

    /// What gateways poll.
    func revocations() async throws -> [Revocation] {
        try Revocation.all(in: await service.send(.get, Revocation.statePath, as: .anotherService, expecting: 200).json) ?? []
    }

    /// The kinds of events in the outbox that belong to the tenant.
    func events(in tenant: TenantID) async throws -> [String] {
        let rows = try await database.query(in: .tenant, ["select type from outbox where tenant_id = \(tenant) order by id"])
        return try rows[0].map { try $0.decode("type") }
    }
}

extension APIAnswer {
    /// Status and body without what differs for each request.
    var comparable: [JSON] {
        var object = json.object ?? JSONObject()
        object["request_id"] = nil
        return [.number(status), .object(object)]
    }
}

/// A member with what his token would carry.
struct TestMember: Sendable {
    let person: Person
    let membership: Membership

    var tenant: TenantID { membership.tenant.id }

    var caller: Caller {
        .member(
            RequestContext(
                tenant: membership.tenant.id, user: person.id, session: SessionID(), role: membership.role,
                permissions: membership.permissions, scopes: membership.scopes, fields: membership.fields,
                plan: membership.tenant.plan, limits: membership.limits,
                edge: .test()))
    }
}
