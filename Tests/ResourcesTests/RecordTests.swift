import Core
import Testing

@Suite struct RecordTests {
    @Test func aCreatedLeadIsAnsweredWholeAndReadBack() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let reply = try await api.send(
                .post, "/v1/leads",
                """
                {"first_name":"Änne","last_name":"O'Neil \\"x\\" \\\\ ","email":"anna@example.com","tags":["a b","c\\"d","é","NULL"],
                 "score":42,"address":{"city":"Köln","country":null},"custom":{"size":12.50,"vip":true,"note":"x"},"website":"https://a.example/x"}
                """, as: admin)
            #expect(reply.status == 201, "\(reply.text)")
            let lead = try reply.json
            #expect(reply.header("location") == "/v1/leads/\(lead.id)")
            #expect(reply.header("etag") == "\"1\"")
            #expect(lead["version"] == 1)
            #expect(lead["last_name"]?.string == "O'Neil \"x\" \\")
            #expect(lead["tags"] == ["a b", "c\"d", "é", "NULL"])
            #expect(lead["address"] == ["city": "Köln"])
            #expect(lead["custom"]?["size"] == .number("12.50"))
            #expect(lead["custom"]?["vip"] == true)
            #expect(lead["status"] == "new")
            #expect(lead["company"] == .null)
            #expect(lead["owner_id"]?.string == admin.user.description)
            #expect(lead["created_by"]?.string == admin.user.description)
            #expect(lead["created_at"]?.string.flatMap { Timestamp($0) } != nil)
            #expect(lead["created_at"]?.string?.count == 24)

            let read = try await api.send(.get, "/v1/leads/\(lead.id)", as: admin)
            #expect(read.status == 200)
            #expect(read.body == reply.body)
            let unchanged = try await api.send(.get, "/v1/leads/\(lead.id)", as: admin, headers: ["If-None-Match": "W/\"1\", \"7\""])
            #expect(unchanged.status == 304)
            #expect(unchanged.body.isEmpty)
            let sparse = try await api.send(.get, "/v1/leads/\(lead.id)?fields=email,id", as: admin)
            #expect(try sparse.json.object?.names == ["id", "email"])
            #expect(try await api.events() == ["lead.created"])
        }
    }

    @Test func aPatchClearsWhatIsNullKeepsWhatIsAbsentAndMergesObjects() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(
                #"{"last_name":"A","company":"C","phone":"+49 30 123","address":{"city":"Köln","street":"X"},"custom":{"a":1,"b":2}}"#,
                as: admin)
            let reply = try await api.send(
                .patch, "/v1/leads/\(lead.id)",
                #"{"company":null,"address":{"city":null,"region":"NRW"},"custom":{"a":null,"c":"3"},"status":"contacted"}"#, as: admin)
            #expect(reply.status == 200, "\(reply.text)")
            #expect(reply.header("etag") == "\"2\"")
            let changed = try reply.json
            #expect(changed["company"] == .null)
            #expect(changed["phone"] == "+49 30 123")
            #expect(changed["address"] == ["region": "NRW", "street": "X"])
            #expect(changed["custom"] == ["b": 2, "c": "3"])
            #expect(changed["status"] == "contacted")

            let cleared = try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"address":null,"tags":null,"owner_id":null}"#, as: admin)
            #expect(try cleared.json["address"] == .null)
            #expect(try cleared.json["tags"] == [])
            #expect(try cleared.json["owner_id"] == .null)
            let nothing = try await api.send(.patch, "/v1/leads/\(lead.id)", "{}", as: admin)
            #expect(nothing.body == cleared.body)
            #expect(try await api.events() == ["lead.created", "lead.updated", "lead.updated"])
        }
    }

    @Test func aStaleVersionIsRefusedWithTheCurrentOne() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            let current = ["If-Match": "\"1\""]
            #expect(try await api.send(.patch, path, #"{"title":"x"}"#, as: admin, headers: current).status == 200)
            for (method, body) in [(Core.Method.patch, #"{"title":"y"}"#), (.patch, "{}"), (.delete, nil)] {
                let stale = try await api.send(method, path, body, as: admin, headers: current)
                #expect(stale.status == 412)
                #expect(try stale.json["current_version"] == 2)
            }
            #expect(try await api.send(.delete, path, as: admin, headers: ["If-Match": "W/\"2\""]).status == 412)
            #expect(try await api.send(.delete, path, as: admin, headers: ["If-Match": "2"]).code == "invalid_parameter")
            #expect(try await api.send(.delete, path, as: admin, headers: ["If-Match": "\"1\", \"2\""]).status == 204)
            #expect(try await api.send(.post, "\(path)/restore", as: admin, headers: ["If-Match": "\"2\""]).status == 412)
        }
    }

    @Test func aDeletedLeadIsGoneUntilItIsRestored() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            #expect(try await api.send(.post, "\(path)/restore", as: admin).code == "conflict")
            let deleted = try await api.send(.delete, path, as: admin)
            #expect(deleted.status == 204)
            #expect(deleted.body.isEmpty)
            #expect(try await api.send(.get, path, as: admin).status == 404)
            #expect(try await api.send(.delete, path, as: admin).status == 404)
            #expect(try await api.send(.patch, path, #"{"title":"x"}"#, as: admin).status == 404)
            #expect(try await api.send(.get, "/v1/leads", as: admin).column("id") == [])
            #expect(try await api.send(.get, "/v1/leads?deleted=only", as: admin).column("id") == [.string(lead.id)])
            let restored = try await api.send(.post, "\(path)/restore", "{}", as: admin)
            #expect(restored.status == 200)
            #expect(restored.header("etag") == "\"3\"")
            #expect(try await api.send(.get, path, as: admin).body == restored.body)
            #expect(try await api.events() == ["lead.created", "lead.deleted", "lead.restored"])
        }
    }

    @Test func ticketsAreNumberedForEachTenantFromOne() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            let other = api.member(tenant: TenantID())
            try await withThrowingTaskGroup { group in
                for _ in 0..<10 { group.addTask { _ = try await api.create(#"{"subject":"Help"}"#, as: admin) } }
                try await group.waitForAll()
            }
            let numbers = try await api.send(.get, "/v1/tickets?sort=number", as: admin).column("number")
            #expect(numbers == (1...10).map { JSON.number($0) })
            #expect(try await api.create(#"{"subject":"Help"}"#, as: other)["number"] == 1)
            let refused = try await api.send(.post, "/v1/tickets", #"{"subject":"x","number":5}"#, as: admin)
            #expect(refused.status == 422)
            #expect(try refused.faults == ["/number read_only"])
        }
    }

    @Test func aPlanLimitIsExactUnderConcurrency() async throws {
        try await ResourceAPI.leads { api in
            let free = api.member(limits: ["leads": 100])
            let operations = (1...99).map { #"{"op":"create","body":{"last_name":"L\#($0)"}}"# }.joined(separator: ",")
            let filled = try await api.send(.post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations)]}"#, as: free)
            try #require(filled.status == 200, "\(filled.text)")
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<50 {
                    group.addTask { try await api.send(.post, "/v1/leads", #"{"last_name":"N\#(index)"}"#, as: free).status }
                }
                return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            }
            #expect(statuses == [201: 1, 403: 49])
            let refused = try await api.send(.post, "/v1/leads", #"{"last_name":"N"}"#, as: free)
            #expect(try refused.code == "plan_limit_reached")
            // A deleted lead gives its place free, and cannot take it back once it is taken.
            let some = try await api.send(.get, "/v1/leads?limit=1", as: free).column("id")[0].string ?? ""
            #expect(try await api.send(.delete, "/v1/leads/\(some)", as: free).status == 204)
            #expect(try await api.send(.post, "/v1/leads", #"{"last_name":"N"}"#, as: free).status == 201)
            #expect(try await api.send(.post, "/v1/leads/\(some)/restore", as: free).code == "plan_limit_reached")
        }
    }

    /// Case 11: values that the record has already are no change; a colleague's `ETag` from before stays good.
    @Test(arguments: [
        #"{"title":"Buyer"}"#, #"{"tags":["a","b"],"score":7}"#, #"{"custom":{"k":1,"none":null}}"#, #"{"address":{"city":"Bonn"}}"#,
        #"{"last_name":"A","email":null}"#,
    ])
    func aPatchThatChangesNothingChangesNothing(patch: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(
                #"{"last_name":"A","title":"Buyer","tags":["a","b"],"score":7,"custom":{"k":1},"address":{"city":"Bonn"}}"#, as: admin)
            let before = try await api.send(.get, "/v1/leads/\(lead.id)", as: admin)
            for headers in [["Idempotency-Key": "k"], ["Idempotency-Key": "k"], ["If-Match": "\"1\""], [:]] {
                let reply = try await api.send(.patch, "/v1/leads/\(lead.id)", patch, as: admin, headers: headers)
                #expect(reply.status == 200 && reply.body == before.body, "\(reply.text)")
                #expect(reply.header("etag") == before.header("etag"))
            }
            let stale = try await api.send(.patch, "/v1/leads/\(lead.id)", patch, as: admin, headers: ["If-Match": "\"2\""])
            #expect(stale.status == 412)
            #expect(try await api.events() == ["lead.created"])
            let colleague = try await api.send(
                .patch, "/v1/leads/\(lead.id)", #"{"title":"Chief"}"#, as: admin, headers: ["If-Match": "\"1\""])
            #expect(colleague.status == 200)
        }
    }

    /// E17: whoever makes a record that nobody owns can go on with it; when someone else owns it, it is theirs.
    @Test func aRecordThatNobodyOwnsIsItsMakers() async throws {
        try await ResourceAPI.leads { api in
            let sales = api.member(.sales)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: sales)
            #expect(try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"owner_id":null}"#, as: sales).status == 200)
            #expect(try await api.send(.get, "/v1/leads/\(lead.id)", as: sales).status == 200)
            #expect(try await api.send(.get, "/v1/leads", as: sales).column("id").count == 1)
            let given = try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"owner_id":"\#(api.colleague)"}"#, as: api.member())
            #expect(given.status == 200)
            #expect(try await api.send(.get, "/v1/leads/\(lead.id)", as: sales).status == 404)
            #expect(try await api.send(.get, "/v1/leads?owner_id=\(api.colleague)", as: api.member()).column("id").count == 1)
        }
    }
}
