import Contracts
import Core
import Foundation
import Identity
import Operations
import Postgres
import ServiceRuntime
import Tenant
import TestSupport
import Testing

/// Identity and tenant as two running services on a database of their own.
struct IdentityPlatform: Sendable {
    let database: TestDatabase
    let identity: RunningService
    let tenant: RunningService

    static let encryptionKey = String(repeating: "0f", count: 32)

    /// Runs both for the length of the closure.
    static func run(
        settings: [String: String] = [:], _ body: @escaping @Sendable (IdentityPlatform) async throws -> Void
    ) async throws {
        try await TestDatabase.run([Identity.definition, TenantService.definition]) { database in
            try await RunningService.run(TenantService.definition, on: database) { tenant in
                let own = ["MARTLET_TENANT_URL": tenant.url, "MARTLET_KEY_ENCRYPTION_KEY": encryptionKey]
                try await RunningService.run(Identity.definition, on: database, settings: own.merging(settings) { $1 }) { identity in
                    try await body(IdentityPlatform(database: database, identity: identity, tenant: tenant))
                }
            }
        }
    }

    static let password = "correct horse battery"

    static func registration(_ name: String, slug: String? = nil, password: String = password) -> JSON {
        [
            "email": .string("\(name)@example.test"), "password": .string(password), "name": .string(name),
            "organization": ["name": .string("Company of \(name)"), "slug": .string(slug ?? "company-\(name)")],
        ]
    }

    /// Registers somebody with an organisation `company-<name>`.
    @discardableResult
    func register(_ name: String) async throws -> SignedIn {
        let answer = try await identity.send(
            .post, "/v1/auth/register", Self.registration(name), as: .anybody(), expecting: 201)
        return try SignedIn(answer.json)
    }

    @discardableResult
    func login(
        _ name: String, password: String = password, tenant: String? = nil, address: String = "192.0.2.1", expecting: Int? = nil
    ) async throws -> APIAnswer {
        var body: [String: JSON] = ["email": .string("\(name)@example.test"), "password": .string(password)]
        if let tenant { body["tenant"] = .string(tenant) }
        var object = JSONObject()
        for (name, value) in body { object[name] = value }
        return try await identity.send(.post, "/v1/auth/login", .object(object), as: .anybody(at: address), expecting: expecting)
    }

    @discardableResult
    func refresh(_ token: String, expecting: Int? = nil) async throws -> APIAnswer {
        try await identity.send(.post, "/v1/auth/refresh", ["refresh_token": .string(token)], as: .anybody(), expecting: expecting)
    }

    /// The kinds of events in a service's outbox that belong to the tenant.
    func events(of service: ServiceName, in tenant: TenantID) async throws -> [String] {
        let rows = try await database.query(
            in: service,
            [
                "select type from outbox where tenant_id = \(tenant) order by id"
            ])
        return try rows[0].map { try $0.decode("type") }
    }
}

/// The tokens of one who has signed in, and what the gateway would make of them.
struct SignedIn: Sendable {
    let accessToken: String
    let refreshToken: String
    let claims: AccessClaims
    let member: RequestContext

    var caller: Caller {
        var member = member
        member.edge = .test()
        return .member(member)
    }

    init(_ json: JSON) throws {
        accessToken = try #require(json["access_token"]?.string)
        refreshToken = try #require(json["refresh_token"]?.string)
        let parts = accessToken.split(separator: ".")
        let payload = try #require(Base64URL.decode(parts[1]))
        claims = try JSONDecoder().decode(AccessClaims.self, from: Data(payload))
        member = RequestContext(
            tenant: try #require(TenantID(claims.tid)), user: try #require(UserID(claims.sub)), session: SessionID(claims.sid),
            role: claims.role, permissions: try #require(PermissionSet(encoded: claims.permissions)),
            scopes: try #require(RowScopes(encoded: claims.scopes)), plan: claims.plan, limits: claims.limits, edge: .test())
    }
}

extension IdentityPlatform {
    /// Has a tenant invite `<name>@example.test`, on a plan with room for him.
    func invite(
        _ name: String, role: String, to admin: SignedIn, accept: @Sendable (_ token: String) async throws -> Void
    ) async throws {
        try await database.query(in: .tenant, ["update tenant set plan = 'enterprise' where tenant_id = \(admin.member.tenant)"])
        let invitation = try await tenant.send(
            .post, "/v1/invitations", ["email": .string("\(name)@example.test"), "role": .string(role)], as: admin.caller, expecting: 201)
        try await accept(try #require(invitation.json["token"]?.string))
    }

    /// Makes somebody who has an account, as `<name>@example.test`, a member of a further tenant.
    func add(_ person: SignedIn, named name: String, role: String, to admin: SignedIn) async throws {
        try await invite(name, role: role, to: admin) { token in
            try await tenant.send(.post, "/v1/invitations/accept", ["token": .string(token)], as: person.caller, expecting: 200)
        }
    }

    /// Registers somebody by an invitation.
    func join(_ name: String, role: String, by admin: SignedIn) async throws -> SignedIn {
        let (tokens, continuation) = AsyncStream.makeStream(of: SignedIn.self)
        try await invite(name, role: role, to: admin) { token in
            let answer = try await identity.send(
                .post, "/v1/auth/register",
                [
                    "email": .string("\(name)@example.test"), "password": .string(Self.password), "name": .string(name),
                    "invitation_token": .string(token),
                ], as: .anybody(), expecting: 201)
            continuation.yield(try SignedIn(answer.json))
        }
        var iterator = tokens.makeAsyncIterator()
        return try #require(await iterator.next())
    }
}

let identityDefinition = Identity.definition
let tenantDefinition = TenantService.definition
