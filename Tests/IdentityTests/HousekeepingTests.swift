import Contracts
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// What is kept no longer than it is of use goes, and nothing else.
@Suite struct HousekeepingTests {
    @Test func endedSessionsSpentTokensAndOldAttemptsAreRemoved() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ended = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let endedToday = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let expired = try SignedIn(try await platform.login("anna", expecting: 200).json)
            for session in [ended, endedToday] {
                try await platform.identity.send(.post, "/v1/auth/logout", as: session.caller, expecting: 204)
            }
            try await platform.login("anna", password: "wrong horse battery", expecting: 401)
            try await platform.login("anna", password: "wrong horse again", expecting: 401)
            try await platform.database.query(
                in: .identity,
                [
                    "update session set revoked_at = now() - interval '25 hours' where id = \(ended.claims.sid)::uuid",
                    "update session set revoked_at = now() - interval '23 hours' where id = \(endedToday.claims.sid)::uuid",
                    "update session set expires_at = now() - interval '25 hours' where id = \(expired.claims.sid)::uuid",
                    "update refresh_token set expires_at = now() - interval '1 second' where session_id = \(endedToday.claims.sid)::uuid",
                    """
                    update sign_in_attempt set occurred_at = now() - interval '16 minutes'
                    where id = (select id from sign_in_attempt order by occurred_at limit 1)
                    """,
                ])
            try await platform.identity.runJob("identity-housekeeping")

            let left = try await platform.database.query(
                in: .identity,
                ["select id::text from session", "select distinct session_id::text from refresh_token", "select from sign_in_attempt"])
            #expect(Set(try left[0].map { try $0.decode(0, as: String.self) }) == [anna.claims.sid, endedToday.claims.sid])
            #expect(try left[1].map { try $0.decode(0, as: String.self) } == [anna.claims.sid])
            #expect(left[2].count == 1)
            try await platform.refresh(anna.refreshToken, expecting: 200)
        }
    }

    @Test func idempotencyKeysAreKeptForADay() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            for key in ["old", "young"] {
                try await platform.identity.send(
                    .patch, "/v1/me", ["name": .string(key)], as: anna.caller, headers: [("idempotency-key", key)], expecting: 200)
            }
            try await platform.database.query(
                in: .identity,
                [
                    "update idempotency_key set created_at = now() - interval '24 hours 1 minute' where key = 'old'",
                    "update idempotency_key set created_at = now() - interval '23 hours 59 minutes' where key = 'young'",
                ])
            try await platform.identity.runJob("idempotency-retention")
            let replay = try await platform.identity.send(
                .patch, "/v1/me", ["name": "young"], as: anna.caller, headers: [("idempotency-key", "young")], expecting: 200)
            #expect(replay.header("idempotent-replayed") == "true")
            let again = try await platform.identity.send(
                .patch, "/v1/me", ["name": "another"], as: anna.caller, headers: [("idempotency-key", "old")], expecting: 200)
            #expect(again.header("idempotent-replayed") == nil)
        }
    }
}
