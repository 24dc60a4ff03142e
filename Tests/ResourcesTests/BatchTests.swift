import Core
import Postgres
import Testing

@Suite struct BatchTests {
    @Test func operationsOfABatchThatIsNotAtomicSucceedAndFailByThemselves() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let reply = try await api.send(
                .post, "/v1/leads/batch",
                """
                {"operations":[{"op":"create","body":{"last_name":"B"}},{"op":"create","body":{"email":"x"}},
                {"op":"update","id":"\(lead.id)","version":1,"body":{"title":"t"}},{"op":"update","id":"\(lead.id)","version":1,"body":{"title":"u"}},
                {"op":"update","id":"\(RecordID())","body":{"title":"u"}},{"op":"create","body":{"last_name":"C","owner_id":"\(UserID())"}},
                {"op":"delete","id":"\(lead.id)"},{"op":"destroy"},{"op":"delete","idd":"x"}]}
                """, as: admin)
            #expect(reply.status == 200, "\(reply.text)")
            let results = try #require(try reply.json["results"]?.array)
            #expect(results.map { $0["status"]?.integer } == [201, 422, 200, 412, 404, 422, 204, 422, 400])
            #expect(results[0]["body"]?["last_name"] == "B")
            #expect(
                results[1]["body"]?["errors"]?.array?.map { $0["pointer"] } == ["/operations/1/body/last_name", "/operations/1/body/email"])
            #expect(results[3]["body"]?["current_version"] == 2)
            #expect(results[5]["body"]?["code"] == "reference_not_found")
            #expect(results[6]["body"] == nil)
            #expect(try await api.events() == ["lead.created", "lead.created", "lead.updated", "lead.deleted"])
        }
    }

    @Test func anAtomicBatchIsAllOrNoneAndNamesTheOperationThatFailed() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let failed = try await api.send(
                .post, "/v1/leads/batch",
                """
                {"atomic":true,"operations":[{"op":"create","body":{"last_name":"B"}},{"op":"delete","id":"\(lead.id)"},
                {"op":"update","id":"\(lead.id)","version":7,"body":{"title":"u"}}]}
                """, as: admin)
            #expect(failed.status == 404)
            #expect(try failed.json["operation"] == 2)
            let invalid = try await api.send(
                .post, "/v1/leads/batch",
                #"{"atomic":true,"operations":[{"op":"create","body":{}},{"op":"create","body":{"last_name":""}}]}"#, as: admin)
            #expect(invalid.status == 422)
            #expect(try invalid.faults == ["/operations/0/body/last_name required", "/operations/1/body/last_name required"])
            #expect(try await api.events() == ["lead.created"])
            #expect(try await api.send(.get, "/v1/leads", as: admin).column("id") == [.string(lead.id)])

            let done = try await api.send(
                .post, "/v1/leads/batch",
                #"{"atomic":true,"operations":[{"op":"create","body":{"last_name":"B"}},{"op":"delete","id":"\#(lead.id)","version":1}]}"#,
                as: admin)
            #expect(try done.json["results"]?.array?.map { $0["status"]?.integer } == [201, 204])
        }
    }

    @Test(arguments: [true, false])
    func aRepeatedBatchIsAnsweredByteForByte(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            func send(_ name: String) async throws -> Reply {
                try await api.send(
                    .post, "/v1/leads/batch",
                    """
                    {"atomic":\(isAtomic),"operations":[{"op":"create","body":{"last_name":"\(name)"}},
                    {"op":"update","id":"\(lead.id)","version":1,"body":{"title":"t"}}]}
                    """, as: admin, headers: ["Idempotency-Key": "k"])
            }
            let first = try await send("B")
            let again = try await send("B")
            #expect(first.status == 200, "\(first.text)")
            #expect(again.body == first.body)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(try await send("C").code == "idempotency_key_reused")
            // Of operations that run side by side, either may be first.
            #expect(try await api.events().sorted() == ["lead.created", "lead.created", "lead.updated"])
        }
    }

    /// E3: what is written counts, not what the answer could show: a batch over large records answers with ids and versions.
    @Test(arguments: [true, false], ["", "?fields=id,score", "?fields=version,custom"])
    func theAnswerStaysSmallHoweverLargeTheRecords(isAtomic: Bool, query: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let text = String(repeating: "x", count: 1_000)
            let custom = (0..<50).map { "\"k\($0)\":\"\(text)\"" }.joined(separator: ",")
            let lead = try await api.create(#"{"last_name":"A","custom":{\#(custom)}}"#, as: admin)
            let operations = (1...200).map { #"{"op":"update","id":"\#(lead.id)","body":{"score":\#($0 % 100)}}"# }
            let body = #"{"atomic":\#(isAtomic),"operations":[\#(operations.joined(separator: ","))]}"#
            let reply = try await api.send(
                .post, "/v1/leads/batch\(query)", body, as: admin, headers: ["Idempotency-Key": "k"])
            try #require(reply.status == 200, "\(reply.text.prefix(500))")
            #expect(reply.body.count < 30_000)
            #expect(reply.header("martlet-operations") == "200")
            let names = query.contains("score") ? ["id", "score"] : ["id", "version"]
            let results = try #require(try reply.json["results"]?.array)
            #expect(results.count == 200 && results.allSatisfy { $0["body"]?.object?.names == names })
            let again = try await api.send(.post, "/v1/leads/batch\(query)", body, as: admin, headers: ["Idempotency-Key": "k"])
            #expect(again.body == reply.body && again.header("idempotent-replayed") == "true")
            let kept = try await api.postgres.batch(as: admin, ["select sum(pg_column_size(answer))::bigint from idempotency_key"])[0][0]
            // Some 600 bytes each: the names of all fields, and the short ones' values.
            #expect(try kept.decode(0, as: Int.self) < 150_000)
        }
    }

    /// E16: records of one batch come in the order sent.
    @Test(arguments: [true, false])
    func recordsAreInTheOrderSent(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let operations = (0..<120).map { #"{"op":"create","body":{"last_name":"L\#($0)"}}"# }
            let body = #"{"atomic":\#(isAtomic),"operations":[\#(operations.joined(separator: ","))]}"#
            #expect(try await api.send(.post, "/v1/leads/batch?fields=id", body, as: admin).status == 200)
            let list = try await api.send(.get, "/v1/leads?limit=200&sort=created_at&fields=last_name", as: admin)
            #expect(try list.column("last_name").compactMap(\.string) == (0..<120).map { "L\($0)" })
        }
    }

    /// E18: two batches over the same records, in opposite orders, wait for each other instead of in a circle.
    @Test func batchesThatCrossDoNotDeadlock() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            var ids: [String] = []
            for index in 0..<20 { ids.append(try await api.create(#"{"last_name":"L\#(index)"}"#, as: admin).id) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for round in 0..<8 {
                    let order = round % 2 == 0 ? ids : ids.reversed()
                    let operations = order.map { #"{"op":"update","id":"\#($0)","body":{"score":\#(round)}}"# }
                    group.addTask {
                        let reply = try await api.send(
                            .post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations.joined(separator: ","))]}"#, as: admin)
                        #expect(reply.status == 200, "\(reply.text)")
                        #expect(try reply.json["results"]?.array?.compactMap { $0["body"]?["id"]?.string } == Array(order))
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// Case 11 in a batch: what changes nothing is answered as it is.
    @Test(arguments: [true, false])
    func anOperationThatChangesNothingIsAnsweredWithTheRecord(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A","title":"t"}"#, as: admin)
            let body =
                #"{"atomic":\#(isAtomic),"operations":[{"op":"update","id":"\#(lead.id)","version":1,"body":{"title":"t"}},"#
                + #"{"op":"update","id":"\#(lead.id)","version":1,"body":{"title":"u"}}]}"#
            let reply = try await api.send(.post, "/v1/leads/batch", body, as: admin)
            #expect(try reply.json["results"]?.array?.map { $0["body"]?["version"]?.integer } == [1, 2])
        }
    }

    /// At the plan's limit a place that one operation gives up is there for the next; of several that want one, the first gets it.
    @Test(arguments: [true, false])
    func operationsUseThePlacesThatOthersGiveUp(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api in
            let free = api.member(limits: ["leads": 2])
            let (first, second) = (
                try await api.create(#"{"last_name":"A"}"#, as: free), try await api.create(#"{"last_name":"B"}"#, as: free)
            )
            let swap =
                #"{"atomic":\#(isAtomic),"operations":[{"op":"delete","id":"\#(first.id)"},{"op":"create","body":{"last_name":"C"}}]}"#
            let swapped = try await api.send(.post, "/v1/leads/batch", swap, as: free)
            #expect(try swapped.json["results"]?.array?.map { $0["status"]?.integer } == [204, 201], "\(swapped.text)")
            if isAtomic { return }
            _ = try await api.send(.delete, "/v1/leads/\(second.id)", as: free)
            let creates = (0..<3).map { #"{"op":"create","body":{"last_name":"D\#($0)"}}"# }.joined(separator: ",")
            let made = try await api.send(.post, "/v1/leads/batch", #"{"operations":[\#(creates)]}"#, as: free)
            #expect(try made.json["results"]?.array?.map { $0["status"]?.integer } == [201, 403, 403], "\(made.text)")
        }
    }

    /// What made a batch fail is told as it was before the batch, which has left nothing.
    @Test func anAtomicBatchTellsTheVersionThatIsThereAfterIt() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let update = #"{"op":"update","id":"\#(lead.id)","body":{"title":"t"}}"#
            let stale = #"{"op":"update","id":"\#(lead.id)","version":7,"body":{"title":"u"}}"#
            let failed = try await api.send(.post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(stale),\#(update)]}"#, as: admin)
            #expect(failed.status == 412)
            #expect(try failed.json["current_version"] == 1 && failed.json["operation"] == 0)
        }
    }

    @Test func eachOperationNeedsItsOwnPermission() async throws {
        try await ResourceAPI.leads { api in
            let sales = api.member(.sales)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: sales)
            let operations = #"[{"op":"create","body":{"last_name":"B"}},{"op":"delete","id":"\#(lead.id)"}]"#
            let separate = try await api.send(.post, "/v1/leads/batch", #"{"operations":\#(operations)}"#, as: sales)
            #expect(try separate.json["results"]?.array?.map { $0["status"]?.integer } == [201, 403])
            let atomic = try await api.send(.post, "/v1/leads/batch", #"{"atomic":true,"operations":\#(operations)}"#, as: sales)
            #expect(atomic.status == 403)
            #expect(try atomic.json["operation"] == 1)
        }
    }

    @Test(arguments: [
        #"{}"#, #"{"operations":[]}"#, #"{"operations":{}}"#, #"{"atomic":"yes","operations":[{"op":"delete"}]}"#, #"{"operation":[]}"#,
        "[]",
    ])
    func aBodyThatIsNoBatchIsRefused(body: String) async throws {
        try await ResourceAPI.leads { api in
            let reply = try await api.send(.post, "/v1/leads/batch", body, as: api.member())
            #expect(reply.status == 422 || reply.status == 400)
            let tooMany = Array(repeating: #"{"op":"create","body":{"last_name":"x"}}"#, count: 201).joined(separator: ",")
            let large = try await api.send(.post, "/v1/leads/batch", #"{"operations":[\#(tooMany)]}"#, as: api.member())
            #expect(try large.faults == ["/operations out_of_range"])
        }
    }

    private static func naming(_ id: String, _ place: Int) -> String {
        #"{"op":"update","id":"\#(id)","body":{"external_id":"e\#((place + 24) % 12)"}}"#
    }

    /// What one of them gives up, the next one takes: never before.
    @Test(arguments: [true, false])
    func uniqueValuesGoFromHandToHandInTheOrderSent(isAtomic: Bool) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            var ids: [String] = []
            for index in 0..<12 { ids.append(try await api.create(#"{"last_name":"A","external_id":"e\#(index)"}"#, as: admin).id) }
            for round in 0..<5 {
                // Each has the value of the one before it then; the first one's goes around.
                var operations = [#"{"op":"update","id":"\#(ids[0])","body":{"external_id":null}}"#]
                for index in 1..<12 {
                    operations.append(Self.naming(ids[index], index - 1 - round))
                }
                operations.append(Self.naming(ids[0], 11 - round))
                let body = #"{"atomic":\#(isAtomic),"operations":[\#(operations.joined(separator: ","))]}"#
                let reply = try await api.send(.post, "/v1/leads/batch?fields=id", body, as: admin)
                let statuses = try reply.json["results"]?.array?.map { $0["status"]?.integer }
                #expect(statuses == Array(repeating: 200, count: 13), "\(reply.text)")
            }
            // A value that is given up too late is taken.
            let late = #"[{"op":"create","body":{"last_name":"B","external_id":"e1"}},{"op":"delete","external_id":"e1"}]"#
            let reply = try await api.send(.post, "/v1/leads/batch", #"{"atomic":\#(isAtomic),"operations":\#(late)}"#, as: admin)
            if isAtomic {
                #expect(try reply.status == 409 && reply.json["operation"] == 0, "\(reply.text)")
            } else {
                #expect(try reply.json["results"]?.array?.map { $0["status"]?.integer } == [409, 204])
            }
        }
    }

    /// Why an operation of an atomic batch fails is what it meets in its turn: what those before it have made of the record.
    @Test(arguments: [
        (#"{"op":"update","id":"ID","body":{"title":"t"}},{"op":"upsert","external_id":"a","version":1,"body":{"title":"u"}}"#, 412, 1),
        (#"{"op":"update","id":"ID","body":{"title":"t"}},{"op":"delete","external_id":"a","version":1}"#, 412, 1),
        (#"{"op":"update","id":"ID","body":{"external_id":"b"}},{"op":"upsert","external_id":"a","version":1,"body":{}}"#, 412, nil),
        (#"{"op":"delete","id":"ID"},{"op":"upsert","external_id":"a","version":1,"body":{"title":"u"}}"#, 412, nil),
        (#"{"op":"delete","id":"ID"},{"op":"upsert","external_id":"a","body":{"title":"u"}}"#, 422, nil),
        (#"{"op":"delete","external_id":"a"},{"op":"update","id":"ID","body":{"title":"u"}}"#, 404, nil),
        (#"{"op":"update","external_id":"a","body":{"external_id":null}},{"op":"update","external_id":"a","body":{}}"#, 404, nil),
        (#"{"op":"upsert","external_id":"n","body":{"last_name":"N"}},{"op":"update","external_id":"n","version":7,"body":{}}"#, 412, 1),
    ])
    func anOperationOfAnAtomicBatchFailsOfWhatItMeets(operations: String, status: Int, version: Int64?) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A","external_id":"a"}"#, as: admin)
            let reply = try await api.send(
                .post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations.replacing("ID", with: lead.id))]}"#, as: admin)
            #expect(reply.status == status, "\(reply.text)")
            #expect(try reply.json["operation"] == 1)
            #expect(try reply.json["current_version"]?.integer == version)
            #expect(try await api.send(.get, "/v1/leads/\(lead.id)", as: admin).json["version"] == 1)
        }
    }
}
