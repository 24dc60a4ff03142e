import Contracts
import Core
import Crypto
import Foundation
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct SignInTests {
    @Test func registeringMakesAnOrganisationAndSignsIn() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            #expect(anna.claims.role == "tenant_admin")
            #expect(anna.claims.plan == "free")
            #expect(anna.claims.slug == "company-anna")
            #expect(anna.claims.limits == ["users": 1, "leads": 100])
            #expect(anna.claims.rate == RateLimits(tenant: .init(count: 100, period: 1), user: .init(count: 200, period: 900)))
            #expect(anna.claims.epoch == [1, 1])
            #expect(anna.claims.exp - anna.claims.iat == 600)
            #expect(anna.refreshToken.hasPrefix("mr_"))

            let me = try await platform.identity.send(.get, "/v1/me", as: anna.caller, expecting: 200).json
            #expect(me["user"]?["email"]?.string == "anna@example.test")
            #expect(me["tenant"]?["slug"]?.string == "company-anna")
            #expect(me["role"]?.string == "tenant_admin")
            #expect(me["permissions"]?.array?.contains("leads.create") == true)
            #expect(me["memberships"]?.array?.count == 1)
            #expect(try await platform.events(of: .tenant, in: anna.member.tenant) == ["tenant.created", "member.created"])
        }
    }

    @Test func anAccessTokenVerifiesWithThePublishedKey() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let keys = try await platform.identity.send(.get, "/.well-known/jwks.json", as: .anybody(), expecting: 200).json
            let parts = anna.accessToken.split(separator: ".")
            let header = try JSONParser.parse(try #require(Base64URL.decode(parts[0])))
            #expect(header["alg"]?.string == "EdDSA")
            #expect(header["typ"]?.string == "at+jwt")
            // The gateway refuses a header with anything more.
            #expect(header.object?.names.sorted() == ["alg", "kid", "typ"])
            let key = try #require(keys["keys"]?.array?.first { $0["kid"] == header["kid"] })
            #expect(key["kty"]?.string == "OKP")
            #expect(key["crv"]?.string == "Ed25519")
            let publicKey = try Curve25519.Signing.PublicKey(
                rawRepresentation: try #require(key["x"]?.string.flatMap { Base64URL.decode($0) }))
            let signature = try #require(Base64URL.decode(parts[2]))
            #expect(publicKey.isValidSignature(signature, for: Array("\(parts[0]).\(parts[1])".utf8)))
        }
    }

    @Test func loggingInNeedsTheRightPassword() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            let right = try await platform.login("anna", expecting: 200)
            #expect(right.header("cache-control") == "no-store")
            #expect(right.json["token_type"]?.string == "Bearer")
            #expect(right.json["expires_in"]?.integer == 600)
            let wrong = try await platform.login("anna", password: "wrong horse battery", expecting: 401)
            let unknown = try await platform.login("nobody", expecting: 401)
            func comparable(_ answer: APIAnswer) -> JSON {
                var object = answer.json.object ?? JSONObject()
                object["request_id"] = nil
                return .object(object)
            }
            #expect(comparable(wrong) == comparable(unknown))
        }
    }
}
