import Core
import Foundation
import Postgres
import TestSupport
import Testing

@testable import Resources

/// The row scope `team`: one's own and those of whoever shares a team with one, by the service's copy of the teams.
@Suite struct TeamScopeTests {
    /// Makes the members a team, and gives the first of them.
    @discardableResult
    private func team(_ api: ResourceAPI, of users: [UserID], tenant: TenantID? = nil) async throws -> RecordID {
        let team = RecordID()
        try await TestPostgres.withClient(api.database.system) { client in
            _ = try await client.batch(
                as: SystemContext(service: "test"),
                [
                    """
                    insert into team_member_copy (tenant_id, team_id, user_id)
                    select \(tenant ?? api.tenant)::uuid, \(team)::uuid, unnest(\(users)::uuid[])
                    """
                ])
        }
        return team
    }

    /// May do everything with leads, but only with the team's.
    private func member(_ api: ResourceAPI, _ user: UserID = UserID(), tenant: TenantID? = nil) -> RequestContext {
        var context = api.member(tenant: tenant, user: user)
        context.scopes[.leads] = .team
        return context
    }

    private func lead(_ api: ResourceAPI, of user: UserID, _ name: String, tenant: TenantID? = nil) async throws -> JSON {
        try await api.create(#"{"last_name":"\#(name)","status":"new"}"#, as: api.member(tenant: tenant, user: user))
    }

    @Test func whatATeamOwnsIsReachedByEveryRouteAndNothingElse() async throws {
        try await ResourceAPI.leads { api in
            let (me, mate, other, stranger) = (UserID(), UserID(), UserID(), UserID())
            try await team(api, of: [me, mate])
            try await team(api, of: [other, me])
            try await team(api, of: [other, stranger])
            // The same people in another organisation are another team.
            let elsewhere = TenantID()
            try await team(api, of: [me, stranger], tenant: elsewhere)
            let caller = member(api, me)
            let mine = try await lead(api, of: me, "Reached Mine")
            let mates = try await lead(api, of: mate, "Reached Mate")
            let others = try await lead(api, of: other, "Reached Other")
            let foreign = try await lead(api, of: stranger, "Reached Stranger")
            _ = try await lead(api, of: stranger, "Reached Elsewhere", tenant: elsewhere)

            for record in [mine, mates, others] {
                #expect(try await api.send(.get, "/v1/leads/\(record.id)", as: caller).status == 200)
                #expect(try await api.send(.patch, "/v1/leads/\(record.id)", #"{"score":1}"#, as: caller).status == 200)
            }
            #expect(try await api.send(.get, "/v1/leads/\(foreign.id)", as: caller).status == 404)
            for (method, path, body) in [
                (Core.Method.patch, "/v1/leads/\(foreign.id)", #"{"score":1}"#), (.delete, "/v1/leads/\(foreign.id)", nil),
                (.post, "/v1/leads/\(foreign.id)/restore", nil),
            ] {
                #expect(try await api.send(method, path, body, as: caller).status == 404, "\(method) \(path)")
            }
            let reached = Set([mine.id, mates.id, others.id])
            for query in ["", "?sort=created_at", "?sort=last_name", "?status=new", "?q=reached", "?score=1", "?sort=-updated_at"] {
                let page = try await api.send(.get, "/v1/leads\(query)", as: caller)
                #expect(try Set(page.column("id").compactMap(\.string)) == reached, "\(query)")
                let joint = query.isEmpty ? "?" : query + "&"
                #expect(try await api.send(.get, "/v1/leads\(joint)count=exact", as: caller).json["page"]?["total"] == 3, "\(query)")
            }
            #expect(try await api.send(.get, "/v1/leads?owner_id=\(stranger)", as: caller).column("id") == [])
            #expect(try await api.send(.get, "/v1/leads?owner_id=\(mate)", as: caller).column("id") == [.string(mates.id)])
            for isAtomic in [true, false] {
                let operations = [mates.id, foreign.id].map { #"{"op":"update","id":"\#($0)","body":{"score":\#(isAtomic ? 2 : 3)}}"# }
                let reply = try await api.send(
                    .post, "/v1/leads/batch", #"{"atomic":\#(isAtomic),"operations":[\#(operations.joined(separator: ","))]}"#, as: caller)
                if isAtomic {
                    #expect(reply.status == 404)
                } else {
                    #expect(try reply.json["results"]?.array?.compactMap { $0["status"]?.integer } == [200, 404])
                }
            }
            #expect(try await api.send(.delete, "/v1/leads/\(mates.id)", as: caller).status == 204)
            #expect(try await api.send(.get, "/v1/leads?deleted=only", as: caller).column("id") == [.string(mates.id)])
            #expect(try await api.send(.post, "/v1/leads/\(mates.id)/restore", as: caller).status == 200)
            #expect(try await api.send(.get, "/v1/leads/\(foreign.id)", as: api.member()).json["version"] == 1)
        }
    }

    /// It takes effect with the statement after the change: nothing is remembered in between.
    @Test func leavingATeamTakesEffectAtOnce() async throws {
        try await ResourceAPI.leads { api in
            let (me, mate) = (UserID(), UserID())
            let caller = member(api, me)
            let record = try await lead(api, of: mate, "Theirs")
            #expect(try await api.send(.get, "/v1/leads/\(record.id)", as: caller).status == 404)
            let shared = try await team(api, of: [me, mate])
            #expect(try await api.send(.get, "/v1/leads/\(record.id)", as: caller).status == 200)
            #expect(try await api.send(.get, "/v1/leads", as: caller).column("id").count == 1)
            try await TestPostgres.withClient(api.database.system) { client in
                _ = try await client.batch(
                    as: SystemContext(service: "test"),
                    ["delete from team_member_copy where team_id = \(shared) and user_id = \(me)"])
            }
            #expect(try await api.send(.get, "/v1/leads/\(record.id)", as: caller).status == 404)
            #expect(try await api.send(.get, "/v1/leads", as: caller).column("id").isEmpty)
        }
    }

    /// Goal: a list read to its end by cursor is the team's records in order, whatever the number of owners.
    /// Method: few owners, who are asked one after the other, and more than are asked so; records of others in between; both directions.
    @Test(arguments: [3, 20, 230])
    func aListOfATeamIsReadToItsEndInOrder(owners count: Int) async throws {
        try await ResourceAPI.leads { api in
            let users = (0..<count).map { _ in UserID() }
            try await team(api, of: users)
            let total = 600
            try await api.write([
                // Every third is nobody's of the team; many are of one owner, and some of one moment.
                """
                insert into lead (tenant_id, id, last_name, owner_id, created_at, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'n' || n, \
                    case n % 3 when 0 then \(UserID())::uuid when 1 then (\(users)::uuid[])[1] \
                        else (\(users)::uuid[])[1 + n % \(count)::int] end, \
                    timestamptz '2026-01-01T00:00:00Z' + n / 4 * interval '1 second', \(UserID())::uuid, \(UserID())::uuid \
                from generate_series(1, \(total)::int) as n
                """
            ])
            let truth = try await api.asSuperuser { client in
                try await client.batch(
                    as: SystemContext(service: "test"),
                    [
                        "select set_config('search_path', \(api.database.schema + ", extensions"), true)",
                        "select id from lead where owner_id = any (\(users)::uuid[]) order by created_at, id",
                    ])[1].map { try $0.decode(0, as: String.self) }
            }
            #expect(truth.count == 400)
            let caller = member(api, users[count - 1])
            for (sort, expected) in [("created_at", truth), ("-created_at", truth.reversed())] {
                var seen: [String] = []
                var next: String? = ""
                while let cursor = next {
                    let page = try await api.send(
                        .get, "/v1/leads?sort=\(sort)&limit=50" + (cursor.isEmpty ? "" : "&after=\(cursor)"), as: caller)
                    try #require(page.status == 200, "\(page.text)")
                    seen += try page.column("id").compactMap(\.string)
                    next = try page.next
                    try #require(seen.count <= total)
                }
                #expect(seen == expected, "\(sort)")
            }
        }
    }

    /// Held against the server: a list goes by the owners' index, and what it reads is no more than its owners have.
    @Test func aTeamsListReadsNoMoreThanItsOwnersHave() async throws {
        try await ResourceAPI.leads { api in
            try await api.fill(ofTenant: 20_000)
            try await team(api, of: [api.colleague, UserID()])
            let caller = member(api, api.colleague)
            let count = try await api.send(.get, "/v1/leads?count=exact&limit=1", as: caller)
            #expect(try count.json["page"]?["total"] == 20)
            let lists = ListStatements(ResourceView(api.resource.definition))
            var request = ListRequest(
                sort: SortOrder(column: "created_at", isDescending: true, isNullable: false), selection: api.resource.definition.columns)
            #expect(lists.isInOrder(request, as: caller))
            for isDescending in [true, false] {
                request.sort.isDescending = isDescending
                let statement = "explain (analyze, costs off, timing off) " + lists.page(request, .inOrder, as: caller)
                let plan = try await api.postgres.transaction(as: caller) { transaction in
                    try await transaction.query(statement).map { try $0.decode(0, as: String.self) }
                }
                let text = plan.joined(separator: "\n")
                #expect(
                    plan.contains {
                        $0.contains("using lead_owner_id on lead") && $0.contains("rows=20 loops=1") || $0.contains("rows=10 loops=2")
                    }, "\(text)")
                // To know by when there are enough, to find those, and to read them.
                let walks = plan.filter { $0.contains("Scan") && $0.contains(" on lead") && !$0.contains("never executed") }
                #expect(walks.count == 3, "\(text)")
                #expect(!text.contains("Seq Scan on lead"), "\(text)")
            }
        }
    }

    /// Of twenty owners with many records each, hardly more is read than the page has: not the newest fifty of each.
    @Test func aTeamsListReadsHardlyMoreThanAPage() async throws {
        try await ResourceAPI.leads { api in
            let users = (0..<20).map { _ in UserID() }
            try await team(api, of: users)
            try await api.write([
                """
                insert into lead (tenant_id, id, last_name, owner_id, created_at, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'n' || n, (\(users)::uuid[])[1 + n % 20], \
                    timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', \(UserID())::uuid, \(UserID())::uuid \
                from generate_series(1, 4000) as n
                """,
                "analyze lead",
            ])
            let caller = member(api, users[0])
            let lists = ListStatements(ResourceView(api.resource.definition))
            var request = ListRequest(
                sort: SortOrder(column: "created_at", isDescending: true, isNullable: false), selection: api.resource.definition.columns)
            for isDescending in [true, false] {
                request.sort.isDescending = isDescending
                let statement = "explain (analyze, costs off, timing off) " + lists.page(request, .inOrder, as: caller)
                let plan = try await api.postgres.transaction(as: caller) { transaction in
                    try await transaction.query(statement).map { try $0.decode(0, as: String.self) }
                }
                let read = plan.filter { $0.contains(" on lead") }.compactMap { line -> Int? in
                    guard let match = line.firstMatch(of: /rows=(\d+) loops=(\d+)/), let rows = Int(match.1), let loops = Int(match.2)
                    else {
                        return nil
                    }
                    // A mean, rounded to a whole number.
                    return (rows + 1) * loops
                }
                #expect(!read.isEmpty && read.reduce(0, +) <= 6 * 51, "\(plan.joined(separator: "\n"))")
                #expect(!plan.contains { $0.contains("Removed by Filter") }, "\(plan.joined(separator: "\n"))")
            }
        }
    }
}
