import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

/// The tenant that a request names by its host or `X-Tenant`, as the gateway tells it.
@Suite struct NamedTenantTests {
    private static func naming(_ slug: String?) -> [(String, String)] { slug.map { [(Call.namedTenantHeader, $0)] } ?? [] }

    private static func login(
        _ platform: IdentityPlatform, naming slug: String?, tenant: String? = nil, password: String = IdentityPlatform.password,
        expecting: Int
    ) async throws -> APIAnswer {
        var body: JSONObject = JSONObject()
        body["email"] = "anna@example.test"
        body["password"] = .string(password)
        if let tenant { body["tenant"] = .string(tenant) }
        return try await platform.identity.send(
            .post, "/v1/auth/login", .object(body), as: .anybody(), headers: naming(slug), expecting: expecting)
    }

    private static func slug(_ answer: APIAnswer) throws -> String? { try SignedIn(answer.json).claims.slug }

    @Test func itDecidesAtSignInUnlessTheBodySaysMore() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ben = try await platform.register("ben")
            try await platform.add(anna, named: "anna", role: "manager", to: ben)
            func login(_ slug: String?, tenant: String? = nil, password: String = IdentityPlatform.password, expecting: Int = 200)
                async throws -> APIAnswer
            { try await Self.login(platform, naming: slug, tenant: tenant, password: password, expecting: expecting) }

            #expect(try Self.slug(try await login("company-ben")) == "company-ben")
            #expect(try Self.slug(try await login("company-anna")) == "company-anna")
            #expect(try Self.slug(try await login(nil)) == "company-anna")
            #expect(try Self.slug(try await login("company-ben", tenant: "Company-Ben")) == "company-ben")
            // Decided before the password is looked at: it tells nothing of it.
            for password in [IdentityPlatform.password, "wrong horse battery"] {
                let answer = try await login("company-anna", tenant: "company-ben", password: password, expecting: 403)
                #expect(answer.code == "tenant_mismatch")
            }
            // Who is no member there is told so as if the body had named it.
            let byHost = try await login("no-such-tenant", expecting: 403)
            let byBody = try await login(nil, tenant: "no-such-tenant", expecting: 403)
            #expect(byHost.code == "forbidden" && byHost.json["detail"] == byBody.json["detail"])
        }
    }

    @Test func aSessionOfAnotherTenantIsNotRefreshedAndStays() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            func refresh(_ slug: String, expecting: Int) async throws -> APIAnswer {
                try await platform.identity.send(
                    .post, "/v1/auth/refresh", ["refresh_token": .string(anna.refreshToken)], as: .anybody(), headers: Self.naming(slug),
                    expecting: expecting)
            }
            for _ in 0..<2 { #expect(try await refresh("company-ben", expecting: 403).code == "tenant_mismatch") }
            #expect(try Self.slug(try await refresh("company-anna", expecting: 200)) == "company-anna")
            #expect(try await platform.events(of: .identity, in: anna.member.tenant) == ["session.created"])
        }
    }

    @Test func whoRegistersElsewhereThanTheRequestSaysIsRefusedAndNothingIsMade() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            @Sendable func register(_ body: JSON, naming slug: String, expecting: Int) async throws -> APIAnswer {
                try await platform.identity.send(
                    .post, "/v1/auth/register", body, as: .anybody(), headers: Self.naming(slug), expecting: expecting)
            }
            let company = IdentityPlatform.registration("ben")
            #expect(try await register(company, naming: "company-anna", expecting: 403).code == "tenant_mismatch")
            #expect(try Self.slug(try await register(company, naming: "company-ben", expecting: 201)) == "company-ben")
            try await platform.invite("carl", role: "sales", to: anna) { token in
                let body: JSON = [
                    "email": "carl@example.test", "password": .string(IdentityPlatform.password), "name": "Carl",
                    "invitation_token": .string(token),
                ]
                #expect(try await register(body, naming: "company-ben", expecting: 403).code == "tenant_mismatch")
                let members = try await platform.database.query(
                    in: .tenant, ["select from member where tenant_id = \(anna.member.tenant)"])[0]
                #expect(members.count == 1)
                #expect(try Self.slug(try await register(body, naming: "company-anna", expecting: 201)) == "company-anna")
            }
        }
    }
}
