import CRM
import Core
import Postgres
import TestSupport
import Testing

@testable import Resources

/// Records that may be one: who is told of them, and creations that make none.
@Suite struct DuplicateTests {
    private func run(_ body: (ResourceAPI) async throws -> Void) async throws {
        try await ResourceAPI.run(
            Contact.definition, Account.definition, Lead.definition, Note.definition, Deal.definition, Pipeline.definition
        ) { try await body($0) }
    }

    private func dialling(from country: String, _ context: RequestContext) -> RequestContext {
        var context = context
        context.country = country
        return context
    }

    /// The record that is asked about is one of two that share everything; what is deleted or another tenant's is none.
    @Test func candidatesAreTheLikeliestFirstWithTheirReasons() async throws {
        try await run { api in
            let admin = dialling(from: "DE", api.member())
            let asked = try await api.create(
                #"{"first_name":"Jürgen","last_name":"Okafor","email":"J.Okafor@kestrel.example","phone":"+49 40 5550101"}"#, as: admin)
            func make(_ body: String, as caller: RequestContext? = nil) async throws -> String {
                try await api.create(body, as: caller ?? admin).id
            }
            let same = try await make(
                #"{"first_name":"Juergen","last_name":"Okafor","email":"j.okafor@KESTREL.example","phone":"0049 (40) 555-0101"}"#)
            let mail = try await make(#"{"last_name":"Ng","email":"j.okafor@kestrel.example"}"#)
            let phone = try await make(#"{"last_name":"Li","phone":"+49405550101"}"#)
            let name = try await make(#"{"first_name":"Jürgen","last_name":"Okafoor"}"#)
            let turned = try await make(#"{"first_name":"Okafor","last_name":"Jürgen"}"#)
            _ = try await make(#"{"first_name":"Jürgen","last_name":"Schmidt"}"#)
            let gone = try await make(#"{"last_name":"Okafor","email":"j.okafor@kestrel.example"}"#)
            #expect(try await api.send(.delete, "/v1/contacts/\(gone)", as: admin).status == 204)
            _ = try await make(#"{"last_name":"Okafor","email":"j.okafor@kestrel.example"}"#, as: api.member(tenant: TenantID()))

            let found = try await api.send(.get, "/v1/contacts/\(asked.id)/duplicates", as: admin)
            #expect(found.status == 200, "\(found.text)")
            let data = try found.json["data"]?.array ?? []
            #expect(data.map { $0["record"]?.id } == [same, mail, phone, turned, name], "\(found.text)")
            try #require(data.count == 5)
            func reasons(_ place: Int) -> [String] {
                (data[place]["reasons"]?.array ?? []).map { "\($0["field"]?.string ?? "") \($0["score"]?.integer ?? 0)" }
            }
            #expect(reasons(0).prefix(2) == ["email 90", "phone 75"] && reasons(0).count == 3, "\(reasons(0))")
            #expect(reasons(1) == ["email 90"] && reasons(2) == ["phone 75"] && reasons(3) == ["name 60"])
            #expect(reasons(4).count == 1 && reasons(4)[0].hasPrefix("name "))
            #expect(data.map { $0["score"]?.integer ?? 0 }.prefix(4) == [99, 90, 75, 60])
            #expect(data[0]["record"]?["email"] == "j.okafor@KESTREL.example" && data[0]["record"]?["custom"] == nil)
            #expect(try found.json["page"]?["next"] == .null)
        }
    }

    @Test func accountsAreTheSameByTheirHostWhereNotAnybodyHasAPlace() async throws {
        try await run { api in
            let admin = api.member()
            func make(_ body: String) async throws -> String { try await api.create(body, at: "/v1/accounts", as: admin).id }
            let asked = try await make(#"{"name":"Kestrel Freight GmbH","domain":"kestrel.example"}"#)
            let site = try await make(#"{"name":"K","website":"https://www.Kestrel.example/about?x=1"}"#)
            let name = try await make(#"{"name":"Kestrel Freight"}"#)
            let mail = try await make(#"{"name":"One","domain":"gmail.com"}"#)
            _ = try await make(#"{"name":"Two","website":"https://gmail.com/two"}"#)
            func duplicates(_ id: String) async throws -> [String?] {
                try await api.send(.get, "/v1/accounts/\(id)/duplicates", as: admin).json["data"]?.array?.map { $0["record"]?.id } ?? []
            }
            #expect(try await duplicates(asked) == [site, name])
            #expect(try await duplicates(site) == [asked])
            #expect(try await duplicates(mail) == [])
        }
    }

    @Test func onlyWhatTheCallerMayReadIsCompared() async throws {
        try await run { api in
            let admin = api.member()
            let sales = api.member(.sales)
            let body = #"{"first_name":"Ngozi","last_name":"Okafor","email":"n@kestrel.example","phone":"+49405550101"}"#
            let own = try await api.create(body, at: "/v1/leads", as: sales).id
            let others = try await api.create(body, at: "/v1/leads", as: admin).id
            let path = "/v1/leads/\(own)/duplicates"
            #expect(try await api.send(.get, path, as: sales).json["data"] == [])
            #expect(try await api.send(.get, path, as: admin).json["data"]?.array?.count == 1)
            #expect(try await api.send(.get, "/v1/leads/\(others)/duplicates", as: sales).code == "not_found")
            #expect(try await api.send(.get, path, as: api.member(tenant: TenantID())).code == "not_found")
            #expect(try await api.send(.get, path, as: api.member(.support)).status == 403)
            #expect(try await api.send(.get, "\(path)?limit=1", as: admin).code == "unknown_parameter")
            // A name is looked up by words that may be in any field.
            for (hidden, fields) in [("description", ["email", "phone"]), ("email", ["phone"]), ("phone", ["email"])] {
                let caller = api.member(fields: ["leads": [hidden: .hidden]])
                let found = try await api.send(.get, path, as: caller)
                let reasons = try found.json["data"]?[0]?["reasons"]?.array?.compactMap { $0["field"]?.string }
                #expect(reasons == fields, "\(hidden): \(found.text)")
                #expect(!found.text.contains("\"\(hidden)\":"))
            }
            let blind = api.member(fields: ["leads": ["email": .hidden, "phone": .hidden]])
            #expect(try await api.send(.get, path, as: blind).json["data"] == [])
        }
    }

    /// Behind 300 of others, and 300 that are deleted, which are the same as well.
    @Test func recordsThatTheCallerDoesNotReadTakeNobodysPlace() async throws {
        try await run { api in
            let admin = api.member()
            var own = api.member(.manager)
            own.scopes[.contacts] = .own
            try await api.write([
                """
                insert into contact (tenant_id, id, first_name, last_name, email, deleted_at, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'Ngozi', 'Okafor', 'n@kestrel.example', case when n > 300 then now() end, \
                gen_random_uuid(), gen_random_uuid() from generate_series(1, 600) as n
                """
            ])
            let body = #"{"first_name":"Ngozi","last_name":"Okafor","email":"n@kestrel.example"}"#
            let made = [try await api.create(body, as: own).id, try await api.create(body, as: own).id]
            let found = try await api.send(.get, "/v1/contacts/\(made[0])/duplicates", as: own)
            #expect(try found.json["data"]?.array?.map { $0["record"]?.id } == [made[1]], "\(found.text)")
            #expect(try found.json["data"]?[0]?["reasons"]?.array?.count == 2)
            let all = try await api.send(.get, "/v1/contacts/\(made[0])/duplicates", as: admin)
            #expect(try all.json["data"]?.array?.count == 50)
            let refused = try await api.send(.post, "/v1/contacts", body, as: own, headers: refusing)
            #expect(try refused.json["ids"] == .array(made.map { .string($0) }) && refused.json["others"] == true, "\(refused.text)")
        }
    }

    // MARK: Creations

    private let refusing = ["Prefer": #"respond-async, wait=10, Duplicates = "refuse"; x=1"#]

    @Test func aCreationMayBeRefusedForARecordThatIsThere() async throws {
        try await run { api in
            let (admin, sales) = (dialling(from: "DE", api.member()), dialling(from: "DE", api.member(.sales)))
            let body = #"{"last_name":"Okafor","email":"N@kestrel.example","phone":"+49405550101"}"#
            let first = try await api.send(.post, "/v1/leads", body, as: admin, headers: refusing.merging(["Idempotency-Key": "k"]) { $1 })
            #expect(first.status == 201 && first.header("preference-applied") == "duplicates=refuse", "\(first.text)")
            let again = try await api.send(.post, "/v1/leads", body, as: admin, headers: refusing.merging(["Idempotency-Key": "k"]) { $1 })
            #expect(again.status == 201 && again.body == first.body && again.header("idempotent-replayed") == "true", "\(again.text)")
            for body in [
                #"{"last_name":"Ng","email":"n@KESTREL.example"}"#, #"{"last_name":"Ng","phone":"+49 40 555 0101"}"#,
                #"{"last_name":"Ng","email":"other@kestrel.example","phone":"0049405550101"}"#,
            ] {
                let refused = try await api.send(.post, "/v1/leads", body, as: admin, headers: refusing)
                #expect(refused.status == 409, "\(body): \(refused.text)")
                #expect(try refused.code == "duplicate" && refused.json["ids"] == [.string(first.json.id)])
                #expect(try refused.json["others"] == false)
                // Somebody who does not see it is told that there is one.
                let blind = try await api.send(.post, "/v1/leads", body, as: sales, headers: refusing)
                #expect(try blind.code == "duplicate" && blind.json["ids"] == [] && blind.json["others"] == true)
            }
            // The same name is no reason, nor is what another tenant or resource has; and whoever does not ask is not refused.
            for (path, body, caller) in [
                ("/v1/leads", #"{"last_name":"Okafor"}"#, admin), ("/v1/leads", body, api.member(tenant: TenantID())),
                ("/v1/contacts", body, admin),
            ] {
                #expect(try await api.send(.post, path, body, as: caller, headers: refusing).status == 201)
            }
            for preference in ["duplicates", "duplicates=allow, duplicates=refuse", "handling=strict", "\"duplicates=refuse\"", ""] {
                let made = try await api.send(.post, "/v1/leads", body, as: admin, headers: ["Prefer": preference])
                #expect(made.status == 201 && made.header("preference-applied") == nil, "\(preference)")
            }
        }
    }

    @Test func whatIsDeletedIsInNobodysWay() async throws {
        try await run { api in
            let admin = api.member()
            let body = #"{"name":"Kestrel","domain":"kestrel.example","website":"https://gmail.com/k"}"#
            let made = try await api.create(body, at: "/v1/accounts", as: admin, headers: refusing).id
            let same = #"{"name":"Other","website":"http://www.kestrel.example/"}"#
            #expect(try await api.send(.post, "/v1/accounts", same, as: admin, headers: refusing).code == "duplicate")
            #expect(
                try await api.send(.post, "/v1/accounts", #"{"name":"G","domain":"gmail.com"}"#, as: admin, headers: refusing).status == 201
            )
            #expect(try await api.send(.delete, "/v1/accounts/\(made)", as: admin).status == 204)
            #expect(try await api.send(.post, "/v1/accounts", same, as: admin, headers: refusing).status == 201)
        }
    }

    /// Half of them share the address, half the number, and one has both.
    @Test func ofTwentyAtOnceOneIsMade() async throws {
        try await run { api in
            let admin = api.member()
            for round in 0..<3 {
                let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                    for place in 0..<20 {
                        let number = "+4940555\(100 + round)"
                        let body = #"{"last_name":"L\#(place)","email":"N\#(round)@kestrel.example","phone":"\#(number)"}"#
                        group.addTask { try await api.send(.post, "/v1/leads", body, as: admin, headers: refusing).status }
                    }
                    return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
                }
                #expect(statuses == [201: 1, 409: 19])
            }
            #expect(try await api.send(.get, "/v1/leads?count=exact", as: admin).json["page"]?["total"] == 3)
        }
    }

    // MARK: Cost

    private func pages(_ query: SQL, _ api: ResourceAPI, as caller: RequestContext) async throws -> Int {
        let plan = try await api.postgres.batch(as: caller, ["explain (analyze, buffers, costs off, timing off) " + query])[0]
        let line = try #require(plan.lazy.compactMap { $0.text(0) }.first { $0.contains("Buffers: shared") })
        return line.matches(of: /(?:hit|read)=([0-9]+)/).reduce(0) { $0 + (Int($1.output.1) ?? 0) }
    }

    /// Goal: what is read is bounded by the tenant's own matches. Method: the pages that the statement reads, before and after there are 20,000
    /// records of others that are the same.
    @Test func recordsOfOthersCostNothing() async throws {
        try await run { api in
            let admin = api.member()
            let made = try await api.create(#"{"first_name":"Ngozi","last_name":"Okafor","email":"n@kestrel.example"}"#, as: admin)
            let id = try #require(RecordID(made.id))
            let query = DuplicateStatements(ResourceView(Contact.definition)).candidates(of: id, as: admin)
            _ = try await pages(query, api, as: admin)
            let few = try await pages(query, api, as: admin)
            try await api.write([
                """
                insert into contact (tenant_id, id, first_name, last_name, email, created_by, updated_by) \
                select gen_random_uuid(), gen_random_uuid(), 'Ngozi', 'Okafor', 'n@kestrel.example', gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 20000)
                """,
                "analyze contact",
            ])
            _ = try await pages(query, api, as: admin)
            let many = try await pages(query, api, as: admin)
            #expect(many <= few + 60, "\(few) before, \(many) among others")
        }
    }

    /// Goal: what the caller does not read is looked at as far as a bound. Method: the pages that the statement reads, with 3,000 records of
    /// colleagues that are the same, and with 12,000.
    @Test func recordsThatTheCallerDoesNotReadCostABoundedAmount() async throws {
        try await run { api in
            var own = api.member(.manager)
            own.scopes[.contacts] = .own
            let made = try await api.create(#"{"first_name":"Ngozi","last_name":"Okafor","email":"n@kestrel.example"}"#, as: own)
            let id = try #require(RecordID(made.id))
            let query = DuplicateStatements(ResourceView(Contact.definition)).candidates(of: id, as: own)
            func cost(among count: Int) async throws -> Int {
                try await api.write([
                    """
                    insert into contact (tenant_id, id, first_name, last_name, email, created_by, updated_by) \
                    select \(api.tenant)::uuid, gen_random_uuid(), 'Ngozi', 'Okafor', 'n@kestrel.example', gen_random_uuid(), gen_random_uuid() \
                    from generate_series(1, \(count)::int)
                    """,
                    "analyze contact",
                ])
                _ = try await pages(query, api, as: own)
                return try await pages(query, api, as: own)
            }
            let few = try await cost(among: 3000)
            let many = try await cost(among: 9000)
            #expect(many <= few + 1000, "\(few) with some, \(many) with more")
        }
    }
}
