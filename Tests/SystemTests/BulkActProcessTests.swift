import Core
import Foundation
import TestSupport
import Testing

/// Bulk acts in real processes, which die and whose askers lose their rights.
@Suite(.serialized)
struct BulkActProcessTests {
    private static let leads = 2000

    /// Goal: each record is changed once, though the process is killed (-9) in the middle; and an asker who is demoted meanwhile
    /// changes nothing more. Method: two tenants with as many leads, of which one is left alone.
    @Test(.timeLimit(.minutes(3)))
    func anActGoesOnAfterAKillAndNoFurtherThanTheRight() async throws {
        let redis = try #require(
            ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"], "run the tests with Tests/run")
        let platform = try await Platform(server: .shared(), redisURL: redis)
        do {
            try await check(platform)
        } catch {
            await platform.stop()
            throw error
        }
        await platform.stop()
    }

    private func check(_ platform: Platform) async throws {
        try await platform.run(
            "identity",
            ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"],
            input: World.password + "\n")
        let operatorClient = try await World.signIn("operator@platform.test", platform.api)
        let acme = try await Organization(
            name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        let globex = try await Organization(
            name: "globex", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        for tenant in [acme, globex] {
            try await platform.psql(
                "set search_path = crm, extensions",
                """
                insert into lead (tenant_id, id, last_name, status, created_by, updated_by)
                select '\(tenant.id)', gen_random_uuid(), 'Lead ' || n, 'new', gen_random_uuid(), gen_random_uuid()
                from generate_series(1, \(Self.leads)) as n
                """)
        }
        let act = try await begin(
            ["filter": ["status": "new"], "change": ["status": "contacted"]], acme.admin)
        _ = try await progress(of: act, acme.admin, atLeast: Self.leads / 5)
        try await platform.kill("crm")
        try await platform.ready("crm")
        let ended = try await end(of: act, acme.admin)
        #expect(ended["status"] == "succeeded")
        #expect(
            ended["counts"]?["changed"]?.integer == Int64(Self.leads) && ended["counts"]?["matched"]?.integer == Int64(Self.leads))
        let versions = try await platform.psql(
            "select count(*), count(distinct version) from crm.lead where tenant_id = '\(acme.id)' and version = 2 and status = 'contacted'",
            "select count(*) from crm.lead where tenant_id = '\(globex.id)' and version = 1 and status = 'new'"
        )
        #expect(versions == "\(Self.leads)|1\n\(Self.leads)\n")
        try await eventually("the trail has each change once", within: .seconds(60)) {
            try await platform.psql(
                "select count(*), count(distinct aggregate_id) from activity.event where kind = 'lead.updated' and tenant_id = '\(acme.id)'"
            )
                == "\(Self.leads)|\(Self.leads)\n"
        }
        // Somebody who is demoted meanwhile.
        let manager = try await acme.invite("manager@\(acme.slug).test", role: "manager")
        let me = try #require(
            try await manager.send(.get, "/v1/me", expecting: 200).json["user"]?["id"]?.string)
        let second = try await begin(["filter": [:], "change": ["title": "CEO"]], manager)
        _ = try await progress(of: second, acme.admin, atLeast: 1)
        try await acme.admin.send(.patch, "/v1/members/\(me)", ["role": "read_only"], expecting: 200)
        let refused = try await end(of: second, acme.admin)
        #expect(refused["status"] == "failed" && refused["reason"] == "forbidden", "\(refused)")
        let changed = try #require(refused["counts"]?["changed"]?.integer)
        #expect((1..<Int64(Self.leads)).contains(changed))
        #expect(
            try await platform.psql(
                "select count(*) from crm.lead where tenant_id = '\(acme.id)' and title = 'CEO'")
                == "\(changed)\n")
    }

    private func begin(_ body: JSON, _ client: APIClient) async throws -> String {
        let answer = try await client.send(.post, "/v1/leads/bulk", body, expecting: 202)
        return "/v1/leads/bulk/\(try #require(answer.json["id"]?.string))"
    }

    private func progress(of act: String, _ client: APIClient, atLeast count: Int) async throws
        -> JSON
    {
        var found = JSON.null
        try await eventually("\(count) records of \(act)", within: .seconds(60)) {
            found = try await client.send(.get, act).json
            return (found["progress"]?["done"]?.integer ?? 0) >= Int64(count)
        }
        return found
    }

    private func end(of act: String, _ client: APIClient) async throws -> JSON {
        var found = JSON.null
        try await eventually("the end of \(act)", within: .seconds(90)) {
            found = try await client.send(.get, act).json
            return found["ended_at"] != nil && found["ended_at"] != .null
        }
        return found
    }
}
