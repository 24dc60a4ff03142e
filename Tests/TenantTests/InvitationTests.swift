import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct InvitationTests {
    @Test func anInvitationLivesItsLife() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let created = try await platform.service.send(
                .post, "/v1/invitations", ["email": "Ben@Acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            let id = try #require(created.json["id"]?.string)
            #expect(created.header("location") == "/v1/invitations/\(id)")
            #expect(created.json["token"]?.string?.hasPrefix("mi_") == true)
            let again = try await platform.service.send(
                .post, "/v1/invitations", ["email": "ben@acme.test", "role": "support"], as: admin.caller, expecting: 409)
            #expect(again.json["errors"]?[0]?["pointer"]?.string == "/email")
            #expect(again.json["id"]?.string == id)
            #expect(again.json["restorable"]?.bool == false)
            let member = try await platform.service.send(
                .post, "/v1/invitations", ["email": "ADMIN@acme.test", "role": "sales"], as: admin.caller, expecting: 409)
            #expect(member.code == "already_exists")
            #expect(member.json["id"]?.string == admin.person.id.description)
            #expect(member.json["restorable"]?.bool == false)
            let read = try await platform.service.send(.get, "/v1/invitations/\(id)", as: admin.caller, expecting: 200)
            #expect(read.json["status"]?.string == "open")
            #expect(read.json["token"] == nil)
            let list = try await platform.service.send(.get, "/v1/invitations", as: admin.caller, expecting: 200)
            #expect(list.json["data"]?.array?.count == 1)
            #expect(list.json["data"]?[0]?["token"] == nil)
            try await platform.service.send(.delete, "/v1/invitations/\(id)", as: admin.caller, expecting: 204)
            try await platform.service.send(.get, "/v1/invitations/\(id)", as: admin.caller, expecting: 404)
            let withdrawn = try await platform.accept(created, "ben@acme.test")
            #expect(withdrawn.status == 404)
            // Neither the token nor its hash is in what others can read.
            let events = try await platform.database.query(in: .tenant, ["select payload::text from outbox"])[0]
            #expect(try events.allSatisfy { try !$0.decode(0, as: String.self).contains("token") })
            let keyed = try await platform.service.send(
                .post, "/v1/invitations", ["email": "x@acme.test", "role": "sales"], as: admin.caller, headers: [("idempotency-key", "k")],
                expecting: 400)
            #expect(keyed.code == "invalid_parameter")
            #expect(keyed.json["errors"]?[0]?["pointer"]?.string == "Idempotency-Key")
        }
    }

    /// What is in the way is named to who asks at the same moment too, and to the person who accepts a second invitation.
    @Test func whatIsInTheWayIsNamedWithinItsTenantOnly() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let answers = try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await platform.service.send(
                            .post, "/v1/invitations", ["email": "ben@acme.test", "role": "sales"], as: admin.caller)
                    }
                }
                return try await group.reduce(into: [APIAnswer]()) { $0.append($1) }
            }
            let made = try #require(answers.first { $0.status == 201 })
            let refused = answers.filter { $0.status == 409 }
            #expect(refused.count == 5, "\(answers.map { "\($0.status) \($0.text)" })")
            #expect(refused.allSatisfy { $0.code == "already_exists" && $0.json["id"] == made.json["id"] })

            let ben = UserID()
            #expect(try await platform.accept(made, "ben@acme.test", user: ben).status == 200)
            // A removed member is not in the way; one who is back is.
            try await platform.service.send(.delete, "/v1/members/\(ben)", as: admin.caller, expecting: 204)
            let second = try await platform.service.send(
                .post, "/v1/invitations", ["email": "ben@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            try await platform.database.query(in: .tenant, ["update member set deleted_at = null where user_id = \(ben)"])
            let present = try await platform.accept(second, "ben@acme.test", user: ben)
            #expect(present.status == 409)
            #expect(present.json["id"]?.string == ben.description)
            #expect(present.json["restorable"]?.bool == false)

            // A slug is unique across tenants: who has it stays unsaid.
            _ = try await platform.organization("globex")
            let slug = try await platform.service.send(.patch, "/v1/tenant", ["slug": "globex"], as: admin.caller, expecting: 409)
            #expect(slug.json["id"] == nil)
            #expect(slug.json["restorable"] == nil)
        }
    }

    @Test func aTokenIsForItsAddressForOnceAndForAWeek() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "ben@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            #expect(try await platform.accept(invitation, "carl@acme.test").status == 403)
            let ben = UserID()
            #expect(try await platform.accept(invitation, "BEN@acme.test", user: ben).status == 200)
            // The same person asking again, as after a crash, gets the same answer; nobody else does.
            #expect(try await platform.accept(invitation, "ben@acme.test", user: ben).status == 200)
            #expect(try await platform.accept(invitation, "ben@acme.test").status == 404)
            let id = try #require(invitation.json["id"]?.string)
            let read = try await platform.service.send(.get, "/v1/invitations/\(id)", as: admin.caller, expecting: 200)
            #expect(read.json["status"]?.string == "accepted")
            try await platform.service.send(.delete, "/v1/invitations/\(id)", as: admin.caller, expecting: 409)

            let late = try await platform.service.send(
                .post, "/v1/invitations", ["email": "dora@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            try await platform.database.query(
                in: .tenant, ["update invitation set expires_at = now() - interval '1 second' where email_key = 'dora@acme.test'"])
            #expect(try await platform.accept(late, "dora@acme.test").status == 404)
            // An expired one makes room for the next.
            let next = try await platform.service.send(
                .post, "/v1/invitations", ["email": "dora@acme.test", "role": "sales"], as: admin.caller, expecting: 201)
            #expect(try await platform.accept(next, "dora@acme.test").status == 200)
        }
    }

    @Test func aForgedTokenOpensNothing() async throws {
        try await TenantPlatform.run { platform in
            let acme = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "ben@acme.test", "role": "tenant_admin"], as: acme.caller, expecting: 201)
            let token = try #require(invitation.json["token"]?.string)
            var bytes = try #require(Base64URL.decode(token.dropFirst(3)))
            // The secret of one tenant with the id of another.
            let other = try #require(Hex.decode(globex.tenant.description.replacing("-", with: "")))
            bytes.replaceSubrange(0..<16, with: other)
            for text in ["mi_" + Base64URL.encode(bytes), "mi_", "", token + "A", String(token.dropLast(4)), "mr_" + token.dropFirst(3)] {
                try await platform.service.send(
                    .post, "/internal/invitations/accept",
                    ["token": .string(text), "user": Person(id: UserID(), email: "ben@acme.test", name: "B").json],
                    as: .anotherService, expecting: 404)
            }
        }
    }

    /// Whoever may no longer invite, for whatever reason, has no open door left; and the door says nothing of why it is shut.
    @Test(
        arguments: [
            ("tenant_admin", ["role": "sales"], "sales"), ("tenant_admin", ["role": "manager"], "read_only"),
            ("tenant_admin", ["status": "disabled"], "tenant_admin"), ("tenant_admin", nil, "tenant_admin"),
        ] as [(String, JSON?, String)])
    func anInvitationIsWorthWhatItsInviterMayDo(role: String, change: JSON?, invited: String) async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let inviter = try await platform.join("inviter", role: role, by: admin)
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "second@acme.test", "role": .string(invited)], as: inviter.caller, expecting: 201)
            let path = "/v1/members/\(inviter.person.id)"
            if let change {
                try await platform.service.send(.patch, path, change, as: admin.caller, expecting: 200)
            } else {
                try await platform.service.send(.delete, path, as: admin.caller, expecting: 204)
            }
            let refused = try await platform.accept(invitation, "second@acme.test")
            #expect(refused.status == 404)
            let unknown = try await platform.service.send(
                .post, "/internal/invitations/accept",
                [
                    "token": .string("mi_" + Base64URL.encode([UInt8](repeating: 7, count: 48))),
                    "user": Person(id: UserID(), email: "second@acme.test", name: "Somebody").json,
                ], as: .anotherService, expecting: 404)
            #expect(refused.comparable == unknown.comparable)
            // Nor does it tell who it was for.
            #expect(try await platform.accept(invitation, "other@acme.test").comparable == unknown.comparable)

            guard case .some = change else { return }
            try await platform.service.send(
                .patch, path, ["role": .string(role), "status": "active"], as: admin.caller, expecting: 200)
            #expect(try await platform.accept(invitation, "second@acme.test").status == 200)
        }
    }

    /// A removal has begun when the token comes: the acceptance waits for it and then finds the inviter gone.
    @Test func anAcceptanceWaitsForTheRemovalOfItsInviter() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let inviter = try await platform.join("inviter", role: "tenant_admin", by: admin)
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": "second@acme.test", "role": "tenant_admin"], as: inviter.caller, expecting: 201)
            var superuser = platform.database.superuser
            superuser.bulkConnections = 1
            let status = try await TestPostgres.withClient(superuser) { client in
                try await withThrowingTaskGroup(of: Int.self) { group in
                    try await client.transaction(as: SystemContext(service: "test", timeout: .seconds(60))) { transaction in
                        try await transaction.batch([
                            "select set_config('search_path', 'tenant', true)",
                            "update member set deleted_at = now() where user_id = \(inviter.person.id)",
                        ])
                        group.addTask { try await platform.accept(invitation, "second@acme.test").status }
                        try await eventually("the acceptance waits", within: .seconds(10)) {
                            try await !platform.database.query([
                                "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                            ])[0].isEmpty
                        }
                    }
                    return try await group.next()
                }
            }
            #expect(status == 404)
        }
    }

    @Test func whoIsSignedInElsewhereAcceptsWithHisOwnAddress() async throws {
        try await TenantPlatform.run { platform in
            let acme = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": .string(globex.person.email), "role": "support"], as: acme.caller, expecting: 201)
            let path = "/v1/invitations/accept"
            let token = invitation.json["token"] ?? .null
            try await platform.service.send(.post, path, ["token": token], as: acme.caller, expecting: 403)
            let joined = try await platform.service.send(.post, path, ["token": token], as: globex.caller, expecting: 200)
            #expect(joined.json["role"]?.string == "support")
            #expect(try await platform.member(globex.person, in: acme.tenant).membership.role == "support")
        }
    }

    @Test func acceptingWithAKeyIsAnsweredAsBefore() async throws {
        try await TenantPlatform.run { platform in
            let acme = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": .string(globex.person.email), "role": "support"], as: acme.caller, expecting: 201)
            let path = "/v1/invitations/accept"
            let body: JSON = ["token": invitation.json["token"] ?? .null]
            let key = [("idempotency-key", "join")]
            let first = try await platform.service.send(.post, path, body, as: globex.caller, headers: key, expecting: 200)
            #expect(first.header("idempotent-replayed") == nil)
            try await platform.service.send(
                .patch, "/v1/members/\(globex.person.id)", ["role": "sales"], as: acme.caller, expecting: 200)
            let again = try await platform.service.send(.post, path, body, as: globex.caller, headers: key, expecting: 200)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(again.body == first.body)
            // With another token of that tenant the key is another request's.
            let token = try #require(invitation.json["token"]?.string)
            var bytes = try #require(Base64URL.decode(token.dropFirst(3)))
            bytes[47] ^= 1
            let reused = try await platform.service.send(
                .post, path, ["token": .string("mi_" + Base64URL.encode(bytes))], as: globex.caller, headers: key, expecting: 422)
            #expect(reused.code == "idempotency_key_reused")
            let malformed = try await platform.service.send(
                .post, path, body, as: globex.caller, headers: [("idempotency-key", "a b")], expecting: 400)
            #expect(malformed.json["errors"]?[0]?["pointer"]?.string == "Idempotency-Key")
        }
    }

    /// A38: fifty people accept at the same moment, and the plan has room for ten.
    @Test func seatsAreExactUnderConcurrency() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme", plan: "pro")
            var invitations: [APIAnswer] = []
            for index in 0..<30 {
                invitations.append(
                    try await platform.service.send(
                        .post, "/v1/invitations", ["email": .string("p\(index)@acme.test"), "role": "sales"], as: admin.caller,
                        expecting: 201))
            }
            let answers = try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                for (index, invitation) in invitations.enumerated() {
                    group.addTask { try await platform.accept(invitation, "p\(index)@acme.test") }
                }
                return try await group.reduce(into: [APIAnswer]()) { $0.append($1) }
            }
            #expect(answers.count { $0.status == 200 } == 9)
            #expect(answers.count { $0.status == 403 && $0.code == "plan_limit_reached" } == 21)
            let usage = try await platform.service.send(.get, "/v1/usage", as: admin.caller, expecting: 200)
            #expect(usage.json == ["users": ["used": 10, "limit": 10]])
        }
    }
}
