import Core
import Postgres
import TestSupport
import Testing

/// The counters that hold tables to the limits of plans.
@Suite struct LimitTests {
    private func insert(_ names: [(id: RecordID, name: String)], as context: RequestContext) -> SQL {
        let rows = names.map { "(\(context.tenant), \($0.id), \($0.name), \(context.user), \(context.user))" as SQL }
        return "insert into lead (tenant_id, id, last_name, created_by, updated_by) values \(SQL.joined(rows, separator: ", "))"
    }

    private func upsert(_ names: [(id: RecordID, name: String)], as context: RequestContext) -> SQL {
        insert(names, as: context) + " on conflict on constraint lead_pkey do update set last_name = excluded.last_name"
    }

    private func isRefused(_ api: ResourceAPI, _ statement: SQL, as context: RequestContext) async throws -> Bool {
        do {
            _ = try await api.postgres.batch(as: context, [statement])
            return false
        } catch let error as PostgresError where error.constraint == "plan_limit_leads" {
            return true
        }
    }

    /// The counter, `nil` when there is none, and what it should be.
    private func count(_ api: ResourceAPI) async throws -> (counter: Int?, live: Int) {
        let results = try await api.postgres.batch(
            as: api.member(),
            [
                "select live from limit_counter where tenant_id = \(api.tenant) and name = 'leads'",
                "select count(*) from lead where tenant_id = \(api.tenant) and deleted_at is null",
            ])
        return (try results[0].first?.decode(0), try results[1][0].decode(0))
    }

    @Test func anUpsertThatOnlyChangesPassesAtTheLimit() async throws {
        try await ResourceAPI.leads { api in
            let free = api.member(limits: ["leads": 2])
            let known = [(id: RecordID(), name: "A"), (id: RecordID(), name: "B")]
            #expect(try await !isRefused(api, insert(known, as: free), as: free))
            #expect(try await !isRefused(api, upsert(known.map { ($0.id, $0.name + "2") }, as: free), as: free))
            #expect(try await isRefused(api, upsert([known[0], (RecordID(), "C")], as: free), as: free))
            #expect(try await count(api) == (2, 2))
            let names = try await api.send(.get, "/v1/leads?sort=last_name", as: free).column("last_name")
            #expect(names == ["A2", "B2"])
        }
    }

    @Test func rowsOfOneStatementAreCountedTogether() async throws {
        try await ResourceAPI.leads { api async throws in
            let free = api.member(limits: ["leads": 3])
            #expect(try await !isRefused(api, insert([(RecordID(), "A"), (RecordID(), "B")], as: free), as: free))
            #expect(try await isRefused(api, insert([(RecordID(), "C"), (RecordID(), "D")], as: free), as: free))
            #expect(try await !isRefused(api, insert([(RecordID(), "C")], as: free), as: free))
            #expect(try await count(api) == (3, 3))
        }
    }

    @Test func theCounterFollowsCreationsDeletionsAndRestorationsAtOnce() async throws {
        try await ResourceAPI.leads { api in
            let free = api.member(limits: ["leads": 1_000_000])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<24 {
                    group.addTask {
                        let id = try await api.create(#"{"last_name":"L\#(number)"}"#, as: free).id
                        guard number % 3 > 0 else { return }
                        #expect(try await api.send(.delete, "/v1/leads/\(id)", as: free).status == 204)
                        guard number % 3 > 1 else { return }
                        #expect(try await api.send(.post, "/v1/leads/\(id)/restore", as: free).status == 200)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await count(api) == (16, 16))
        }
    }

    /// Another plan, and back: what was written without the limit counts as soon as there is one again.
    @Test func withoutALimitNothingIsKeptAndALaterLimitCountsAnew() async throws {
        try await ResourceAPI.leads { api in
            let (free, pro) = (api.member(limits: ["leads": 3]), api.member(limits: ["users": 10]))
            _ = try await api.create(#"{"last_name":"A"}"#, as: free)
            #expect(try await count(api) == (1, 1))
            for name in ["B", "C", "D"] { _ = try await api.create(#"{"last_name":"\#(name)"}"#, as: pro) }
            #expect(try await count(api) == (nil, 4))
            #expect(try await api.send(.post, "/v1/leads", #"{"last_name":"E"}"#, as: free).code == "plan_limit_reached")
            let some = try await api.send(.get, "/v1/leads?limit=2", as: free).column("id")
            for id in some { #expect(try await api.send(.delete, "/v1/leads/\(id.string ?? "")", as: free).status == 204) }
            _ = try await api.create(#"{"last_name":"E"}"#, as: free)
            #expect(try await count(api) == (3, 3))
            #expect(try await api.send(.post, "/v1/leads", #"{"last_name":"F"}"#, as: free).code == "plan_limit_reached")
        }
    }

    /// Rows that one statement restores, or restores and deletes, count once each, whether they are counted for the first time or not.
    @Test(arguments: [true, false])
    func rowsThatOneStatementChangesCountOnceEach(isCounted: Bool) async throws {
        try await ResourceAPI.leads { api in
            let (free, pro) = (api.member(limits: ["leads": 6]), api.member())
            var ids: [String] = []
            for index in 0..<6 { ids.append(try await api.create(#"{"last_name":"L\#(index)"}"#, as: pro).id) }
            for id in ids[..<4] { #expect(try await api.send(.delete, "/v1/leads/\(id)", as: pro).status == 204) }
            if isCounted { _ = try await api.send(.delete, "/v1/leads/\(api.create(#"{"last_name":"X"}"#, as: free).id)", as: free) }
            let all: SQL = "update lead set deleted_at = null where tenant_id = \(api.tenant)"
            let restoring: SQL = all + " and id = any (\(Array(ids[..<3]))::uuid[])"
            _ = try await api.postgres.batch(as: free, [restoring])
            #expect(try await count(api) == (5, 5))
            let swap: SQL = """
                update lead set deleted_at = case when deleted_at is null then now() end
                where tenant_id = \(api.tenant) and id = any (\(Array(ids[2...3]))::uuid[])
                """
            _ = try await api.postgres.batch(as: free, [swap, swap, swap])
            #expect(try await count(api) == (5, 5))
            // A write of a plan without a limit has taken the counter away.
            _ = try await api.send(.delete, "/v1/leads/\(api.create(#"{"last_name":"Y"}"#, as: pro).id)", as: pro)
            _ = try await api.postgres.batch(as: free, [swap, swap])
            #expect(try await count(api) == (5, 5))
            await #expect(throws: PostgresError.self) {
                try await api.postgres.batch(as: api.member(limits: ["leads": 5]), [all])
            }
            #expect(try await count(api) == (5, 5))
        }
    }

    /// Tokens of the plan before and after are in use at the same moment: whatever the order, no row is missed or counted twice.
    @Test func aPlanThatChangesUnderWritesLeavesNoWrongCount() async throws {
        try await ResourceAPI.leads { api in
            let (free, pro) = (api.member(limits: ["leads": 1000]), api.member())
            for round in 0..<8 {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<12 {
                        group.addTask {
                            let context = number % 2 == 0 ? free : pro
                            let id = try await api.create(#"{"last_name":"L\#(round)-\#(number)"}"#, as: context).id
                            if number % 4 > 1 { _ = try await api.send(.delete, "/v1/leads/\(id)", as: context) }
                        }
                    }
                    try await group.waitForAll()
                }
                _ = try await api.create(#"{"last_name":"last"}"#, as: free)
                let (counter, live) = try await count(api)
                #expect(counter == live && live == (round + 1) * 7)
            }
        }
    }
}
