import Core
import Postgres
import TestSupport
import Testing

/// Batches that name records by the ids that another system knows them by.
@Suite struct ExternalIDBatchTests {
    @Test(arguments: [true, false])
    func aBatchNamesRecordsByExternalIDs(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            for id in ["a", "b"] { _ = try await api.create(#"{"last_name":"A","external_id":"\#(id)"}"#, as: admin) }
            let reply = try await api.send(
                .post, "/v1/leads/batch",
                """
                {"atomic":\(isAtomic),"operations":[{"op":"upsert","external_id":"a","version":1,"body":{"title":"t"}},
                {"op":"upsert","external_id":"new","body":{"last_name":"N"}},{"op":"upsert","external_id":"new","body":{"title":"n"}},
                {"op":"update","external_id":"new","version":2,"body":{"score":5}},{"op":"upsert","external_id":"b","body":{"last_name":"A"}},
                {"op":"update","external_id":"a","body":{"external_id":"c"}},{"op":"update","external_id":"c","body":{"title":"u"}},
                {"op":"delete","external_id":"b"}]}
                """, as: admin)
            let results = try #require(try reply.json["results"]?.array, "\(reply.text)")
            #expect(results.map { $0["status"]?.integer } == [200, 201, 200, 200, 200, 200, 200, 204], "\(reply.text)")
            #expect(results.map { $0["body"]?["version"]?.integer } == [2, 1, 2, 3, 1, 3, 4, nil])
            #expect(results[3]["body"]?["external_id"] == "new" && results[6]["body"]?["external_id"] == "c")
            let names = try await api.send(.get, "/v1/leads?sort=last_name", as: admin).column("external_id")
            #expect(names == ["c", "new"])
        }
    }

    @Test(arguments: [
        (#"{"op":"upsert","external_id":"a","version":7,"body":{}}"#, 412, "version_mismatch", nil),
        (#"{"op":"upsert","external_id":"n","version":1,"body":{"last_name":"A"}}"#, 412, "version_mismatch", nil),
        (#"{"op":"upsert","external_id":"n","body":{}}"#, 422, "validation_failed", "/operations/0/body/last_name required"),
        (#"{"op":"upsert","body":{}}"#, 422, "validation_failed", "/operations/0/external_id required"),
        (#"{"op":"upsert","external_id":"","body":{}}"#, 422, "validation_failed", "/operations/0/external_id too_short"),
        (#"{"op":"upsert","external_id":5,"body":{}}"#, 422, "validation_failed", "/operations/0/external_id invalid_type"),
        (#"{"op":"upsert","external_id":"n","id":"x","body":{}}"#, 400, "unknown_member", "/operations/0/id unknown_member"),
        (
            #"{"op":"upsert","external_id":"n","body":{"last_name":"A","external_id":"m"}}"#, 422, "validation_failed",
            "/operations/0/body/external_id not_allowed"
        ),
        (#"{"op":"update","external_id":"n","body":{}}"#, 404, "not_found", nil),
        (#"{"op":"delete","external_id":"n"}"#, 404, "not_found", nil),
        (#"{"op":"update","external_id":"a","version":3,"body":{}}"#, 412, "version_mismatch", nil),
        (#"{"op":"delete","external_id":"a","id":"x"}"#, 422, "validation_failed", "/operations/0/external_id not_allowed"),
        (
            #"{"op":"create","body":{"last_name":"A","external_id":"a"}}"#, 409, "already_exists",
            "/operations/0/body/external_id not_unique"
        ),
        (
            #"{"op":"upsert","external_id":"unseen","body":{"last_name":"A"}}"#, 409, "already_exists",
            "/operations/0/body/external_id not_unique"
        ),
    ])
    func anOperationThatFailsSaysWhy(operation: String, status: Int64, code: String, fault: String?) async throws {
        try await ResourceAPI.leads { api async throws in
            let sales = api.member(.sales)
            var caller = sales
            caller.permissions = api.member().permissions
            let lead = try await api.create(#"{"last_name":"A","external_id":"a"}"#, as: sales)
            _ = try await api.create(#"{"last_name":"A","external_id":"unseen"}"#, as: api.member())
            for isAtomic in [false, true] {
                let reply = try await api.send(
                    .post, "/v1/leads/batch", #"{"atomic":\#(isAtomic),"operations":[\#(operation)]}"#, as: caller)
                let problem = isAtomic ? try reply.json : try #require(try reply.json["results"]?[0]?["body"])
                #expect(problem["status"]?.integer == status && problem["code"]?.string == code, "\(reply.text)")
                let faults = problem["errors"]?.array?.map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" }
                #expect(faults?.first == fault, "\(reply.text)")
                if operation.hasPrefix(#"{"op":"create""#) { #expect(problem.id == lead.id && problem["restorable"] == false) }
            }
        }
    }

    @Test(arguments: [true, false])
    func aRepeatedBatchOfUpsertsIsAnsweredByteForByte(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let body = """
                {"atomic":\(isAtomic),"operations":[{"op":"upsert","external_id":"a","body":{"last_name":"A"}},
                {"op":"upsert","external_id":"b","body":{"last_name":"B"}},{"op":"upsert","external_id":"a","body":{"title":"t"}}]}
                """
            let first = try await api.send(.post, "/v1/leads/batch", body, as: admin, headers: ["Idempotency-Key": "k"])
            let again = try await api.send(.post, "/v1/leads/batch", body, as: admin, headers: ["Idempotency-Key": "k"])
            #expect(first.status == 200 && again.body == first.body, "\(first.text)")
            #expect(try first.json["results"]?.array?.map { $0["status"]?.integer } == [201, 201, 200])
            let operationsAgain = try await api.send(.post, "/v1/leads/batch", body, as: admin)
            #expect(try operationsAgain.json["results"]?.array?.map { $0["status"]?.integer } == [200, 200, 200])
            #expect(try await api.events().sorted() == ["lead.created", "lead.created", "lead.updated"])
        }
    }

    /// Goal: batches that name the same ids in opposite orders do not wait for each other in a circle.
    @Test func batchesInOppositeOrdersBothSucceed() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            func batch(_ ids: [Int], _ title: Int) -> String {
                let operations = ids.map { #"{"op":"upsert","external_id":"\#($0)","body":{"last_name":"A","title":"\#(title)"}}"# }
                return #"{"atomic":true,"operations":[\#(operations.joined(separator: ","))]}"#
            }
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for number in 0..<12 {
                    let ids = number % 2 == 0 ? Array(0..<20) : (0..<20).reversed()
                    group.addTask { try await api.send(.post, "/v1/leads/batch", batch(ids, number), as: admin) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let statuses = try replies.flatMap { try $0.json["results"]?.array?.compactMap { $0["status"]?.integer } ?? [] }
            #expect(statuses.filter { $0 == 201 }.count == 20 && statuses.filter { $0 == 200 }.count == 220, "\(replies.map(\.text))")
        }
    }

    /// Goal: of an upsert and a write by id of the same record the second has the last word, as sent.
    @Test func anAtomicBatchKeepsTheOrderOfUpsertsAndWritesByID() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let made = try await api.send(.post, "/v1/leads", #"{"last_name":"A","external_id":"x"}"#, as: admin)
            let id = try #require(try made.json["id"]?.string)
            let batch = try await api.send(
                .post, "/v1/leads/batch",
                #"{"atomic":true,"operations":[{"op":"upsert","external_id":"x","body":{"last_name":"B","score":1}},"#
                    + #"{"op":"update","id":"\#(id)","body":{"score":2}}]}"#, as: admin)
            #expect(try batch.json["results"]?.array?.map { $0["status"]?.integer } == [200, 200], "\(batch.text)")
            let record = try await api.send(.get, "/v1/leads/\(id)", as: admin)
            #expect(try record.json["score"]?.integer == 2 && record.json["last_name"]?.string == "B", "\(record.text)")
        }
    }
}
