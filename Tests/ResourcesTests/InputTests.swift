import Core
import Testing

@Suite struct InputTests {
    @Test func everyFaultOfABodyIsNamedAtOnce() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let reply = try await api.send(
                .post, "/v1/leads",
                """
                {"last_name":"  ","email":"nobody","phone":"call me","website":"ftp://x","score":101,"status":"converted","tags":["ok","",1],
                 "address":{"city":5},"custom":{"Bad Key":1,"list":[1],"big":1e999},"owner_id":"me","version":3,"id":"x","title":"a\\u0000b",
                 "first_name":"\(String(repeating: "é", count: 101))"}
                """, as: admin)
            #expect(reply.status == 422)
            #expect(try reply.code == "validation_failed")
            #expect(
                try reply.faults == [
                    "/address/city invalid_type", "/custom/Bad Key invalid_format", "/custom/big out_of_range", "/custom/list invalid_type",
                    "/email invalid_format", "/first_name too_long", "/id read_only", "/last_name required", "/owner_id invalid_format",
                    "/phone invalid_format", "/score out_of_range", "/status not_allowed", "/tags/1 too_short", "/tags/2 invalid_type",
                    "/title invalid_text", "/version read_only", "/website invalid_format",
                ])
            #expect(try await api.events() == [])
        }
    }

    /// The rule of those who sign in: a lead's address is one that could be invited.
    @Test func anEmailIsHeldToTheOneRule() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            for email in ["a..b@c.dd", " a@b.cc", "a@b.cc ", "ä@b.cc"] {
                let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A","email":"\#(email)"}"#, as: admin)
                #expect(try reply.faults == ["/email invalid_format"], "\(email)")
            }
            let fine = try await api.send(.post, "/v1/leads", #"{"last_name":"A","email":"O'Neil+crm@X-y.example"}"#, as: admin)
            #expect(fine.status == 201)
        }
    }

    @Test func anUnknownMemberIsNamedWithTheNearestOne() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let reply = try await api.send(
                .post, "/v1/leads", #"{"last_nam":"A","score":"high","address":{"town":"X"},"a/b":1}"#, as: admin)
            #expect(reply.status == 400)
            #expect(try reply.code == "unknown_member")
            #expect(
                try reply.faults == [
                    "/address/town unknown_member", "/a~1b unknown_member", "/last_nam unknown_member", "/last_name required",
                    "/score invalid_type",
                ])
            #expect(reply.text.contains("Did you mean 'last_name'?"))
        }
    }

    /// However much is unknown: the answer stays short and repeats no long name. The last name is one character of many scalars.
    @Test func aFloodOfUnknownNamesIsAnsweredShortly() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let names =
                (0..<2_000).map { "unknown_\($0)" } + [
                    String(repeating: "n", count: 5_000), "a" + String(repeating: "\u{301}", count: 5_000),
                ]
            let members = names.reversed().map { "\"\($0)\":1" }.joined(separator: ",")
            let operation = "{\"op\":\"create\",\"body\":{\(members)}}"
            let crowded = "{\"op\":\"create\",\(members)}"
            for (target, body, limit) in [
                ("/v1/leads", "{\(members)}", 50), ("/v1/leads/batch", "{\(members)}", 50),
                ("/v1/leads/batch", "{\"atomic\":true,\"operations\":[\(operation),\(operation),\(crowded)]}", 50),
                ("/v1/leads/batch", "{\"operations\":[\(operation),\(operation),\(crowded)]}", 52),
            ] {
                let reply = try await api.send(.post, target, body, as: admin)
                let faults = reply.text.matches(of: /"pointer":/).count
                #expect(faults == limit, "\(target) \(body.prefix(40))")
                #expect(!reply.text.contains(String(repeating: "n", count: 65)))
                #expect(reply.body.count < 16_384)
            }
            let query = names.prefix(1_000).joined(separator: "&")
            let listed = try await api.send(.get, "/v1/leads?\(query)&\(String(repeating: "n", count: 5_000))", as: admin)
            #expect(try listed.faults.count == 50)
        }
    }

    @Test(arguments: [
        ("{", "invalid_json", 400), (#"{"last_name":"A","last_name":"B"}"#, "invalid_json", 400), ("[]", "validation_failed", 422),
        ("null", "validation_failed", 422), (#"{"last_name":"\ud800"}"#, "invalid_json", 400), ("{}", "validation_failed", 422),
        (#"{"last_name":null}"#, "validation_failed", 422), (#"{"last_name":"A","score":1.0}"#, "validation_failed", 422),
        (#"{"last_name":"A","tenant_id":"x"}"#, "unknown_member", 400), (#"{"last_name":"A","deleted_at":null}"#, "unknown_member", 400),
        (#"{"last_name":"A","status":null}"#, "validation_failed", 422), (#"{"last_name":"A","tags":"x"}"#, "validation_failed", 422),
    ])
    func aBadBodyIsRefused(body: String, code: String, status: Int) async throws {
        try await ResourceAPI.leads { api in
            let reply = try await api.send(.post, "/v1/leads", body, as: api.member())
            #expect(reply.status == status)
            #expect(try reply.code == code)
        }
    }

    @Test func anotherMediaTypeIsRefused() async throws {
        try await ResourceAPI.leads { api in
            let reply = try await api.send(.post, "/v1/leads", as: api.member(), headers: ["content-type": "text/plain"])
            #expect(reply.status == 415)
        }
    }

    /// A body where there is nothing to say is looked at all the same.
    @Test func aBodyThatWouldBeIgnoredIsRefused() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            for body in ["{}", "[1]", #"{"reason":"x"}"#, "x"] {
                let reply = try await api.send(.delete, path, body, as: admin)
                #expect(reply.status == 400)
                #expect(try reply.code == "invalid_parameter")
                #expect(try reply.faults == [" not_allowed"])
            }
            #expect(try await api.send(.delete, path, as: admin).status == 204)
            for body in ["[1]", #""x""#, "1", "null", "[]"] {
                let reply = try await api.send(.post, "\(path)/restore", body, as: admin)
                #expect(reply.status == 422)
                #expect(try reply.code == "validation_failed")
                #expect(try reply.faults == [" invalid_type"])
            }
            #expect(try await api.send(.post, "\(path)/restore", "[", as: admin).code == "invalid_json")
            #expect(try await api.send(.post, "\(path)/restore", #"{"reason":"x"}"#, as: admin).code == "unknown_member")
            #expect(try await api.send(.post, "\(path)/restore", "{}", as: admin).status == 200)
            #expect(try await api.events() == ["lead.created", "lead.deleted", "lead.restored"])
        }
    }

    @Test func aReferenceToNobodyIsNotFound() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let stranger = try await api.send(.post, "/v1/leads", #"{"last_name":"A","owner_id":"\#(UserID())"}"#, as: admin)
            #expect(stranger.status == 422)
            #expect(try stranger.code == "reference_not_found")
            #expect(try stranger.faults == ["/owner_id reference_not_found"])
            let colleague = try await api.create(#"{"last_name":"A","owner_id":"\#(api.colleague)"}"#, as: admin)
            #expect(colleague["owner_id"]?.string == api.colleague.description)
        }
    }

    @Test func aRequiredMemberCannotBeCleared() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let reply = try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"last_name":null,"status":null}"#, as: admin)
            #expect(try reply.faults == ["/last_name required", "/status not_nullable"])
        }
    }

    @Test func moreThanFiftyCustomFieldsAreRefusedAlsoWhenAPatchAddsThem() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            func custom(_ range: ClosedRange<Int>) -> String { range.map { "\"k\($0)\":\($0)" }.joined(separator: ",") }
            let lead = try await api.create(#"{"last_name":"A","custom":{\#(custom(1...50))}}"#, as: admin)
            let more = try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"custom":{"k51":1}}"#, as: admin)
            #expect(more.status == 422)
            #expect(try more.faults == ["/custom out_of_range"])
            let swapped = try await api.send(.patch, "/v1/leads/\(lead.id)", #"{"custom":{"k1":null,"k51":1}}"#, as: admin)
            #expect(swapped.status == 200)
        }
    }

    @Test(arguments: [
        ("limit=0", "invalid_parameter", "?limit"), ("limit=201", "invalid_parameter", "?limit"),
        ("limti=5", "unknown_parameter", "?limti"),
        ("sort=first_name", "invalid_parameter", "?sort"), ("fields=id,emial", "invalid_parameter", "?fields"),
        ("status=lost", "invalid_parameter", "?status"), ("owner_id=me", "invalid_parameter", "?owner_id"),
        ("created_after=yesterday", "invalid_parameter", "?created_after"), ("after=abc", "invalid_cursor", "?after"),
        ("deleted=all", "invalid_parameter", "?deleted"), ("count=yes", "invalid_parameter", "?count"), ("q=", "invalid_parameter", "?q"),
        ("expand=owner", "unknown_parameter", "?expand"), ("custom.Bad=1", "unknown_parameter", "?custom.Bad"),
        ("status=new,,contacted", "invalid_parameter", "?status"), ("score=a", "invalid_parameter", "?score"),
    ])
    func aBadParameterIsRefusedByName(query: String, code: String, pointer: String) async throws {
        try await ResourceAPI.leads { api in
            let reply = try await api.send(.get, "/v1/leads?\(query)", as: api.member())
            #expect(reply.status == 400)
            #expect(try reply.code == code)
            #expect(try reply.json["errors"]?[0]?["pointer"]?.string == pointer)
        }
    }
}
