import Core
import Postgres
import TestSupport
import Testing

@Suite struct SearchTests {
    @Test func wordsAreFoundFromTheirBeginning() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(
                #"{"first_name":"Anna","last_name":"Berg","email":"anna.berg@example.com","company":"Nordwind GmbH"}"#, as: admin)
            _ = try await api.create(#"{"first_name":"Boris","last_name":"Berger","description":"met at the fair"}"#, as: admin)
            for (query, found) in [
                ("anna", ["Berg"]), ("ber", ["Berg", "Berger"]), ("berg%20nord", ["Berg"]), ("anna.berg@example.com", ["Berg"]),
                ("exampl", ["Berg"]), ("%22the+fair%22", ["Berger"]), ("%22fair+the%22", []), ("berger+-anna", ["Berger"]),
                ("ANNA", ["Berg"]),
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
            try await api.fill()
            let schema = api.database.schema
            let plan = try await api.asSuperuser { client in
                let system = SystemContext(service: "test")
                let source: String = try await client.batch(
                    as: system, ["select prosrc from pg_proc where oid = \(schema + ".lead_search(text)")::text::regprocedure"])[0][0]
                    .decode(0)
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
            // name500 and name5000.
            #expect(plan[5].count == 2)
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
        ("sort=-created_at", "lead_created_at"), ("sort=company", "lead_company"), ("sort=-score", "lead_score"),
        ("status=new", "lead_status"),
    ])
    func aPageIsReadInTheOrderOfAnIndex(query: String, index: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.fill()
            let page = try await api.send(.get, "/v1/leads?\(query)", as: admin)
            let cursor = try #require(try page.next)
            let second = try await api.send(.get, "/v1/leads?\(query)&after=\(cursor)", as: admin)
            #expect(try second.column("id").count == 50)
            try await api.asSuperuser { client in
                // Statistics of the server come about a second late.
                try await eventually("the index \(index) is read, and no more than the pages") {
                    let used = try await client.batch(
                        as: SystemContext(service: "test"),
                        [
                            """
                            select coalesce(sum(idx_scan), 0)::bigint, coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes \
                            where schemaname = \(api.database.schema) and indexrelname = \(index)
                            """
                        ])[0][0]
                    return try used.decode(0, as: Int.self) >= 1 && used.decode(1, as: Int.self) <= 1000
                }
            }
        }
    }
}

extension ResourceAPI {
    fileprivate func asSuperuser<T>(_ body: (PostgresClient) async throws -> T) async throws -> T {
        var configuration = try TestPostgres.superuser()
        configuration.statementTimeout = .seconds(25)
        return try await TestPostgres.withClient(configuration, body)
    }

    /// Fills the table past the API: 10,000 leads, every tenth of the tenant, the others of tenants of their own.
    fileprivate func fill() async throws {
        try await asSuperuser { client in
            _ = try await client.batch(
                as: SystemContext(service: "test"),
                [
                    "select set_config('search_path', \(database.schema + ", extensions"), true)",
                    // No trigger runs: the outbox is of no interest here.
                    "set local session_replication_role = replica",
                    """
                    insert into lead (tenant_id, id, last_name, company, score, status, created_by, updated_by) \
                    select case when n % 10 = 0 then \(tenant)::uuid else gen_random_uuid() end, gen_random_uuid(), 'name' || n, \
                    'company' || n, n % 97, case when n % 70 = 0 then 'new' else 'contacted' end, gen_random_uuid(), gen_random_uuid() \
                    from generate_series(1, 10000) as n
                    """,
                    "analyze lead",
                ])
        }
    }
}
