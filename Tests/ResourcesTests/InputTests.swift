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
            for email in ["a..b@c.dd", "a b@c.dd", "ä@b", "\\u202ea@b.cc"] {
                let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A","email":"\#(email)"}"#, as: admin)
                #expect(reply.status == 422, "\(email)")
            }
            for (given, kept) in [
                ("O'Neil+crm@X-y.example", "O'Neil+crm@X-y.example"), ("x@münchen.example", "x@münchen.example"),
                (#" \t\r\nHans+News@Wurst.example\n"#, "Hans+News@Wurst.example"), ("\u{FEFF}a@b.cc\u{A0}", "a@b.cc"),
                ("Jo\u{308}rg@b.cc", "J\u{F6}rg@b.cc"),
            ] {
                let lead = try await api.create(#"{"last_name":"A","email":"\#(given)"}"#, as: admin)
                #expect(Array((lead["email"]?.string ?? "").utf8) == Array(kept.utf8))
            }
        }
    }

    struct Kept: Sendable {
        /// The body's members beside `last_name`, as JSON.
        var given: String
        var member: String
        /// As JSON.
        var kept: String
    }

    /// What people type and paste is taken, and kept as the rules say (`Shared/Decisions/0013-what-is-done-to-given-text.md`).
    @Test(arguments: [
        Kept(given: #""last_name":"  Trim me  ""#, member: "last_name", kept: #""Trim me""#),
        Kept(given: #""last_name":"Re\u0301ne\u0301e""#, member: "last_name", kept: #""R\u00e9n\u00e9e""#),
        Kept(given: #""phone":"+123456789,123""#, member: "phone", kept: #""+123456789,123""#),
        Kept(given: #""phone":"０４０-１２３４""#, member: "phone", kept: #""０４０-１２３４""#),
        Kept(given: #""phone":" 555-CALL-NOW\t""#, member: "phone", kept: #""555-CALL-NOW""#),
        Kept(given: #""phone":"\u202d+49 40 5550101\u202c""#, member: "phone", kept: #""+49 40 5550101""#),
        Kept(given: #""website":" https://kestrel.example/a ""#, member: "website", kept: #""https://kestrel.example/a""#),
        Kept(given: #""address":{"street":"Flat 3\nKestrel House"}"#, member: "address", kept: #"{"street":"Flat 3\nKestrel House"}"#),
        Kept(
            given: #""address":{"street":"Flat 3\r\nKestrel House\r\n","city":" "}"#, member: "address",
            kept: #"{"street":"Flat 3\nKestrel House"}"#),
        Kept(given: #""address":{"city":""}"#, member: "address", kept: "null"),
        Kept(given: #""company":"""#, member: "company", kept: "null"),
        Kept(given: #""company":"\u200b""#, member: "company", kept: "null"),
        Kept(given: #""email":" ","phone":"","website":"""#, member: "website", kept: "null"),
        Kept(given: #""description":"a\r\n\tb\u2028c""#, member: "description", kept: #""a\n\tb\nc""#),
        Kept(given: #""tags":[" VIP ","vip","e\u0301","\u00c9","two words"]"#, member: "tags", kept: #"["VIP","\u00e9","two words"]"#),
        Kept(given: #""score":42.0"#, member: "score", kept: "42"), Kept(given: #""score":4.2e1"#, member: "score", kept: "42"),
        Kept(given: #""custom":{"a":1e-7}"#, member: "custom", kept: #"{"a":1e-7}"#),
        Kept(given: #""custom":{"a":1e21}"#, member: "custom", kept: #"{"a":1e21}"#),
        Kept(given: #""custom":{"a":6.02e23,"b":-0.0e99999}"#, member: "custom", kept: #"{"a":602e21,"b":0}"#),
        Kept(given: #""custom":{"a":1e308,"b":-1e-308}"#, member: "custom", kept: #"{"a":1e308,"b":-1e-308}"#),
        Kept(given: #""custom":{"a":" x ","b":""}"#, member: "custom", kept: #"{"a":"x"}"#),
    ])
    func whatPeopleTypeIsKept(_ kept: Kept) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let name = kept.member == "last_name" ? "" : #""last_name":"A","#
            let lead = try await api.create("{\(name)\(kept.given)}", as: admin)
            let read = try await api.send(.get, "/v1/leads/\(lead.id)", as: admin).json
            let patched = try await api.send(.patch, "/v1/leads/\(lead.id)", "{\(kept.given)}", as: admin)
            #expect(patched.status == 200, "\(patched.text)")
            for object in [lead, read, try patched.json] {
                #expect(object[kept.member]?.canonical.bytes == (try JSONParser.parse(kept.kept)).canonical.bytes, "\(object)")
            }
        }
    }

    @Test(arguments: [
        (#""last_name":"\u200b""#, "/last_name required"), (#""last_name":"\u2800""#, "/last_name required"),
        (#""last_name":"\u0301""#, "/last_name required"), (#""last_name":"""#, "/last_name required"),
        (#""last_name":"\u202eevil""#, "/last_name invalid_text"), (#""last_name":"a\u009bb""#, "/last_name invalid_text"),
        (#""last_name":"a\ufffeb""#, "/last_name invalid_text"), (#""last_name":"a\nb""#, "/last_name invalid_text"),
        (#""company":"a\u2067b""#, "/company invalid_text"), (#""description":"a\u0007""#, "/description invalid_text"),
        (#""phone":"12""#, "/phone invalid_format"), (#""score":4.25"#, "/score invalid_type"), (#""score":1e400"#, "/score out_of_range"),
        (#""score":100.5"#, "/score invalid_type"), (#""custom":{"a":1e309}"#, "/custom/a out_of_range"),
        (#""custom":{"a":1e-309}"#, "/custom/a out_of_range"), (#""custom":{"a":"b\u0000"}"#, "/custom/a invalid_text"),
        (#""tags":["\u200b"]"#, "/tags/0 too_short"), (#""tags":["a,b"]"#, "/tags/0 invalid_text"),
        (#""address":{"city":"a\nb"}"#, "/address/city invalid_text"),
    ])
    func whatCannotBeKeptIsRefused(given: String, fault: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let name = given.contains("last_name") ? "" : #""last_name":"A","#
            let reply = try await api.send(.post, "/v1/leads", "{\(name)\(given)}", as: admin)
            #expect(reply.status == 422, "\(reply.text)")
            #expect(try reply.faults == [fault])
        }
    }

    /// A filter's value is read as the body's was, so that what was given finds what was kept; nothing is no value.
    @Test func aFilterReadsItsValueAsTheBodyDoes() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(#"{"last_name":"A","company":" Caf\u00e9 ","email":"a@b.cc","tags":[" VIP "]}"#, as: admin)
            for query in ["company=Cafe%CC%81%20", "email=%20a@b.cc%0A", "tag=%20VIP"] {
                #expect(try await api.send(.get, "/v1/leads?\(query)", as: admin).column("last_name").count == 1, "\(query)")
            }
            for query in ["company=", "company=%20", "company=%E2%80%8B", "email=", "tag=", "tag=VIP,", "custom.a=", "q=%E2%80%8B"] {
                let reply = try await api.send(.get, "/v1/leads?\(query)", as: admin)
                #expect(reply.status == 400, "\(query)")
                #expect(try reply.faults == ["?\(query.split(separator: "=")[0]) too_short"])
            }
        }
    }

    /// Ids are made in the order sent, and rows of one transaction have one time, so the list tells them in that order.
    @Test func recordsOfOneBatchAreListedInTheOrderSent() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let names = (0..<200).map { "n\($0)" }
            let operations = names.map { #"{"op":"create","body":{"last_name":"\#($0)"}}"# }.joined(separator: ",")
            let reply = try await api.send(.post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations)]}"#, as: admin)
            #expect(reply.status == 200, "\(reply.text)")
            let list = try await api.send(.get, "/v1/leads?sort=created_at&limit=200", as: admin)
            #expect(try list.column("last_name").compactMap(\.string) == names)
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

    /// However much is unknown: the answer stays short and repeats no long name. The last name is of characters of many scalars.
    @Test func aFloodOfUnknownNamesIsAnsweredShortly() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let names =
                (0..<2_000).map { "unknown_\($0)" } + [
                    String(repeating: "n", count: 5_000), String(repeating: "a" + String(repeating: "\u{301}", count: 30), count: 160),
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
            let query = names.prefix(98).joined(separator: "&")
            let listed = try await api.send(.get, "/v1/leads?\(query)&\(String(repeating: "n", count: 5_000))", as: admin)
            #expect(try listed.faults.count == 50)
        }
    }

    @Test(arguments: [
        ("{", "invalid_json", 400), (#"{"last_name":"A","last_name":"B"}"#, "invalid_json", 400), ("[]", "validation_failed", 422),
        ("null", "validation_failed", 422), (#"{"last_name":"\ud800"}"#, "invalid_json", 400), ("{}", "validation_failed", 422),
        (#"{"last_name":null}"#, "validation_failed", 422), (#"{"last_name":"A","score":1.5}"#, "validation_failed", 422),
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
        ("created_at[gt]=yesterday", "invalid_parameter", "?created_at[gt]"), ("after=abc", "invalid_cursor", "?after"),
        ("deleted=all", "invalid_parameter", "?deleted"), ("count=yes", "invalid_parameter", "?count"), ("q=", "invalid_parameter", "?q"),
        ("expand=ownr", "invalid_parameter", "?expand"), ("custom.Bad=1", "unknown_parameter", "?custom.Bad"),
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
