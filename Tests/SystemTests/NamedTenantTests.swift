import Core
import TestSupport
import Testing

extension SystemTests {
    /// Each tenant has a host of its own, at which everything is about it, from the first sign-in on.
    @Suite struct NamedTenants {
        @Test func aHostSignsInToItsTenantAndGoesOnThere() async throws {
            let world = try World.get()
            let api = world.platform.api
            func host(_ organization: Organization) -> [(String, String)] {
                [("host", "\(organization.slug.uppercased()).\(World.domain).")]
            }
            let email = "both@\(world.acme.slug).test"
            let person = try await world.acme.invite(email, role: "sales")
            let invitation = try await world.globex.admin.send(
                .post, "/v1/invitations", ["email": .string(email), "role": "sales"], expecting: 201)
            try await person.send(.post, "/v1/invitations/accept", ["token": try #require(invitation.json["token"])], expecting: 200)

            let credentials: JSON = ["email": .string(email), "password": .string(World.password)]
            // Whichever was used last.
            for organization in [world.globex, world.acme, world.globex] {
                let signedIn = try await api.send(
                    .post, "/v1/auth/login", credentials, headers: host(organization), expecting: 200)
                #expect(signedIn.json["tenant"]?["slug"]?.string == organization.slug)
                let member = api.signedIn(signedIn.json["access_token"]?.string)
                try await member.send(.get, "/v1/leads", headers: host(organization), expecting: 200)
                let other = organization.slug == world.acme.slug ? world.globex : world.acme
                let elsewhere = try await member.send(.get, "/v1/leads", headers: host(other), expecting: 403)
                #expect(elsewhere.code == "tenant_mismatch")
                let refresh: JSON = ["refresh_token": try #require(signedIn.json["refresh_token"])]
                for headers in [host(other), [("x-tenant", other.slug)]] {
                    let refused = try await api.send(.post, "/v1/auth/refresh", refresh, headers: headers, expecting: 403)
                    #expect(refused.code == "tenant_mismatch")
                }
                try await api.send(.post, "/v1/auth/refresh", refresh, headers: host(organization), expecting: 200)
            }
            let byField = try await api.send(
                .post, "/v1/auth/login", credentials, headers: [("x-tenant", world.acme.slug)], expecting: 200)
            #expect(byField.json["tenant"]?["slug"]?.string == world.acme.slug)
        }
    }
}
