import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct RefreshTests {
    @Test func aRefreshTokenIsGoodOnceAndItsReuseEndsTheSession() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let second = try SignedIn(try await platform.refresh(anna.refreshToken, expecting: 200).json)
            #expect(second.claims.sid == anna.claims.sid)
            #expect(second.refreshToken != anna.refreshToken)
            let third = try SignedIn(try await platform.refresh(second.refreshToken, expecting: 200).json)

            let session = try #require(anna.member.session)
            try await RevocationListener.run { listener in
                let reused = try await platform.refresh(anna.refreshToken, expecting: 401)
                #expect(reused.code == "unauthenticated")
                await listener.expect(.session(session))
            }
            try await platform.refresh(third.refreshToken, expecting: 401)
            try await platform.refresh(anna.refreshToken, expecting: 401)
            let events = try await platform.events(of: .identity, in: anna.member.tenant)
            #expect(events == ["session.created", "security.refresh_reused", "session.ended"])
            let state = try await platform.identity.send(.get, Revocation.statePath, as: .anotherService, expecting: 200)
            #expect(Revocation.all(in: state.json) == [.session(session)])
            // Only the hash of a token is stored.
            let stored = try await platform.database.query(in: .identity, ["select token_hash from refresh_token"])[0]
            #expect(try stored.allSatisfy { try $0.decode(0, as: String.self).utf8.count == 64 })
        }
    }

    /// One token, sixteen refreshes at the same moment, several times: never do two of them get tokens.
    @Test func ofRefreshesAtTheSameMomentOneWins() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            for _ in 0..<5 {
                let session = try SignedIn(try await platform.login("anna", expecting: 200).json)
                let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<16 { group.addTask { try await platform.refresh(session.refreshToken).status } }
                    return try await group.reduce(into: [Int]()) { $0.append($1) }
                }
                #expect(statuses.count { $0 == 200 } == 1)
                #expect(statuses.count { $0 == 401 } == 15)
            }
            let events = try await platform.events(of: .identity, in: anna.member.tenant)
            #expect(events.count { $0 == "security.refresh_reused" } == 5)
            #expect(events.count { $0 == "session.ended" } == 5)
        }
    }

    @Test func aRefreshReadsTheMembershipAgain() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ben = try await platform.join("ben", role: "sales", by: anna)
            #expect(ben.claims.role == "sales")
            try await platform.tenant.send(
                .patch, "/v1/members/\(ben.claims.sub)", ["role": "manager"], as: anna.caller, expecting: 200)
            let changed = try SignedIn(try await platform.refresh(ben.refreshToken, expecting: 200).json)
            #expect(changed.claims.role == "manager")
            #expect(changed.claims.epoch == [ben.claims.epoch[0], 2])

            try await platform.tenant.send(.delete, "/v1/members/\(ben.claims.sub)", as: anna.caller, expecting: 204)
            let removed = try await platform.refresh(changed.refreshToken, expecting: 403)
            #expect(removed.code == "forbidden")
            let login = try await platform.login("ben", expecting: 403)
            #expect(login.code == "forbidden")
        }
    }

    @Test func aSuspendedTenantSignsNobodyIn() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            try await platform.database.query(
                in: .tenant, ["update tenant set status = 'suspended' where tenant_id = \(anna.member.tenant)"])
            #expect(try await platform.login("anna", expecting: 403).code == "tenant_suspended")
            #expect(try await platform.refresh(anna.refreshToken, expecting: 403).code == "tenant_suspended")
            try await platform.database.query(
                in: .tenant, ["update tenant set status = 'active' where tenant_id = \(anna.member.tenant)"])
            // The refusal has not spent the token.
            try await platform.refresh(anna.refreshToken, expecting: 200)
        }
    }

    @Test func whatIsNoTokenIsRefused() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            for text in [
                "", "mr_", anna.accessToken, anna.refreshToken + "A", String(anna.refreshToken.dropLast()) + "!",
                String(repeating: "x", count: 5000), "mr_" + String(repeating: "A", count: 43),
            ] {
                let answer = try await platform.refresh(text, expecting: 401)
                #expect(answer.json["detail"]?.string == "The refresh token is not valid.")
            }
            let send = platform.identity.send
            let path = "/v1/auth/refresh"
            #expect(try await send(.post, path, [:], .anybody(), [], 422, #_sourceLocation).code == "validation_failed")
            #expect(try await send(.post, path, ["token": "x"], .anybody(), [], 400, #_sourceLocation).code == "unknown_member")
            let key = [("idempotency-key", "k")]
            let keyed = try await send(.post, path, ["refresh_token": "x"], .anybody(), key, 400, #_sourceLocation)
            #expect(keyed.json["errors"]?[0]?["pointer"]?.string == "Idempotency-Key")
            try await platform.database.query(in: .identity, ["update refresh_token set expires_at = now() - interval '1 second'"])
            try await platform.refresh(anna.refreshToken, expecting: 401)
        }
    }
}
