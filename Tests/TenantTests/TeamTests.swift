import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct TeamTests {
    @Test func aTeamLivesItsLife() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let service = platform.service
            let (adminID, salesID) = (admin.person.id.description, sales.person.id.description)
            let created = try await service.send(
                .post, "/v1/teams", ["name": " Inside Sales ", "member_ids": [.string(salesID), .string(adminID), .string(salesID)]],
                as: admin.caller, expecting: 201)
            let id = try #require(created.json["id"]?.string)
            let path = "/v1/teams/\(id)"
            #expect(created.header("location") == path)
            #expect(created.header("etag") == "\"1\"")
            #expect(created.json["name"] == "Inside Sales")
            #expect(created.json["member_ids"]?.array?.compactMap(\.string) == [adminID, salesID].sorted())
            let read = try await service.send(.get, path, as: sales.caller, expecting: 200)
            #expect(read.json == created.json)
            try await service.send(.get, path, as: admin.caller, headers: [("if-none-match", "\"1\"")], expecting: 304)

            // The other side: shown with the member, who has a new version of it.
            let member = try await service.send(.get, "/v1/members/\(salesID)", as: admin.caller, expecting: 200)
            #expect(member.json["teams"] == [.string(id)])
            #expect(member.json["version"]?.integer == 2)
            let membership = try await platform.member(sales.person, in: admin.tenant).membership
            #expect(membership.teams.map(\.name) == ["Inside Sales"])
            // It is in no token, so none becomes stale.
            #expect(membership.epoch == 1)

            let changed = try await service.send(
                .patch, path, ["name": "Field Sales", "member_ids": [.string(adminID)]], as: admin.caller,
                headers: [("if-match", "\"1\"")], expecting: 200)
            #expect(changed.header("etag") == "\"2\"")
            #expect(changed.json["member_ids"] == [.string(adminID)])
            let stale = try await service.send(
                .patch, path, ["name": "X"], as: admin.caller, headers: [("if-match", "\"1\"")], expecting: 412)
            #expect(stale.json["current_version"]?.integer == 2)
            try await service.send(.delete, path, as: admin.caller, headers: [("if-match", "\"1\"")], expecting: 412)
            #expect(try await service.send(.patch, path, [:], as: admin.caller, expecting: 200).json == changed.json)
            #expect(try await service.send(.get, "/v1/members/\(salesID)", as: admin.caller).json["teams"] == [])

            try await service.send(.delete, path, as: admin.caller, expecting: 204)
            try await service.send(.delete, path, as: admin.caller, expecting: 404)
            try await service.send(.get, path, as: admin.caller, expecting: 404)
            #expect(try await service.send(.get, "/v1/members/\(adminID)", as: admin.caller).json["teams"] == [])
            #expect(try await service.send(.get, "/v1/teams", as: admin.caller, expecting: 200).json["data"] == [])
            // A deleted one does not block its name.
            try await service.send(.post, "/v1/teams", ["name": "Field Sales"], as: admin.caller, expecting: 201)
        }
    }

    /// What a service that follows the events needs: lists are whole, on both sides.
    @Test func eventsTellWhoIsInATeam() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let person = JSON.string(admin.person.id.description)
            let team = try await platform.team("One", [admin], by: admin)
            try await platform.service.send(.delete, "/v1/teams/\(team)", as: admin.caller, expecting: 204)
            let rows = try await platform.database.query(
                in: .tenant,
                [
                    """
                    select type, aggregateid, payload->'before' as before, payload->'after' as after from outbox
                    where tenant_id = \(admin.tenant) and aggregatetype in ('team', 'member') order by id offset 1
                    """
                ])[0]
            let events = try rows.map { row in
                (try row.decode("type", as: String.self), try row.decode("before", as: JSON.self), try row.decode("after", as: JSON.self))
            }
            #expect(events.map(\.0) == ["team.created", "member.updated", "team.deleted", "member.updated"])
            #expect(events[0].2["name"] == "One")
            #expect(events[0].2["member_ids"] == [person])
            #expect(events[0].2["name_key"] == nil)
            #expect(events[1].2["teams"] == [.string(team)])
            #expect(events[2].1["member_ids"] == [person])
            #expect(events[3].1["teams"] == [.string(team)])
            #expect(events[3].2["teams"] == [])
        }
    }

    @Test func namesDifferByMoreThanCase() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let first = try await platform.team("Süd", [], by: admin)
            let second = try await platform.team("Nord", [], by: admin)
            for (method, path) in [(Method.post, "/v1/teams"), (.patch, "/v1/teams/\(second)")] {
                let answer = try await platform.service.send(method, path, ["name": "SÜD"], as: admin.caller, expecting: 409)
                #expect(answer.code == "already_exists")
                #expect(answer.json["id"]?.string == first)
                #expect(answer.json["restorable"]?.bool == false)
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/name")
            }
            // Its own name is not in its way, nor is another tenant's.
            try await platform.service.send(.patch, "/v1/teams/\(first)", ["name": "SÜD"], as: admin.caller, expecting: 200)
            let globex = try await platform.organization("globex")
            _ = try await platform.team("Süd", [], by: globex)
        }
    }

    @Test func aMemberIsPutIntoTeamsAndLeavesThemAllWhenRemoved() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let sales = try await platform.join("sales", role: "sales", by: admin)
            let (one, two) = (try await platform.team("One", [sales], by: admin), try await platform.team("Two", [], by: admin))
            let path = "/v1/members/\(sales.person.id)"
            func members(of team: String) async throws -> JSON? {
                try await platform.service.send(.get, "/v1/teams/\(team)", as: admin.caller, expecting: 200).json["member_ids"]
            }
            let moved = try await platform.service.send(
                .patch, path, ["teams": [.string(two), .string(two)]], as: admin.caller, expecting: 200)
            #expect(moved.json["teams"] == [.string(two)])
            #expect(moved.json["version"]?.integer == 3)
            #expect(try await members(of: one) == [])
            #expect(try await members(of: two) == [.string(sales.person.id.description)])
            #expect(try await platform.member(sales.person, in: admin.tenant).membership.epoch == 1)
            let list = try await platform.service.send(.get, "/v1/members", as: admin.caller, expecting: 200)
            #expect(list.json["data"]?[1]?["teams"] == [.string(two)])

            try await platform.service.send(.delete, path, as: admin.caller, expecting: 204)
            #expect(try await members(of: two) == [])
            let invitation = try await platform.service.send(
                .post, "/v1/invitations", ["email": .string(sales.person.email), "role": "sales"], as: admin.caller, expecting: 201)
            #expect(try await platform.accept(invitation, sales.person.email, user: sales.person.id).status == 200)
            #expect(try await platform.service.send(.get, path, as: admin.caller, expecting: 200).json["teams"] == [])
        }
    }

    @Test func whoIsNoMemberAndWhatIsNoTeamIsNamedWithItsPlace() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let removed = try await platform.join("removed", role: "sales", by: admin)
            try await platform.service.send(.delete, "/v1/members/\(removed.person.id)", as: admin.caller, expecting: 204)
            let own = JSON.string(admin.person.id.description)
            let team = try await platform.team("One", [], by: admin)
            let foreign = try await platform.team("One", [], by: globex)
            for stranger in [UserID(), globex.person.id, removed.person.id] {
                for (method, path) in [(Method.post, "/v1/teams"), (.patch, "/v1/teams/\(team)")] {
                    let answer = try await platform.service.send(
                        method, path, ["name": "New", "member_ids": [own, .string(stranger.description)]], as: admin.caller, expecting: 422)
                    #expect(answer.code == "reference_not_found")
                    #expect(answer.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/member_ids/1"])
                }
            }
            for stranger in [foreign, RecordID().description] {
                let answer = try await platform.service.send(
                    .patch, "/v1/members/\(admin.person.id)", ["teams": [.string(team), .string(stranger)]], as: admin.caller,
                    expecting: 422)
                #expect(answer.code == "reference_not_found")
                #expect(answer.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/teams/1"])
            }
            let faults = try await platform.service.send(
                .post, "/v1/teams", ["name": "", "member_ids": [1, "x", own]], as: admin.caller, expecting: 422)
            #expect(faults.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/name", "/member_ids/0", "/member_ids/1"])
            let unknown = try await platform.service.send(
                .post, "/v1/teams", ["name": "New", "members": []], as: admin.caller, expecting: 400)
            #expect(unknown.json["detail"]?.string?.contains("'member_ids'") == true)
            // None of it has left anything behind.
            let there = try await platform.service.send(.get, "/v1/teams/\(team)", as: admin.caller, expecting: 200)
            #expect(there.json["version"] == 1 && there.json["member_ids"] == [])
        }
    }

    @Test func whatIsFullIsNamed() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let own = JSON.string(admin.person.id.description)
            let many = try await platform.service.send(
                .post, "/v1/teams", ["name": "Many", "member_ids": .array((0...500).map { _ in .string(UserID().description) })],
                as: admin.caller, expecting: 422)
            #expect(many.json["errors"]?[0]?["code"] == "too_many")
            let full = try await platform.team("Full", [], by: admin)
            try await platform.database.query(
                in: .tenant,
                ["update team set member_ids = array(select uuid_v7() from generate_series(1, 500)) where id = \(full)::uuid"])
            let entering = try await platform.service.send(
                .patch, "/v1/members/\(admin.person.id)", ["teams": [.string(full)]], as: admin.caller, expecting: 422)
            #expect(entering.json["errors"]?[0]?["pointer"] == "/teams/0")
            #expect(entering.json["errors"]?[0]?["code"] == "too_many")
            try await platform.database.query(
                in: .tenant,
                [
                    "update member set teams = array(select uuid_v7() from generate_series(1, 50)) where tenant_id = \(admin.tenant)",
                    """
                    insert into team (tenant_id, name, name_key, member_ids, created_by, updated_by)
                    select \(admin.tenant), 'T' || n, 't' || n, '{}', \(admin.person.id), \(admin.person.id) from generate_series(1, 998) as n
                    """,
                ])
            let joining = try await platform.service.send(
                .post, "/v1/teams", ["name": "New", "member_ids": [own]], as: admin.caller, expecting: 422)
            #expect(joining.json["errors"]?[0]?["pointer"] == "/member_ids/0")
            #expect(joining.json["errors"]?[0]?["code"] == "too_many")
            _ = try await platform.team("The thousandth", [], by: admin)
            let beyond = try await platform.service.send(.post, "/v1/teams", ["name": "One more"], as: admin.caller, expecting: 409)
            #expect(beyond.code == "conflict")
        }
    }

    @Test func teamsArePaged() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            for name in ["a", "b", "c"] { _ = try await platform.team(name, [], by: admin) }
            var seen: [String] = []
            var after = ""
            for _ in 0..<3 {
                let page = try await platform.service.send(.get, "/v1/teams?limit=1\(after)", as: admin.caller, expecting: 200).json
                seen += page["data"]?.array?.compactMap { $0["name"]?.string } ?? []
                after = page["page"]?["next"]?.string.map { "&after=\($0)" } ?? ""
            }
            #expect(seen == ["a", "b", "c"])
            #expect(after.isEmpty)
            #expect(try await platform.service.send(.get, "/v1/teams?after=x", as: admin.caller).code == "invalid_cursor")
            #expect(try await platform.service.send(.get, "/v1/teams?name=a", as: admin.caller).code == "unknown_parameter")
        }
    }

    /// Both sides are changed from both sides at once, and members removed meanwhile: afterwards they say the same.
    @Test func bothSidesAgreeWhoeverComesFirst() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            var people: [TestMember] = []
            for index in 0..<5 { people.append(try await platform.join("p\(index)", role: "sales", by: admin)) }
            var teams: [String] = []
            for index in 0..<4 { teams.append(try await platform.team("t\(index)", [], by: admin)) }
            let statuses = try await withThrowingTaskGroup(of: Int.self) { [people, teams] group in
                for round in 0..<60 {
                    let chosen = (0..<3).map { (round * 7 + $0 * 3) % 4 }
                    let person = people[round % 5].person.id
                    switch round % 6 {
                    case 0, 1, 2:
                        group.addTask {
                            try await platform.service.send(
                                .patch, "/v1/members/\(person)", ["teams": .array(chosen.map { .string(teams[$0]) })], as: admin.caller
                            ).status
                        }
                    case 3, 4:
                        group.addTask {
                            try await platform.service.send(
                                .patch, "/v1/teams/\(teams[round % 4])",
                                ["member_ids": .array(chosen.map { .string(people[$0].person.id.description) })], as: admin.caller
                            ).status
                        }
                    default:
                        guard round > 30 else { continue }
                        group.addTask {
                            try await platform.service.send(
                                round == 41 ? .delete : .get, "/v1/members/\(people[4].person.id)", as: admin.caller
                            ).status
                        }
                    }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(Set(statuses).isSubset(of: [200, 204, 404, 422]), "\(statuses)")
            let oneSided = try await platform.database.query(
                in: .tenant,
                [
                    """
                    (select id as team, unnest(member_ids) as member from team where deleted_at is null
                     except select unnest(teams), user_id from member where deleted_at is null)
                    union all
                    (select unnest(teams), user_id from member
                     except select id, unnest(member_ids) from team where deleted_at is null)
                    """
                ])[0]
            #expect(oneSided.isEmpty)
            let places = try await platform.database.query(in: .tenant, ["select sum(cardinality(teams)) as places from member"])[0]
            #expect(try places[0].decode("places", as: Int.self) > 0)
        }
    }

    @Test func whoMayNotIsRefusedAndAnothersTeamsAreNotThere() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let globex = try await platform.organization("globex")
            let team = try await platform.team("One", [], by: admin)
            let reader = try await platform.join("reader", role: "read_only", by: admin)
            for role in ["manager", "sales", "support"] {
                let person = try await platform.join(role, role: role, by: admin)
                try await platform.service.send(.get, "/v1/teams/\(team)", as: person.caller, expecting: 200)
                try await platform.service.send(.post, "/v1/teams", ["name": "X"], as: person.caller, expecting: 403)
                try await platform.service.send(.patch, "/v1/teams/\(team)", ["name": "X"], as: person.caller, expecting: 403)
                try await platform.service.send(.delete, "/v1/teams/\(team)", as: person.caller, expecting: 403)
            }
            try await platform.service.send(.get, "/v1/teams", as: reader.caller, expecting: 403)
            for (method, body) in [(Method.get, nil), (.patch, ["name": "X"] as JSON?), (.delete, nil)] {
                let foreign = try await platform.service.send(method, "/v1/teams/\(team)", body, as: globex.caller, expecting: 404)
                let never = try await platform.service.send(method, "/v1/teams/\(RecordID())", body, as: globex.caller)
                #expect(foreign.comparable == never.comparable)
            }
            // Who may change members, and no teams, changes them on neither side.
            // Who may change what he may not read is shown nothing, not even by a change that changes nothing.
            try await platform.role("writer", ["members.update", "teams.update", "roles.update", "teams.create"], by: admin)
            let writer = try await platform.join("writer", role: "writer", by: admin)
            for path in ["teams/\(team)", "members/\(reader.person.id)", "roles/writer"] {
                let hidden = try await platform.service.send(.patch, "/v1/\(path)", [:], as: writer.caller, expecting: 403)
                #expect(hidden.json["detail"]?.string?.contains(".read") == true, "\(path)")
            }
            let taken = try await platform.service.send(.post, "/v1/teams", ["name": "ONE"], as: writer.caller, expecting: 409)
            #expect(taken.code == "already_exists" && taken.json["id"] == nil)
            #expect(taken.json["errors"]?[0]?["pointer"] == "/name")
            try await platform.role("clerk", ["members.read", "members.update", "teams.read"], by: admin)
            let clerk = try await platform.join("clerk", role: "clerk", by: admin)
            let refused = try await platform.service.send(
                .patch, "/v1/members/\(reader.person.id)", ["teams": [.string(team)]], as: clerk.caller, expecting: 403)
            #expect(refused.json["detail"]?.string?.contains("teams.update") == true)
        }
    }

    @Test func repeatedWritesWithAKeyTakeEffectOnce() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            func twice(
                _ method: Core.Method, _ path: String, _ body: JSON?, _ key: String, expecting: Int
            ) async throws -> APIAnswer {
                let key = [("idempotency-key", key)]
                let first = try await platform.service.send(method, path, body, as: admin.caller, headers: key, expecting: expecting)
                let again = try await platform.service.send(method, path, body, as: admin.caller, headers: key, expecting: expecting)
                #expect(again.header("idempotent-replayed") == "true")
                #expect(again.body == first.body)
                #expect(again.header("etag") == first.header("etag"))
                return first
            }
            // What is moved counts: the gateway is told.
            let one = try await platform.join("one", role: "sales", by: admin)
            let two = try await platform.join("two", role: "sales", by: admin)
            let ids = [one, two].map { JSON.string($0.person.id.description) }
            let big = try await platform.service.send(
                .post, "/v1/teams", ["name": "Big", "member_ids": .array(ids)], as: admin.caller, expecting: 201)
            let bigPath = "/v1/teams/\(big.json["id"]?.string ?? "")"
            #expect(big.header("martlet-operations") == "3")
            let less = try await platform.service.send(.patch, bigPath, ["member_ids": .array([ids[0]])], as: admin.caller, expecting: 200)
            #expect(less.header("martlet-operations") == "2")
            let named = try await platform.service.send(.patch, bigPath, ["name": "Small"], as: admin.caller, expecting: 200)
            #expect(named.header("martlet-operations") == nil)
            let back = try await platform.service.send(
                .patch, "/v1/members/\(two.person.id)", ["teams": [big.json["id"] ?? .null]], as: admin.caller, expecting: 200)
            #expect(back.header("martlet-operations") == "2")
            #expect(try await platform.service.send(.delete, bigPath, as: admin.caller, expecting: 204).header("martlet-operations") == "3")

            let created = try await twice(.post, "/v1/teams", ["name": "One"], "k1", expecting: 201)
            let path = "/v1/teams/\(created.json["id"]?.string ?? "")"
            let changed = try await twice(.patch, path, ["name": "Two"], "k2", expecting: 200)
            #expect(changed.json["version"] == 2)
            let other = try await platform.service.send(
                .patch, path, ["name": "Three"], as: admin.caller, headers: [("idempotency-key", "k2")], expecting: 422)
            #expect(other.code == "idempotency_key_reused")
            _ = try await twice(.delete, path, nil, "k3", expecting: 204)
        }
    }
}
