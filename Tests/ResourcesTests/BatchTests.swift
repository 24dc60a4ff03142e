import Core
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
            #expect(try await api.events() == ["lead.created", "lead.created", "lead.updated"])
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
}
