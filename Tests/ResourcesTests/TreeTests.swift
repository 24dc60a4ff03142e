import CRM
import Core
import Postgres
import Testing

/// Accounts above each other: a tree whatever happens at the same moment.
@Suite struct TreeTests {
    @Test func anAccountIsNeverAboveItself() async throws {
        try await ResourceAPI.accounts { api in
            let admin = api.member()
            let chain = try await api.chain(of: 3, as: admin)
            for parent in chain {
                let reply = try await api.move(chain[0], below: parent, as: admin)
                #expect(reply.status == 422, "\(reply.text)")
                #expect(try reply.code == "validation_failed")
                #expect(try reply.faults == ["/parent_id cycle"])
                #expect(try reply.json["errors"]?[0]?["detail"] == "The account would be above itself.")
            }
            // Nor by way of a deleted one.
            #expect(try await api.send(.delete, "/v1/accounts/\(chain[1])", as: admin).status == 204)
            #expect(try await api.move(chain[0], below: chain[2], as: admin).status == 422)
            let batch = try await api.send(
                .post, "/v1/accounts/batch",
                #"{"atomic":true,"operations":[{"op":"update","id":"\#(chain[0])","body":{"parent_id":"\#(chain[2])"}}]}"#, as: admin)
            #expect(try batch.faults == ["/operations/0/body/parent_id cycle"])
            #expect(try await api.move(chain[2], below: nil, as: admin).status == 200)
            #expect(try await api.move(chain[0], below: chain[2], as: admin).status == 200)
        }
    }

    /// The one that would close the circle is the last one sent.
    @Test func movesOfABatchAreMadeInTheOrderSent() async throws {
        try await ResourceAPI.accounts { api in
            let admin = api.member()
            for _ in 0..<5 {
                var ids: [String] = []
                for _ in 0..<8 { ids.append(try await api.create(#"{"name":"A"}"#, as: admin).id) }
                let operations = ids.indices.map { index in
                    #"{"op":"update","id":"\#(ids[index])","body":{"parent_id":"\#(ids[(index + 1) % ids.count])"}}"#
                }
                let reply = try await api.send(
                    .post, "/v1/accounts/batch?fields=id", #"{"operations":[\#(operations.joined(separator: ","))]}"#, as: admin)
                let statuses = try reply.json["results"]?.array?.map { $0["status"]?.integer }
                #expect(statuses == Array(repeating: 200, count: 7) + [422], "\(reply.text)")
            }
        }
    }

    @Test func aTreeHasAtMostFiftyLevels() async throws {
        try await ResourceAPI.accounts { api in
            let admin = api.member()
            let chain = try await api.chain(of: 50, as: admin)
            let tooDeep = ["/parent_id too_deep"]
            let below = try await api.send(.post, "/v1/accounts", #"{"name":"A","parent_id":"\#(chain[49])"}"#, as: admin)
            #expect(try below.faults == tooDeep)
            // What is moved brings along what is below it.
            let top = try await api.create(#"{"name":"A"}"#, as: admin).id
            #expect(try await api.move(chain[0], below: top, as: admin).faults == tooDeep)
            #expect(try await api.move(chain[1], below: top, as: admin).status == 200)
            // And so does what comes back.
            #expect(try await api.send(.delete, "/v1/accounts/\(chain[1])", as: admin).status == 204)
            #expect(try await api.move(top, below: chain[0], as: admin).status == 200)
            let restored = try await api.send(.post, "/v1/accounts/\(chain[1])/restore", as: admin)
            #expect(restored.status == 422, "\(restored.text)")
            #expect(try restored.faults == tooDeep)
        }
    }

    /// Goal: no circle, however many moves that would close one come at once.
    /// Method: 50 accounts, each moved below the next one and the last below the first, all at once; then 25 pairs, each below the other.
    @Test func movesAtTheSameMomentCloseNoCircle() async throws {
        try await ResourceAPI.accounts { api in
            let admin = api.member()
            let steps: [@Sendable (Int) -> Int] = [{ ($0 + 1) % 50 }, { $0 ^ 1 }]
            for step in steps {
                var ids: [String] = []
                for _ in 0..<50 { ids.append(try await api.create(#"{"name":"A"}"#, as: admin).id) }
                let accounts = ids
                let refused = try await withThrowingTaskGroup(of: [String].self) { group in
                    for index in accounts.indices {
                        group.addTask {
                            let reply = try await api.move(accounts[index], below: accounts[step(index)], as: admin)
                            return reply.status == 200 ? [] : try reply.faults
                        }
                    }
                    return try await group.reduce(into: [String]()) { $0 += $1 }
                }
                #expect(!refused.isEmpty && refused.allSatisfy { $0 == "/parent_id cycle" }, "\(refused)")
                if step(0) == 1, step(1) == 0 { #expect(refused.count == 25) }
            }
            // Each account is found from above.
            let found = try await api.postgres.batch(
                as: admin,
                [
                    """
                    with recursive tree (id) as (
                        select id from account where parent_id is null
                        union all select account.id from account join tree on account.parent_id = tree.id
                    ) select (select count(*) from tree), (select count(*) from account)
                    """
                ])[0][0]
            #expect(try found.decode(0, as: Int.self) == 100 && found.decode(1, as: Int.self) == 100)
        }
    }
}

extension ResourceAPI {
    /// Accounts, each below the one before.
    fileprivate func chain(of count: Int, as context: RequestContext) async throws -> [String] {
        var chain: [String] = []
        for _ in 0..<count {
            let parent = chain.last.map { "\"\($0)\"" } ?? "null"
            chain.append(try await create(#"{"name":"A","parent_id":\#(parent)}"#, as: context).id)
        }
        return chain
    }

    fileprivate func move(_ id: String, below parent: String?, as context: RequestContext) async throws -> Reply {
        try await send(.patch, "/v1/accounts/\(id)", #"{"parent_id":\#(parent.map { "\"\($0)\"" } ?? "null")}"#, as: context)
    }
}
