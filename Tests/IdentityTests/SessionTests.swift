import Contracts
import Core
import Operations
import Postgres
import Resources
import ServiceRuntime
import TestSupport
import Testing

@Suite struct SessionTests {
    @Test func loggingOutEndsTheSessionAtOnce() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let other = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let session = try #require(anna.member.session)
            try await RevocationListener.run { listener in
                try await platform.identity.send(.post, "/v1/auth/logout", as: anna.caller, expecting: 204)
                await listener.expect(.session(session))
            }
            try await platform.refresh(anna.refreshToken, expecting: 401)
            try await platform.identity.send(
                .post, "/v1/auth/switch", ["tenant": "company-anna"], as: anna.caller, expecting: 401)
            try await platform.refresh(other.refreshToken, expecting: 200)
            // An ended session is no theft.
            let events = try await platform.events(of: .identity, in: anna.member.tenant)
            #expect(events == ["session.created", "session.created", "session.ended"])
        }
    }

    /// Each tenant's trail tells of the sessions in it, whichever tenant the user was in when they ended.
    @Test func whatBecomesOfSessionsAndAccountsIsInTheTrailOfTheirTenant() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ben = try await platform.register("ben")
            try await platform.add(anna, named: "anna", role: "manager", to: ben)
            let switched = try SignedIn(
                try await platform.identity.send(.post, "/v1/auth/switch", ["tenant": "company-ben"], as: anna.caller, expecting: 200).json)
            try await platform.identity.send(.patch, "/v1/me", ["name": "Anna B."], as: anna.caller, expecting: 200)
            try await platform.identity.send(.patch, "/v1/me", JSON.object(JSONObject()), as: anna.caller, expecting: 200)
            let change: JSON = ["current_password": .string(IdentityPlatform.password), "new_password": "another long password"]
            try await platform.identity.send(.post, "/v1/auth/password/change", change, as: anna.caller, expecting: 204)
            try await platform.identity.send(.post, "/v1/auth/logout", as: anna.caller, expecting: 204)
            #expect(
                try await platform.events(of: .identity, in: anna.member.tenant) == [
                    "session.created", "user.updated", "security.password_changed", "session.ended",
                ])
            let others = try await platform.events(of: .identity, in: ben.member.tenant)
            #expect(others == ["session.created", "session.created", "session.ended"])
            let rows = try await platform.database.query(
                in: .identity,
                [
                    """
                    select aggregateid, actor, payload -> 'after' ->> 'revoked_at' is not null as is_ended, payload::text as text
                    from outbox where aggregatetype = 'session' and aggregateid = \(switched.claims.sid) order by id
                    """
                ])[0]
            #expect(try rows.map { try $0.decode("is_ended", as: Bool.self) } == [false, true])
            for (row, isBegin) in zip(rows, [true, false]) {
                #expect(try row.decode("actor", as: String.self) == anna.claims.sub)
                let text = try row.decode("text", as: String.self)
                // The end has what has changed only.
                #expect(text.contains("address") == isBegin && text.contains("device") == isBegin && !text.contains("token"))
            }
        }
    }

    @Test func loggingOutEverywhereEndsAllSessionsOfTheUserOnly() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let second = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let ben = try await platform.register("ben")
            try await platform.identity.send(.post, "/v1/auth/logout", ["all": true], as: anna.caller, expecting: 204)
            for token in [anna.refreshToken, second.refreshToken] { try await platform.refresh(token, expecting: 401) }
            try await platform.refresh(ben.refreshToken, expecting: 200)
            let state = try await platform.identity.send(.get, Revocation.statePath, as: .anotherService, expecting: 200)
            #expect(Revocation.all(in: state.json)?.count == 2)
            let wrong = try await platform.identity.send(.post, "/v1/auth/logout", ["all": "yes"], as: anna.caller, expecting: 422)
            #expect(wrong.json["errors"]?[0]?["pointer"]?.string == "/all")
        }
    }

    @Test func sessionsAreListedAndEndedByTheirUserOnly() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            try await platform.login("anna", address: "192.0.2.9", expecting: 200)
            let ben = try await platform.register("ben")
            let list = try await platform.identity.send(.get, "/v1/sessions?limit=1", as: anna.caller, expecting: 200).json
            #expect(list["data"]?[0]?["address"]?.string == "192.0.2.9")
            #expect(list["data"]?[0]?["current"]?.bool == false)
            let next = try #require(list["page"]?["next"]?.string)
            let rest = try await platform.identity.send(.get, "/v1/sessions?after=\(next)", as: anna.caller, expecting: 200).json
            #expect(rest["data"]?.array?.map { $0["current"]?.bool } == [true])
            #expect(rest["page"]?["next"] == .null)
            try await platform.identity.send(.get, "/v1/sessions?after=\(next)", as: ben.caller, expecting: 400)

            let other = try #require(list["data"]?[0]?["id"]?.string)
            try await platform.identity.send(.delete, "/v1/sessions/\(other)", as: ben.caller, expecting: 404)
            try await platform.identity.send(.delete, "/v1/sessions/\(SessionID())", as: anna.caller, expecting: 404)
            let refused = try await platform.identity.send(
                .delete, "/v1/sessions/\(other)", ["reason": "x"], as: anna.caller, expecting: 400)
            #expect(refused.code == "invalid_parameter")
            let key = [("idempotency-key", "end")]
            try await platform.identity.send(.delete, "/v1/sessions/\(other)", as: anna.caller, headers: key, expecting: 204)
            try await platform.identity.send(.delete, "/v1/sessions/\(other)", as: anna.caller, headers: key, expecting: 204)
            try await platform.identity.send(.delete, "/v1/sessions/\(other)", as: anna.caller, expecting: 404)
        }
    }

    @Test func switchingGivesTokensOfTheOtherTenant() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ben = try await platform.register("ben")
            try await platform.add(anna, named: "anna", role: "manager", to: ben)
            let answer = try await platform.identity.send(
                .post, "/v1/auth/switch", ["tenant": "company-ben"], as: anna.caller, expecting: 200)
            let there = try SignedIn(answer.json)
            #expect(there.claims.slug == "company-ben")
            #expect(there.claims.role == "manager")
            #expect(there.claims.sid != anna.claims.sid)
            try await platform.refresh(anna.refreshToken, expecting: 200)
            let me = try await platform.identity.send(.get, "/v1/me", as: there.caller, expecting: 200).json
            #expect(me["memberships"]?.array?.count == 2)

            try await platform.identity.send(.post, "/v1/auth/switch", ["tenant": "nowhere"], as: anna.caller, expecting: 403)
            // Without a tenant the one used last is taken.
            #expect(
                try SignedIn(try await platform.login("anna", tenant: "company-anna", expecting: 200).json).claims.slug == "company-anna")
            #expect(try SignedIn(try await platform.login("anna", expecting: 200).json).claims.slug == "company-anna")
            try await platform.login("anna", tenant: "company-nobody", expecting: 403)
        }
    }

    @Test func changingThePasswordEndsTheOtherSessions() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let other = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let path = "/v1/auth/password/change"
            let wrong = try await platform.identity.send(
                .post, path, ["current_password": "wrong horse battery", "new_password": "another long secret"], as: anna.caller,
                expecting: 422)
            #expect(wrong.json["errors"]?[0]?["pointer"]?.string == "/current_password")
            let weak = try await platform.identity.send(
                .post, path, ["current_password": .string(IdentityPlatform.password), "new_password": "short"], as: anna.caller,
                expecting: 422)
            #expect(weak.json["errors"]?[0]?["code"]?.string == "too_short")
            let same = try await platform.identity.send(
                .post, path,
                ["current_password": .string(IdentityPlatform.password), "new_password": .string(IdentityPlatform.password)],
                as: anna.caller, expecting: 422)
            #expect(same.json["errors"]?[0]?["code"]?.string == "same_password")
            try await platform.identity.send(
                .post, path, ["current_password": .string(IdentityPlatform.password), "new_password": "another long secret"],
                as: anna.caller, expecting: 204)
            try await platform.refresh(other.refreshToken, expecting: 401)
            try await platform.refresh(anna.refreshToken, expecting: 200)
            try await platform.login("anna", expecting: 401)
            try await platform.login("anna", password: "another long secret", expecting: 200)
        }
    }

    /// A repeat brings the old password, and is no guess: however often it comes, signing in stays open.
    @Test func changingThePasswordWithAKeyTakesEffectOnce() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let path = "/v1/auth/password/change"
            let body: JSON = ["current_password": .string(IdentityPlatform.password), "new_password": "another long secret"]
            let key = [("idempotency-key", "change")]
            async let one = platform.identity.send(.post, path, body, as: anna.caller, headers: key, expecting: 204)
            async let other = platform.identity.send(.post, path, body, as: anna.caller, headers: key, expecting: 204)
            let replays = try await [one, other].filter { $0.header("idempotent-replayed") == "true" }
            #expect(replays.count == 1)
            for _ in 0..<8 {
                let replay = try await platform.identity.send(.post, path, body, as: anna.caller, headers: key, expecting: 204)
                #expect(replay.header("idempotent-replayed") == "true")
            }
            try await platform.login("anna", password: "another long secret", expecting: 200)
            let reused = try await platform.identity.send(
                .post, path, ["current_password": "another long secret", "new_password": "yet another secret"], as: anna.caller,
                headers: key, expecting: 422)
            #expect(reused.code == "idempotency_key_reused")

            // What is kept of the request cannot be computed from a guess of the password.
            let call = Call(
                method: .post, route: path, path: path, headers: [("idempotency-key", "change")], body: body.bytes, caller: anna.caller)
            let stored = try await platform.database.query(in: .identity, ["select fingerprint from idempotency_key"])[0]
            #expect(stored.count == 1)
            #expect(try stored[0].decode(0, as: String.self) != IdempotencyKey(call)?.fingerprint)
        }
    }

    @Test func loggingOutWithAKeyIsAnsweredAsBefore() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let second = try SignedIn(try await platform.login("anna", expecting: 200).json)
            let key = [("idempotency-key", "bye")]
            try await platform.identity.send(.post, "/v1/auth/logout", as: anna.caller, headers: key, expecting: 204)
            try await platform.refresh(anna.refreshToken, expecting: 401)
            let replay = try await platform.identity.send(.post, "/v1/auth/logout", as: anna.caller, headers: key, expecting: 204)
            #expect(replay.header("idempotent-replayed") == "true")
            let reused = try await platform.identity.send(
                .post, "/v1/auth/logout", ["all": true], as: anna.caller, headers: key, expecting: 422)
            #expect(reused.code == "idempotency_key_reused")
            try await platform.refresh(second.refreshToken, expecting: 200)
        }
    }

    /// Decision 7: who sends a key with every request learns which header it is that these routes do not take.
    @Test func routesWhoseAnswersHoldSecretsNameTheKeyThatTheyRefuse() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            for (path, body, caller) in [
                ("/v1/auth/register", IdentityPlatform.registration("ben"), .anybody()),
                ("/v1/auth/login", ["email": "anna@example.test", "password": .string(IdentityPlatform.password)], .anybody()),
                ("/v1/auth/refresh", ["refresh_token": .string(anna.refreshToken)], .anybody()),
                ("/v1/auth/switch", ["tenant": "company-anna"], anna.caller),
            ] as [(String, JSON, Caller)] {
                let refused = try await platform.identity.send(
                    .post, path, body, as: caller, headers: [("idempotency-key", "k")], expecting: 400)
                #expect(refused.code == "invalid_parameter")
                #expect(refused.json["errors"]?[0]?["pointer"]?.string == "Idempotency-Key")
            }
            // The refused refresh has not spent its token.
            try await platform.refresh(anna.refreshToken, expecting: 200)
        }
    }

    /// The user's version stays while another tenant takes him in; what he has read before is no longer what there is.
    @Test func theTagOfMeCoversAllThatItShows() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let ben = try await platform.register("ben")
            func read(_ tag: String? = nil) async throws -> APIAnswer {
                try await platform.identity.send(.get, "/v1/me", as: anna.caller, headers: tag.map { [("if-none-match", $0)] } ?? [])
            }
            let first = try #require(try await read().header("etag"))
            let same = try await read(first)
            #expect(same.status == 304)
            #expect(same.header("etag") == first)
            #expect(same.body.isEmpty)
            try await platform.add(anna, named: "anna", role: "manager", to: ben)
            let joined = try await read(first)
            #expect(joined.status == 200)
            #expect(joined.json["memberships"]?.array?.count == 2)
            #expect(joined.header("etag") != first)

            // A change of the name is lost to nobody by that: the version counts.
            func rename(_ name: String, if tag: String) async throws -> APIAnswer {
                try await platform.identity.send(
                    .patch, "/v1/me", ["name": .string(name)], as: anna.caller, headers: [("if-match", tag)])
            }
            let renamed = try await rename("Anna Ω", if: first)
            #expect(renamed.status == 200)
            let after = try await read(renamed.header("etag"))
            #expect(after.status == 304)
            #expect(try await rename("A", if: first).status == 412)
            #expect(try await rename("A", if: "\"2\"").status == 200)
        }
    }

    @Test func aUserChangesHisName() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let me = try await platform.identity.send(.get, "/v1/me", as: anna.caller, expecting: 200)
            let tag = try #require(me.header("etag"))
            let changed = try await platform.identity.send(
                .patch, "/v1/me", ["name": "Anna Ω"], as: anna.caller, headers: [("if-match", tag)], expecting: 200)
            #expect(changed.json["user"]?["name"]?.string == "Anna Ω")
            let key = [("idempotency-key", "rename")]
            let first = try await platform.identity.send(.patch, "/v1/me", ["name": "A"], as: anna.caller, headers: key, expecting: 200)
            let replay = try await platform.identity.send(.patch, "/v1/me", ["name": "A"], as: anna.caller, headers: key, expecting: 200)
            #expect(replay.header("idempotent-replayed") == "true")
            #expect(replay.body == first.body)
            #expect(replay.header("etag") != nil)
            #expect(replay.header("etag") == first.header("etag"))
            let stale = try await platform.identity.send(
                .patch, "/v1/me", ["name": "Anne"], as: anna.caller, headers: [("if-match", tag)], expecting: 412)
            #expect(stale.json["current_version"]?.integer == 3)
            for (body, status) in [
                (["name": ""], 422), (["name": nil], 422), (["name": "a\u{0}b"], 422), (["name": "a\nb"], 422), (["email": "x@y.zz"], 400),
                (["role": "super_admin"], 400),
            ] as [(JSON, Int)] {
                try await platform.identity.send(.patch, "/v1/me", body, as: anna.caller, expecting: status)
            }
        }
    }
}
