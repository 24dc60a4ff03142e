import Core
import Postgres
import TestSupport
import Testing

@Suite struct PhoneTests {
    /// Case 1, and the same with its country known.
    @Test(arguments: [
        ("+81 3-1234-5678", nil, "+81312345678"), ("03-1234-5678", "JP", "+81312345678"), ("０３－１２３４－５６７８", "JP", "+81312345678"),
        ("010 81 3 1234 5678 ext. 9", "JP", "+81312345678"), ("03-1234-5678", nil, nil), ("555-CALL-NOW", "US", "+15552255669"),
        ("555-CALL-NOW", nil, nil), ("+123456789,123", "JP", nil), ("０４０-１２３４", "DE", "+49401234"), ("112", "JP", nil),
    ])
    func aNumberIsKeptAsGivenWithE164BesideIt(given: String, country: String?, number: String?) async throws {
        try await ResourceAPI.leads { api in
            var admin = api.member()
            admin.country = country
            let body = (["last_name": "A", "phone": .string(given)] as JSON).description
            let key = ["Idempotency-Key": "k"]
            let reply = try await api.send(.post, "/v1/leads", body, as: admin, headers: key)
            #expect(reply.status == 201, "\(reply.text)")
            #expect(try reply.json["phone"] == .string(given))
            #expect(try reply.json["phone_e164"] == number.map(JSON.string) ?? .null)
            #expect(try await api.send(.post, "/v1/leads", body, as: admin, headers: key).body == reply.body)
            #expect(try await api.send(.get, "/v1/leads/\(try reply.json.id)", as: admin).body == reply.body)
            // Either way it is found by what was given.
            let query = "/v1/leads?fields=phone_e164&phone=\(given.replacing(",", with: "\\,").asQuery)"
            let found = try await api.send(.get, query, as: admin)
            #expect(try found.column("phone_e164") == [number.map(JSON.string) ?? .null], "\(found.text)")
            #expect(try await api.send(.get, query, as: api.member(tenant: TenantID())).column("phone_e164") == [])
        }
    }

    @Test func aNumberIsFoundHoweverItIsWritten() async throws {
        try await ResourceAPI.leads { api in
            var admin = api.member()
            admin.country = "JP"
            for (name, phone) in [
                ("abroad", "+81 3-1234-5678"), ("home", "03-1234-5678"), ("wide", "（０３）１２３４　５６７８"), ("extension", "0312345678,12"),
                ("other", "03-1234-5679"), ("unread", "1234-5678"), ("none", ""),
            ] {
                _ = try await api.create((["last_name": .string(name), "phone": .string(phone)] as JSON).description, as: admin)
            }
            func names(_ query: String, as member: RequestContext) async throws -> [String] {
                let reply = try await api.send(.get, "/v1/leads?sort=last_name&\(query)", as: member)
                try #require(reply.status == 200, "\(query): \(reply.text)")
                return try reply.column("last_name").compactMap(\.string)
            }
            let all = ["abroad", "extension", "home", "wide"]
            for spelling in ["+81312345678", "03-1234-5678", "0312345678", "+81 (0)3 1234 5678", "81312345678", "010-81-3-1234-5678"] {
                #expect(try await names("phone=\(spelling.asQuery)", as: admin) == all, "\(spelling)")
            }
            // A plus left bare is a blank in a query, and nothing else can stand before the first digit.
            #expect(try await names("phone=+81312345678", as: admin) == all)
            #expect(try await names("phone=1234-5678", as: admin) == ["unread"])
            #expect(try await names("phone=1234-5678,0312345679&count=exact", as: admin) == ["other", "unread"])
            #expect(try await names("phone=0312345678&last_name=home", as: admin) == ["home"])
            #expect(try await names("phone=0312345678&q=wid", as: admin) == ["wide"])
            // Elsewhere the same digits are another number.
            #expect(try await names("phone=0312345678", as: api.member()) == [])
            #expect(try await names("phone=%2B81312345678", as: api.member()) == all)

            let home = try #require(try await api.send(.get, "/v1/leads?last_name=home", as: admin).json["data"]?[0])
            #expect(try await api.send(.delete, "/v1/leads/\(home.id)", as: admin).status == 204)
            #expect(try await names("phone=0312345678", as: admin) == ["abroad", "extension", "wide"])
            #expect(try await names("phone=0312345678&deleted=only", as: admin) == ["home"])
            #expect(try await names("phone=0312345678&deleted=include&limit=2", as: admin) == ["abroad", "extension"])

            for name in ["phone[not]", "phone[prefix]", "phone[null]", "phone_e164", "phone_e164[gt]"] {
                let refused = try await api.send(.get, "/v1/leads?\(name)=true", as: admin)
                #expect(try refused.code == "unknown_parameter", "\(name): \(refused.text)")
            }
            #expect(try await api.send(.get, "/v1/leads?phone=12", as: admin).code == "invalid_parameter")
        }
    }

    /// Some records have what was read, others what was given while nobody could read it: pages go through both.
    @Test func whatIsFoundByANumberComesInTheListsOrder() async throws {
        try await ResourceAPI.leads { api in
            var admin = api.member()
            for index in 0..<6 {
                admin.country = index % 2 == 0 ? "JP" : nil
                _ = try await api.create(#"{"last_name":"\#(index)","phone":"03-1234-5678"}"#, as: admin)
            }
            admin.country = "JP"
            for sort in ["created_at", "-created_at", "last_name", "-updated_at"] {
                let all = try await api.send(.get, "/v1/leads?sort=\(sort)", as: admin).column("last_name").compactMap(\.string)
                for (phone, names) in [
                    ("03-1234-5678", all), ("%2B81312345678", all.filter(["0", "2", "4"].contains)), ("03-1234-5678,%2B81312345678", all),
                ] {
                    var found: [String] = []
                    var next: String? = ""
                    while let cursor = next {
                        let after = cursor.isEmpty ? "" : "&after=\(cursor)"
                        let reply = try await api.send(.get, "/v1/leads?phone=\(phone)&sort=\(sort)&limit=2\(after)", as: admin)
                        try #require(reply.status == 200, "\(reply.text)")
                        found += try reply.column("last_name").compactMap(\.string)
                        next = try reply.next
                    }
                    #expect(found == names, "\(phone), \(sort)")
                }
            }
        }
    }

    @Test func aNumberIsReadAgainOnlyWhenItIsGivenAgain() async throws {
        try await ResourceAPI.leads { api in
            var admin = api.member()
            admin.country = "JP"
            let lead = try await api.create(#"{"last_name":"A","phone":"03-1234-5678"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            func patch(_ body: String, _ version: String) async throws -> JSON {
                let reply = try await api.send(.patch, path, body, as: admin)
                #expect(reply.status == 200 && reply.header("etag") == "\"\(version)\"", "\(reply.text)")
                return try reply.json
            }
            admin.country = "DE"
            #expect(try await patch(#"{"title":"T"}"#, "2")["phone_e164"] == "+81312345678")
            #expect(try await patch(#"{"phone":"03-1234-5678"}"#, "3")["phone_e164"] == "+49312345678")
            #expect(try await patch(#"{"phone":"03-1234-5678"}"#, "3")["phone_e164"] == "+49312345678")
            #expect(try await patch(#"{"phone":"room 123"}"#, "4")["phone_e164"] == .null)
            #expect(try await patch(#"{"phone":"+49 30 1234567"}"#, "5")["phone_e164"] == "+49301234567")
            let cleared = try await patch(#"{"phone":null}"#, "6")
            #expect(cleared["phone"] == .null && cleared["phone_e164"] == .null)
            let given = try await api.send(.patch, path, #"{"phone_e164":"+49301234567"}"#, as: admin)
            #expect(try given.faults == ["/phone_e164 read_only"], "\(given.text)")

            // In the trail they stand beside each other.
            let events = try await TestPostgres.withClient(api.database.system) { client in
                try await client.batch(
                    as: SystemContext(service: "test"),
                    ["select coalesce(payload -> 'after' ->> 'phone_e164', '-') from outbox where type = 'lead.updated' order by id"]
                )[0].map { try $0.decode(0, as: String.self) }
            }
            #expect(events == ["-", "+49312345678", "-", "+49301234567", "-"])
        }
    }

    @Test func upsertsAndBatchesReadNumbersToo() async throws {
        try await ResourceAPI.contacts { api in
            var admin = api.member()
            admin.country = "AT"
            let path = "/v1/contacts/by-external-id/a"
            let made = try await api.send(.put, path, #"{"last_name":"A","phone":"01 5880 10"}"#, as: admin)
            #expect(try made.status == 201 && made.json["phone_e164"] == "+431588010", "\(made.text)")
            let changed = try await api.send(.put, path, #"{"phone":"0664 1234567"}"#, as: admin)
            #expect(try changed.status == 200 && changed.json["phone_e164"] == "+436641234567", "\(changed.text)")
            let batch = try await api.send(
                .post, "/v1/contacts/batch",
                #"{"atomic":true,"operations":[{"op":"create","body":{"last_name":"B","phone":"01 5880 10"}},"#
                    + #"{"op":"upsert","external_id":"a","body":{"phone":"+41 44 668 18 00"}}]}"#, as: admin)
            let numbers = try batch.json["results"]?.array?.map { $0["body"]?["phone_e164"] }
            #expect(numbers == ["+431588010", "+41446681800"], "\(batch.text)")
        }
    }
}
