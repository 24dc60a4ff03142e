import Core
import Foundation
import TestSupport
import Testing

/// What the tenant service knows of members, as crm and support know it.
enum MemberCopies {
    private static let original = """
        select tenant_id, user_id, email, name, role, teams, status, deleted_at is not null, version \
        from tenant.member
        """

    /// Members of which the copy of the service is not as the original.
    static func differences(_ platform: Platform, _ service: String) async throws -> Int {
        let copy = "select tenant_id, user_id, email, name, role, teams, status, is_removed, version from \(service).member_copy"
        let answer = try await platform.psql(
            "select count(*) from ((\(original) except \(copy)) union all (\(copy) except \(original))) as difference")
        return try #require(Int(answer.dropLast()))
    }

    /// Waits until the copies of crm and support are as the original.
    static func areEqual(_ platform: Platform, within limit: Duration = .seconds(30)) async throws {
        for service in ["crm", "support"] {
            try await eventually("the copy of \(service) equals the original", within: limit) {
                try await differences(platform, service) == 0
            }
        }
    }
}

extension SystemTests {
    @Suite struct Following {
        /// Case: a member is removed, and a lead is given to him right after.
        @Test func whoeverWasRemovedIsGivenNothingAndHisRecordsStay() async throws {
            let world = try World.get()
            let (acme, admin) = (world.acme, world.acme.admin)
            let leaver = try await acme.invite("leaver-\(UUID().uuidString.prefix(8).lowercased())@acme.test", role: "sales")
            let id = try #require(try await leaver.send(.get, "/v1/me", expecting: 200).json["user"]?["id"]?.string)
            // Whether the copy knows him yet or not.
            let lead = try await acme.create("/v1/leads", ["last_name": "Theirs", "owner_id": .string(id)])
            let ticket = try await acme.create("/v1/tickets", ["subject": "Theirs", "assignee_id": .string(id)])
            try await MemberCopies.areEqual(world.platform)

            try await admin.send(.delete, "/v1/members/\(id)", expecting: 204)
            let removed = ContinuousClock.now
            for (path, body) in [
                ("/v1/leads", ["last_name": "Late", "owner_id": .string(id)] as JSON),
                ("/v1/tickets", ["subject": "Late", "assignee_id": .string(id)]),
            ] {
                var refusal: APIAnswer?
                try await eventually("\(path) refuses him", within: .seconds(5)) {
                    refusal = try await admin.send(.post, path, body)
                    return refusal?.status != 201
                }
                #expect(refusal?.status == 422)
                #expect(refusal?.code == "reference_not_found")
            }
            print("a removed member is refused by both services after \(ContinuousClock.now - removed)")
            #expect(try await admin.send(.patch, "/v1/leads/\(lead)", ["score": 7], expecting: 200).json["owner_id"]?.string == id)
            #expect(try await admin.send(.get, "/v1/tickets/\(ticket)", expecting: 200).json["assignee_id"]?.string == id)
            let other = try await acme.create("/v1/leads", ["last_name": "Other"])
            try await admin.send(.patch, "/v1/leads/\(other)", ["owner_id": .string(id)], expecting: 422)
        }

        /// Sales reach what their team owns: from when the team is made until they leave it, on every way to a lead.
        @Test func aTeamsLeadsAreReachedWhileOneIsInIt() async throws {
            let world = try World.get()
            let (acme, admin) = (world.acme, world.acme.admin)
            let mark = UUID().uuidString.prefix(8).lowercased()
            func seller(_ name: String) async throws -> (APIClient, JSON) {
                let client = try await acme.invite("\(name)-\(mark)@acme.test", role: "sales")
                return (client, try #require(try await client.send(.get, "/v1/me", expecting: 200).json["user"]?["id"]))
            }
            let (ada, adasID) = try await seller("ada")
            let (ben, bensID) = try await seller("ben")
            let lead = try #require(
                try await ben.send(.post, "/v1/leads", ["last_name": .string("Ben's \(mark)")], expecting: 201).json["id"]?.string)
            try await ada.send(.get, "/v1/leads/\(lead)", expecting: 404)
            try await ada.send(.patch, "/v1/leads/\(lead)", ["score": 1], expecting: 404)
            #expect(try await ada.send(.get, "/v1/leads?q=\(mark)", expecting: 200).json["data"]?.array?.isEmpty == true)

            let team = try await admin.send(
                .post, "/v1/teams", ["name": .string("Team \(mark)"), "member_ids": [adasID, bensID]], expecting: 201)
            let made = ContinuousClock.now
            try await eventually("the team is known to crm", within: .seconds(5)) {
                try await ada.send(.get, "/v1/leads/\(lead)").status == 200
            }
            print("a new team is reached after \(ContinuousClock.now - made)")
            try await ada.send(.patch, "/v1/leads/\(lead)", ["score": 1], expecting: 200)
            for query in ["", "?q=\(mark)", "?sort=last_name"] {
                let ids = try await ada.send(.get, "/v1/leads\(query)", expecting: 200).json["data"]?.array?.compactMap { $0["id"]?.string }
                #expect(ids == [lead], "\(query)")
            }

            let id = try #require(team.json["id"]?.string)
            try await admin.send(.patch, "/v1/teams/\(id)", ["member_ids": [bensID]], expecting: 200)
            try await eventually("she has left it", within: .seconds(5)) { try await ada.send(.get, "/v1/leads/\(lead)").status == 404 }
            #expect(try await ada.send(.get, "/v1/leads", expecting: 200).json["data"]?.array?.isEmpty == true)
            try await MemberCopies.areEqual(world.platform)
        }

        /// The owner stands beside the id by name, also once he has left; his address is for those who may read members.
        @Test func whoseARecordIsIsShownByName() async throws {
            let world = try World.get()
            let (acme, admin) = (world.acme, world.acme.admin)
            let email = "owner-\(UUID().uuidString.prefix(8).lowercased())@acme.test"
            let owner = try await acme.invite(email, role: "sales")
            let id = try #require(try await owner.send(.get, "/v1/me", expecting: 200).json["user"]?["id"]?.string)
            let lead = try await acme.create("/v1/leads", ["last_name": "Theirs", "owner_id": .string(id)])
            let ticket = try await acme.create("/v1/tickets", ["subject": "Theirs", "assignee_id": .string(id)])
            func shown(_ target: String, as client: APIClient) async throws -> JSON? {
                let json = try await client.send(.get, target, expecting: 200).json
                let record = json["data"]?[0] ?? json
                return record["owner"] ?? record["assignee"]
            }
            let places = [
                "/v1/leads/\(lead)?expand=owner", "/v1/leads?id=\(lead)&expand=owner", "/v1/tickets/\(ticket)?expand=assignee",
            ]
            var expected: JSON = ["id": .string(id), "name": "Person", "email": .string(email), "status": "active"]
            for place in places {
                try await eventually("\(place) names the owner", within: .seconds(5)) { try await shown(place, as: admin) == expected }
            }
            let reader = try #require(world.people["read_only"])
            for place in places { #expect(try await shown(place, as: reader)?["email"] == .null, "\(place)") }

            // Who changes the name of his account has the new one everywhere.
            try await owner.send(.patch, "/v1/me", ["name": "Anna Kowalska"], expecting: 200)
            let renamed = ContinuousClock.now
            expected = ["id": .string(id), "name": "Anna Kowalska", "email": .string(email), "status": "active"]
            for place in places {
                try await eventually("\(place) has the new name", within: .seconds(10)) { try await shown(place, as: admin) == expected }
            }
            print("a new name is shown by both services after \(ContinuousClock.now - renamed)")
            #expect(try await admin.send(.get, "/v1/members/\(id)", expecting: 200).json["name"] == "Anna Kowalska")

            try await admin.send(.delete, "/v1/members/\(id)", expecting: 204)
            expected = ["id": .string(id), "name": "Anna Kowalska", "email": .string(email), "status": "removed"]
            for place in places {
                try await eventually("\(place) says that he has left", within: .seconds(5)) {
                    try await shown(place, as: admin) == expected
                }
            }
        }

        /// What support knows of a ticket, crm does at once: a task about it, by whom may read it, in his organisation.
        @Test func aTaskIsAboutATicket() async throws {
            let world = try World.get()
            let (acme, admin) = (world.acme, world.acme.admin)
            let ticket = try await acme.create("/v1/tickets", ["subject": "The export stops"])
            let body: JSON = ["subject": "Call back", "related": ["type": "ticket", "id": .string(ticket)]]
            let task = try await acme.create("/v1/tasks", body)
            let list = try await admin.send(.get, "/v1/tasks?related=ticket:\(ticket)", expecting: 200)
            #expect(list.json["data"]?.array?.map { $0["id"] } == [.string(task)])
            #expect(try await world.globex.admin.send(.post, "/v1/tasks", body, expecting: 422).code == "reference_not_found")
            try await admin.send(.delete, "/v1/tickets/\(ticket)", expecting: 204)
            try await eventually("its deletion is known to crm", within: .seconds(5)) {
                try await admin.send(.post, "/v1/tasks", body).status == 422
            }
            try await admin.send(.patch, "/v1/tasks/\(task)", ["priority": "high"], expecting: 200)
        }

        /// The same answer as for somebody who never was: who is a member elsewhere is no secret to be told.
        @Test func aMemberOfAnotherOrganisationIsNobodyHere() async throws {
            let world = try World.get()
            let stranger = try #require(try await world.globex.admin.send(.get, "/v1/me", expecting: 200).json["user"]?["id"])
            for id in [stranger, .string(UserID().description)] {
                let answer = try await world.acme.admin.send(.post, "/v1/leads", ["last_name": "x", "owner_id": id], expecting: 422)
                #expect(answer.code == "reference_not_found")
            }
        }

        @Test func theFollowerIsMeasured() async throws {
            let world = try World.get()
            for (service, copies) in [("crm", ["member", "ticket"]), ("support", ["member"]), ("tenant", ["user"])] {
                let text = try await APIClient(url: world.platform.adminURLs[service] ?? "").send(.get, "/metrics", expecting: 200).text
                for copy in copies.map({ "{aggregate=\"\($0)\"}" }) {
                    #expect(text.contains("\nmartlet_follower_leader\(copy) 1\n"), "\(service)")
                    #expect(text.contains("\nmartlet_follower_dead_total\(copy) 0\n"), "\(service)")
                    #expect(text.contains("\nmartlet_follower_lag_seconds\(copy) "), "\(service)")
                }
            }
        }
    }
}

/// Fault F11: whoever hands over and whoever follows dies, at any moment.
@Suite(.serialized)
struct FollowingDurabilityTests {
    static let rounds = 50
    static let steps = 8

    /// Goal: the copies equal the original after each death.
    /// Method: members are made, changed and removed all the time; tenant, activity and crm are killed (-9) together in the middle of it, a
    /// step later in each round, fifty times; then the copies are compared row by row.
    @Test(.timeLimit(.minutes(10)))
    func copiesEqualTheOriginalWhateverDies() async throws {
        let redis = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
        let platform = try await Platform(server: .shared(), redisURL: redis)
        do {
            try await Self.check(platform)
            try await Self.checkRenewal(platform)
        } catch {
            await platform.stop()
            throw error
        }
        await platform.stop()
    }

    /// Goal: copies that are being renewed when their service dies (-9) are renewed from where it stood.
    private static func checkRenewal(_ platform: Platform) async throws {
        let globex = TenantID()
        try await platform.psql(
            """
            set search_path = tenant, extensions;
            select set_config('app.tenant', '\(globex)', false);
            insert into tenant (tenant_id, name, slug, created_by, updated_by) select '\(globex)', 'Globex', 'globex-following', '\(globex)', '\(globex)';
            insert into member (tenant_id, user_id, email, name, role, created_by, updated_by)
            select '\(globex)', md5('globex ' || n)::uuid, n || '@globex.test', 'Member ' || n, 'sales', '\(globex)', '\(globex)'
            from generate_series(1, 6000) as n
            """)
        try await MemberCopies.areEqual(platform, within: .seconds(60))
        let renewed = "select coalesce(renewed_to, 'whole') from crm.log_follower where aggregate = 'member'"
        for _ in 1...3 {
            await platform.processes["crm"]?.stop()
            try await platform.psql(
                "update crm.member_copy set name = 'Old', version = 900; update crm.log_follower set format = 0 where aggregate = 'member'")
            try platform.processes["crm"]?.start()
            try await eventually("they are half renewed") { try await platform.psql(renewed).count > 60 }
            try await platform.kill("crm")
            try await platform.ready("crm")
            try await MemberCopies.areEqual(platform, within: .seconds(60))
            #expect(try await platform.psql(renewed) == "whole\n")
        }
    }

    private static func check(_ platform: Platform) async throws {
        let tenant = TenantID()
        try await platform.psql(
            "set search_path = tenant, extensions",
            "insert into tenant (tenant_id, name, slug, created_by, updated_by) values ('\(tenant)', 'Acme', 'acme-following', '\(tenant)', '\(tenant)')"
        )
        for round in 1...rounds {
            let alive = (round - 1) % steps
            for step in 0..<alive { try await Self.step(step, of: round, tenant, platform) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { for step in alive..<steps { try await Self.step(step, of: round, tenant, platform) } }
                group.addTask {
                    for name in ["tenant", "activity", "crm"] { try await platform.kill(name) }
                    for name in ["tenant", "activity", "crm"] { try await platform.ready(name) }
                }
                try await group.waitForAll()
            }
            try await MemberCopies.areEqual(platform, within: .seconds(60))
            #expect(try await platform.psql("select count(*) from crm.member_copy") == "\(round * steps)\n")
        }
        #expect(try await platform.psql("select count(*) from crm.followed_dead_letter") == "0\n")
        // The order over all tenants has no gap, and each of its events is one of the log.
        let order = try await platform.psql(
            """
            select max(last_position) = (select count(*) from activity.event)
                and sum(last_position - first_position + 1) = max(last_position) from (
                    select distinct first_position, last_position from activity.event_position
                ) as run
            """)
        #expect(order == "t\n")
    }

    /// Three transactions: a new member, an eighth of all put into another team, and some who are removed or come back.
    private static func step(_ step: Int, of round: Int, _ tenant: TenantID, _ platform: Platform) async throws {
        try await platform.psql(
            "set search_path = tenant, extensions", "select set_config('app.tenant', '\(tenant)', false)",
            """
            insert into member (tenant_id, user_id, email, name, role, created_by, updated_by)
            values ('\(tenant)', md5('\(round) \(step)')::uuid, '\(step)@acme.test', 'Member \(round)', 'sales', '\(tenant)', '\(tenant)')
            """,
            """
            update member set version = version + 1, role = (array['sales', 'support', 'manager'])[1 + (\(step) + ascii(email)) % 3],
                teams = array[md5('\(round) \(step)')::uuid], status = case when ascii(substr(user_id::text, 1)) % 3 = \(round) % 3 then 'disabled' else 'active' end
            where deleted_at is null and ascii(right(user_id::text, 1)) % \(steps) = \(step)
            """,
            """
            update member set version = version + 1, teams = '{}', deleted_at = case when deleted_at is null then now() end
            where substr(user_id::text, 1, 1) = '\(String((round + step) % 16, radix: 16))'
            """)
    }
}
