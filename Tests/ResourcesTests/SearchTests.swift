import Core
import Postgres
import TestSupport
import Testing

@Suite struct SearchTests {
    @Test func wordsAreFoundFromTheirBeginning() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(#"{"first_name":"Anna","last_name":"Berg","email":"anna.berg@example.com","company":"Nordwind GmbH"}"#, as: admin)
            _ = try await api.create(#"{"first_name":"Boris","last_name":"Berger","description":"met at the fair"}"#, as: admin)
            for (query, found) in [
                ("anna", ["Berg"]), ("ber", ["Berg", "Berger"]), ("berg%20nord", ["Berg"]), ("anna.berg@example.com", ["Berg"]),
                ("exampl", ["Berg"]), ("%22the+fair%22", ["Berger"]), ("%22fair+the%22", []), ("berg+-anna", ["Berger"]), ("ANNA", ["Berg"]),
                ("anna+or+boris", ["Berg", "Berger"]), ("rg", []), ("%27%3A*", []), ("-foo-bar", ["Berg", "Berger"]), ("%26+%7C+!", []),
            ] {
                let reply = try await api.send(.get, "/v1/leads?sort=last_name&q=\(query)", as: admin)
                try #require(reply.status == 200, "\(query): \(reply.text)")
                #expect(try reply.column("last_name").compactMap(\.string) == found, "\(query)")
            }
            #expect(try await api.send(.get, "/v1/leads?q=anna", as: api.member(tenant: TenantID())).column("id") == [])
        }
    }

    /// Goal: `@@` is not leakproof, yet the search reads the index on (tenant_id, search).
    /// Method: the plan of the function's own statement, as its owner, with one tenant's rows among many.
    @Test func theSearchReadsItsIndex() async throws {
        try await ResourceAPI.leads { api in
            let schema = api.database.schema
            let table: SQL = "\(unescaped: schema).lead"
            let plan = try await TestPostgres.withClient(TestPostgres.superuser()) { client in
                let fill: [SQL] = [
                    """
                    insert into \(table) (tenant_id, id, last_name, created_by, updated_by) \
                    select case when n % 100 = 0 then \(api.tenant)::uuid else gen_random_uuid() end, gen_random_uuid(), 'name' || n, \
                    gen_random_uuid(), gen_random_uuid() from generate_series(1, 20000) as n
                    """,
                    "analyze \(table)",
                ]
                let system = SystemContext(service: "test")
                // The superuser's search path has neither the audit trigger's table nor its functions.
                _ = try await client.batch(as: system, ["select set_config('search_path', \(schema + ", extensions"), true)"] + fill)
                let source: String = try await client.batch(
                    as: system, ["select prosrc from pg_proc where oid = \(schema + ".lead_search(text)")::regprocedure"])[0][0].decode(0)
                return try await client.batch(
                    as: system,
                    [
                        "set local role \(unescaped: "martlet_\(schema)_search")",
                        "select set_config('app.tenant', \(api.tenant.description), true)",
                        "set local plan_cache_mode = force_generic_plan",
                        "prepare search(text) as \(unescaped: source.replacing("query)", with: "$1)"))",
                        "explain (costs off) execute search('name500')", "execute search('name500')", "deallocate search",
                    ])
            }
            let text = try plan[4].map { try $0.decode(0, as: String.self) }.joined(separator: "\n")
            #expect(text.contains("Bitmap Index Scan on lead_search"), "\(text)")
            #expect(!text.contains("Seq Scan"), "\(text)")
            #expect(plan[5].count == 1)
        }
    }

    @Test func theSearchFunctionAnswersOnlyTheRuntimeRoleAndOnlyForItsTenant() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(#"{"last_name":"Berg"}"#, as: admin)
            let nobody = try await api.postgres.batch(as: SystemContext(service: "test"), ["select lead_search('berg')"])
            #expect(nobody[0].isEmpty)
            let own = try await api.postgres.batch(as: admin, ["select lead_search('berg')"])
            #expect(own[0].count == 1)
            await #expect(throws: PostgresError.self) {
                try await TestPostgres.withClient(api.database.system) { client in
                    try await client.batch(as: admin, ["select lead_search('berg')"])
                }
            }
            // The runtime role cannot become the role that sees every row.
            await #expect(throws: PostgresError.self) {
                try await api.postgres.batch(
                    as: admin, ["set local role \(unescaped: "martlet_\(api.database.schema)_search")", "select id from lead"])
            }
        }
    }

    @Test(arguments: [
        ("sort=-created_at", "lead_created_at"), ("sort=company", "lead_company"), ("sort=-score", "lead_score"), ("status=new", "lead_status"),
    ])
    func aPageIsReadInTheOrderOfAnIndex(query: String, index: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let schema = api.database.schema
            try await TestPostgres.withClient(TestPostgres.superuser()) { client in
                let system = SystemContext(service: "test")
                _ = try await client.batch(
                    as: system,
                    [
                        "select set_config('search_path', \(schema + ", extensions"), true)",
                        """
                        insert into lead (tenant_id, id, last_name, company, score, status, created_by, updated_by) \
                        select \(api.tenant)::uuid, gen_random_uuid(), 'name' || n, 'company' || n, n % 100, \
                        case when n % 50 = 0 then 'new' else 'contacted' end, gen_random_uuid(), gen_random_uuid() \
                        from generate_series(1, 20000) as n
                        """,
                        "analyze lead",
                    ])
            }
            let page = try await api.send(.get, "/v1/leads?\(query)", as: admin)
            let cursor = try #require(try page.next)
            let second = try await api.send(.get, "/v1/leads?\(query)&after=\(cursor)", as: admin)
            #expect(try second.column("id").count == 50)
            try await TestPostgres.withClient(TestPostgres.superuser()) { client in
                try await eventually {
                    let used = try await client.batch(
                        as: SystemContext(service: "test"),
                        [
                            """
                            select coalesce(sum(idx_scan), 0)::bigint, coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes \
                            where schemaname = \(schema) and indexrelname = \(index)
                            """
                        ])[0][0]
                    return try used.decode(0, as: Int.self) >= 1 && used.decode(1, as: Int.self) <= 1000
                }
            }
        }
    }

    /// Statistics of the server come about a second late.
    private func eventually(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<100 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("the index was not used, or read far more than the pages")
    }
}
