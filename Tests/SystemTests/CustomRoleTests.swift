import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// A role that a tenant has made, from the API to what a token opens.
    @Suite struct CustomRoles {
        @Test func whoReadsHisOwnLeadsOnlySeesNoOthers() async throws {
            let world = try World.get()
            let reader = try #require(world.people["lead_reader"])
            let me = try await reader.send(.get, "/v1/me", expecting: 200).json
            #expect(me["permissions"] == ["leads.read"])
            let id = try #require(me["user"]?["id"])
            let own = try await world.acme.create("/v1/leads", ["last_name": "Zwingli", "owner_id": id])
            let other = try await world.acme.create("/v1/leads", ["last_name": "Zwingli"])
            try await reader.send(.get, "/v1/leads/\(own)", expecting: 200)
            let hidden = try await reader.send(.get, "/v1/leads/\(other)", expecting: 404)
            let never = try await reader.send(.get, "/v1/leads/\(RecordID())", expecting: 404)
            #expect(hidden.json["detail"] == never.json["detail"])
            for query in ["", "?q=zwingli", "?sort=last_name"] {
                let list = try await reader.send(.get, "/v1/leads\(query)", expecting: 200)
                #expect(list.json["data"]?.array?.compactMap { $0["id"]?.string } == [own], "\(query)")
            }
            try await reader.send(.patch, "/v1/leads/\(own)", ["score": 1], expecting: 403)
            try await reader.send(.post, "/v1/leads", ["last_name": "X"], expecting: 403)
            try await reader.send(.get, "/v1/tickets", expecting: 403)
            let why = try await reader.send(.post, "/v1/authorize/explain", ["permission": "leads.read"], expecting: 200)
            #expect(why.json["role"] == "lead_reader" && why.json["scope"] == "own" && why.json["built_in"] == false)
        }

        /// Of one record it is told what a request about it would meet, and nothing of one that is out of sight.
        @Test func aDecisionAboutOneRecordIsExplained() async throws {
            let world = try World.get()
            let tenant = try await Organization(
                name: "explain", plan: "enterprise", platform: world.platform, operatorClient: world.operatorClient)
            let body: JSON = [
                "name": "closer", "permissions": ["leads.read", "leads.delete", "tickets.delete"],
                "scopes": ["leads": "own", "tickets": "own"], "fields": ["leads": ["score": "hidden"]],
            ]
            try await tenant.admin.send(.post, "/v1/roles", body, expecting: 201)
            let closer = try await tenant.invite("closer@\(tenant.slug).test", role: "closer")
            let id = try #require(try await closer.send(.get, "/v1/me", expecting: 200).json["user"]?["id"])
            let own = try await tenant.create("/v1/leads", ["last_name": "Zwingli", "owner_id": id])
            let other = try await tenant.create("/v1/leads", ["last_name": "Zwingli"])
            let removed = try await tenant.create("/v1/leads", ["last_name": "Zwingli", "owner_id": id])
            try await tenant.admin.send(.delete, "/v1/leads/\(removed)", expecting: 204)
            let foreign = try await world.globex.create("/v1/leads", ["last_name": "Zwingli"])
            let ticket = try await tenant.create("/v1/tickets", ["subject": "Sample", "assignee_id": id])
            func explain(_ permission: String, _ id: String, _ more: [(String, JSON)] = []) async throws -> JSON {
                var body = JSONObject()
                for (name, value) in [("permission", .string(permission)), ("resource_id", .string(id))] + more { body[name] = value }
                return try await closer.send(.post, "/v1/authorize/explain", .object(body), expecting: 200).json
            }

            let reached = try await explain("leads.read", own)
            #expect(reached["allowed"] == true && reached["resource_id"]?.string == own && reached["scope"] == "own")
            let never = try await explain("leads.read", RecordID().description)
            #expect(never["allowed"] == false)
            #expect(
                never["reason"] == "There is no such record among the tenant's leads, or it is none of those that your scope own reaches.")
            for id in [other, removed, foreign] {
                var told = try #require(try await explain("leads.read", id).object)
                told["resource_id"] = never["resource_id"]
                #expect(JSON.object(told) == never)
            }
            // What the role does not allow at all needs no record to be looked at.
            #expect(try await explain("leads.update", own)["reason"]?.string?.contains("does not have leads.update") == true)
            #expect(try await explain("leads.read", own, [("field", "score")])["allowed"] == false)
            // Who may remove what he does not read is told of that too.
            #expect(try await explain("tickets.delete", ticket)["allowed"] == true)
            #expect(try await explain("tickets.delete", own)["allowed"] == false)
            let all = try await tenant.admin.send(
                .post, "/v1/authorize/explain", ["permission": "leads.read", "resource_id": .string(foreign)], expecting: 200)
            #expect(all.json["reason"] == "There is no such record among the tenant's leads.")

            for (body, detail) in [
                (["permission": "leads.create", "resource_id": .string(own)] as JSON, "leads.create is about no record that is there."),
                (["permission": "roles.read", "resource_id": .string(own)], "Only single records of these"),
                (["permission": "leads.read", "resource_id": "own"], ""),
            ] {
                let refused = try await closer.send(.post, "/v1/authorize/explain", body, expecting: 422)
                let fault = refused.json["errors"]?.array?.first
                #expect(fault?["pointer"] == "/resource_id" && fault?["detail"]?.string?.hasPrefix(detail) == true, "\(refused.text)")
            }
        }

        @Test func whoIsInATeamIsToldSo() async throws {
            let world = try World.get()
            let sales = try #require(world.people["sales"])
            let id = try #require(try await sales.send(.get, "/v1/me", expecting: 200).json["user"]?["id"])
            let team = try await world.acme.create("/v1/teams", ["name": "Harbour", "member_ids": [id]])
            let me = try await sales.send(.get, "/v1/me", expecting: 200)
            #expect(me.json["teams"] == [["id": .string(team), "name": "Harbour"]])
            #expect(me.json["role"] == "sales")
            try await world.acme.admin.send(.delete, "/v1/teams/\(team)", expecting: 204)
            #expect(try await sales.send(.get, "/v1/me", expecting: 200).json["teams"] == [])
            try await eventually("the trail has it") {
                let trail = try await world.acme.admin.send(.get, "/v1/audit?resource=team&id=\(team)&sort=sequence", expecting: 200)
                return trail.json["data"]?.array?.compactMap { $0["action"]?.string } == ["team.created", "team.deleted"]
            }
        }

        /// Within a second at the gateway, for all who have it, and for nobody else.
        @Test func aChangeActsAtOnceForAllWhoHaveTheRole() async throws {
            let world = try World.get()
            let members = try await RoleChange(world.acme, "shift").members
            let bystander = try #require(world.people["read_only"])
            try await world.acme.admin.send(.patch, "/v1/roles/shift", ["permissions": ["tickets.read"]], expecting: 200)
            for (member, email) in members {
                try await eventually("the token is stale", within: .seconds(1)) {
                    try await member.send(.get, "/v1/leads").code == "token_stale"
                }
                let fresh = try await World.signIn(email, world.platform.api)
                try await fresh.send(.get, "/v1/leads", expecting: 403)
                try await fresh.send(.get, "/v1/tickets", expecting: 200)
            }
            try await bystander.send(.get, "/v1/leads", expecting: 200)
            try await world.acme.admin.send(.get, "/v1/leads", expecting: 200)
        }
    }
}

/// Without Redis there are no messages; gateways poll.
@Suite(.serialized)
struct RoleChangeWithoutRedisTests {
    @Test(.timeLimit(.minutes(2)))
    func aChangeActsWithinTenSeconds() async throws {
        let port = try FreePorts.take(1)[0]
        let redis = ChildProcess(
            "/usr/bin/redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            logFile: NSTemporaryDirectory() + "martlet-redis-\(port).log")
        try redis.start()
        let platform = try await Platform(server: .shared(), redisURL: "redis://127.0.0.1:\(port)")
        do {
            try await check(platform, redis)
        } catch {
            await platform.stop()
            await redis.stop()
            throw error
        }
        await platform.stop()
        await redis.stop()
    }

    private func check(_ platform: Platform, _ redis: ChildProcess) async throws {
        try await platform.run(
            "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"], input: World.password + "\n")
        let operatorClient = try await World.signIn("operator@platform.test", platform.api)
        let acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        let members = try await RoleChange(acme, "shift").members
        await redis.stop()
        try await acme.admin.send(.patch, "/v1/roles/shift", ["permissions": ["tickets.read"]], expecting: 200)
        let end = ContinuousClock.now + .seconds(10)
        for (member, _) in members {
            try await eventually("the token is stale", within: end - .now) {
                try await member.send(.get, "/v1/leads").code == "token_stale"
            }
        }
    }
}

/// A role that reads leads, and three people who have it and do.
private struct RoleChange {
    var members: [(client: APIClient, email: String)] = []

    init(_ organization: Organization, _ role: String) async throws {
        try await organization.admin.send(
            .post, "/v1/roles", ["name": .string(role), "permissions": ["leads.read"]], expecting: 201)
        for number in 1...3 {
            let email = "\(role)-\(number)@\(organization.slug).test"
            let client = try await organization.invite(email, role: role)
            try await client.send(.get, "/v1/leads", expecting: 200)
            members.append((client, email))
        }
    }
}
