import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct RegistrationTests {
    private static let path = "/v1/auth/register"

    @Test func everyFaultIsNamedAtOnce() async throws {
        try await IdentityPlatform.run { platform in
            let answer = try await platform.identity.send(
                .post, Self.path,
                ["email": "no address", "password": "short", "name": "", "organization": ["name": "x", "slug": "No Slug"]],
                as: .anybody(), expecting: 422)
            #expect(
                answer.json["errors"]?.array?.compactMap { $0["pointer"]?.string }
                    == ["/email", "/name", "/password", "/organization/slug"])
            let unknown = try await platform.identity.send(
                .post, Self.path, ["emial": "a@b.cc", "organization": ["slug": "abc", "role": "super_admin"]], as: .anybody(),
                expecting: 400)
            #expect(unknown.json["detail"]?.string?.contains("'email'") == true)
            #expect(unknown.json["errors"]?.array?.compactMap { $0["pointer"]?.string }.contains("/organization/role") == true)
            for (body, pointer) in [
                (["organization": ["name": "x", "slug": "platform"]], "/organization/slug"), (["organization": "x"], "/organization"),
                (["organization": nil], "/organization"), (["invitation_token": 3], "/invitation_token"),
                (["organization": ["name": "x", "slug": "abc"], "invitation_token": "mi_x"], "/invitation_token"), ([:], "/organization"),
                (["invitation_token": "mi_unknown"], "/invitation_token"),
            ] as [(JSON, String)] {
                var object = body.object ?? JSONObject()
                object["email"] = "anna@example.test"
                object["password"] = .string(IdentityPlatform.password)
                object["name"] = "Anna"
                let answer = try await platform.identity.send(.post, Self.path, .object(object), as: .anybody(), expecting: 422)
                #expect(answer.json["errors"]?.array?.contains { $0["pointer"]?.string == pointer } == true, "\(answer.text)")
            }
            let broken = try await platform.identity.send(
                .post, Self.path, IdentityPlatform.registration("anna"), as: .anybody(), headers: [("idempotency-key", "k")],
                expecting: 400)
            #expect(broken.code == "invalid_parameter")
            #expect(try await platform.database.query(in: .identity, ["select from user_account"])[0].isEmpty)
        }
    }

    @Test func aTakenAddressAndATakenSlugAreNamed() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            var again = IdentityPlatform.registration("anna", slug: "another").object ?? JSONObject()
            again["email"] = " ANNA@Example.TEST "
            let address = try await platform.identity.send(.post, Self.path, .object(again), as: .anybody(), expecting: 409)
            #expect(address.code == "already_exists")
            #expect(address.json["errors"]?[0]?["pointer"]?.string == "/email")
            let slug = try await platform.identity.send(
                .post, Self.path, IdentityPlatform.registration("ben", slug: "company-anna"), as: .anybody(), expecting: 409)
            #expect(slug.code == "already_exists")
            #expect(slug.json["errors"]?[0]?["pointer"]?.string == "/organization/slug")
            // The refusal leaves nothing behind: the same person takes another slug.
            _ = try await platform.register("ben")
        }
    }

    @Test func ofRegistrationsWithOneSlugAtTheSameMomentOneWins() async throws {
        try await IdentityPlatform.run(settings: ["MARTLET_PASSWORD_THREADS": "4"]) { platform in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<6 {
                    group.addTask {
                        let body = IdentityPlatform.registration("person-\(index)", slug: "wanted")
                        return try await platform.identity.send(.post, Self.path, body, as: .anybody()).status
                    }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }.sorted()
            }
            #expect(statuses == [201, 409, 409, 409, 409, 409])
            #expect(try await platform.database.query(in: .identity, ["select from user_account"])[0].count == 1)
            #expect(try await platform.database.query(in: .tenant, ["select from member"])[0].count == 1)
        }
    }

    @Test func anInvitationIsForItsAddressAndForOnce() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            try await platform.invite("ben", role: "sales", to: anna) { token in
                func register(_ name: String) async throws -> APIAnswer {
                    try await platform.identity.send(
                        .post, Self.path,
                        [
                            "email": .string("\(name)@example.test"), "password": .string(IdentityPlatform.password),
                            "name": .string(name), "invitation_token": .string(token),
                        ], as: .anybody())
                }
                #expect(try await register("carl").json["errors"]?[0]?["pointer"]?.string == "/invitation_token")
                let ben = try SignedIn(try await register("ben").json)
                #expect(ben.claims.role == "sales")
                #expect(ben.claims.tid == anna.claims.tid)
                #expect(try await register("carl").status == 422)
                #expect(try await register("ben").status == 409)
            }
        }
    }

    /// The tenant service is away while somebody registers. The answer says so, nobody can sign in, and the job finishes.
    @Test func aRegistrationThatGotNoAnswerIsFinishedLater() async throws {
        try await TestDatabase.run([identityDefinition, tenantDefinition]) { database in
            let unreachable = ["MARTLET_TENANT_URL": "http://127.0.0.1:9", "MARTLET_KEY_ENCRYPTION_KEY": IdentityPlatform.encryptionKey]
            try await RunningService.run(identityDefinition, on: database, settings: unreachable) { identity in
                let answer = try await identity.send(
                    .post, Self.path, IdentityPlatform.registration("anna"), as: .anybody(), expecting: 503)
                #expect(answer.code == "upstream_unavailable")
            }
            try await RunningService.run(tenantDefinition, on: database) { tenant in
                var settings = unreachable
                settings["MARTLET_TENANT_URL"] = tenant.url
                try await RunningService.run(identityDefinition, on: database, settings: settings) { identity in
                    let platform = IdentityPlatform(database: database, identity: identity, tenant: tenant)
                    try await platform.login("anna", expecting: 401)
                    try await platform.identity.runJob("registrations")
                    try await platform.login("anna", expecting: 401)
                    try await platform.ageRegistrations()
                    try await platform.identity.runJob("registrations")
                    let anna = try SignedIn(try await platform.login("anna", expecting: 200).json)
                    #expect(anna.claims.slug == "company-anna")
                    #expect(anna.claims.role == "tenant_admin")
                }
            }
        }
    }

    /// Identity dies after the tenant is made and before the user is active: the person who tries again goes on where it stopped.
    @Test func whoTriesAgainAfterACrashGetsTheSameOrganisation() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            try await platform.undoActivation()
            let wrong = IdentityPlatform.registration("anna", password: "somebody else's password")
            try await platform.identity.send(.post, Self.path, wrong, as: .anybody(), expecting: 409)
            let again = try await platform.register("anna")
            #expect(again.claims.tid == anna.claims.tid)
            #expect(again.claims.sub == anna.claims.sub)
            try await platform.undoActivation()
            try await platform.ageRegistrations()
            try await platform.identity.runJob("registrations")
            try await platform.login("anna", expecting: 200)
            #expect(try await platform.database.query(in: .tenant, ["select from tenant"])[0].count == 1)
        }
    }

    @Test func aRegistrationThatCannotBeFinishedIsRemoved() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            try await platform.database.query(
                in: .identity,
                [
                    """
                    insert into user_account (id, email, email_key, name, status) values
                        ('00000000-0000-7000-8000-000000000001', 'a@x.test', 'a@x.test', 'a', 'registering'),
                        ('00000000-0000-7000-8000-000000000002', 'b@x.test', 'b@x.test', 'b', 'registering')
                    """,
                    """
                    insert into registration (user_id, organization, organization_name, organization_slug) values
                        ('00000000-0000-7000-8000-000000000001', uuid_v7(), 'A', 'company-anna'),
                        ('00000000-0000-7000-8000-000000000002', null, null, null)
                    """,
                ])
            try await platform.ageRegistrations()
            try await platform.identity.runJob("registrations")
            #expect(try await platform.database.query(in: .identity, ["select from user_account"])[0].count == 1)
            #expect(try await platform.database.query(in: .identity, ["select from registration"])[0].isEmpty)
        }
    }

    @Test func theDemoPasswordIsForTheDemoOnly() async throws {
        try await TestDatabase.run([identityDefinition, tenantDefinition]) { database in
            try await RunningService.run(tenantDefinition, on: database) { tenant in
                let settings = ["MARTLET_TENANT_URL": tenant.url, "MARTLET_KEY_ENCRYPTION_KEY": IdentityPlatform.encryptionKey]
                let body = IdentityPlatform.registration("anna", password: "martlet-demo")
                try await RunningService.run(
                    identityDefinition, on: database, settings: settings.merging(["MARTLET_DEMO": "true"]) { $1 }
                ) { identity in
                    try await identity.send(.post, Self.path, body, as: .anybody(), expecting: 201)
                    let platform = IdentityPlatform(database: database, identity: identity, tenant: tenant)
                    try await platform.login("anna", password: "martlet-demo", expecting: 200)
                }
                try await RunningService.run(identityDefinition, on: database, settings: settings) { identity in
                    let platform = IdentityPlatform(database: database, identity: identity, tenant: tenant)
                    try await platform.login("anna", password: "martlet-demo", expecting: 401)
                    let other = IdentityPlatform.registration("ben", password: "martlet-demo")
                    try await identity.send(.post, Self.path, other, as: .anybody(), expecting: 422)
                }
            }
        }
    }
}

extension IdentityPlatform {
    fileprivate func ageRegistrations() async throws {
        try await database.query(in: .identity, ["update registration set created_at = created_at - interval '2 minutes'"])
    }

    /// As if identity had died just before its last step.
    fileprivate func undoActivation() async throws {
        try await database.query(
            in: .identity,
            [
                "update user_account set status = 'registering'",
                """
                insert into registration (user_id, organization, organization_name, organization_slug)
                select created_by, tenant_id, name, slug from tenant.tenant
                """,
            ])
    }
}
