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

    /// Every column that people look at is found by its parts.
    @Test func aLeadIsFoundByEachOfItsTexts() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(
                """
                {"last_name":"O'Hara-Smith","company":"株式会社東京タワー","email":"Greta@Kestrel.example","phone":"+49 40 555 0101",\
                "website":"https://www.brightwater.example/about","address":{"city":"Zürich","street":"Bahnhofstraße 12"}}
                """, as: admin)
            _ = try await api.create(#"{"last_name":"Other","phone":"+49 40 555 0199","website":"http://other.example"}"#, as: admin)
            for query in [
                "ohara", "ohara-s", "o'hara", "%E3%82%BF%E3%83%AF%E3%83%BC", "kestrel.example", "greta@KESTREL", "0405550101", "5550101",
                "%2B49%2040%20555%200101", "brightwater.example", "brightw", "zurich", "ZUERICH", "bahnhofstrasse",
            ] {
                let reply = try await api.send(.get, "/v1/leads?q=\(query)", as: admin)
                #expect(try reply.column("last_name").compactMap(\.string) == ["O'Hara-Smith"], "\(query): \(reply.text)")
            }
            // How every address begins finds none.
            #expect(try await api.send(.get, "/v1/leads?q=https", as: admin).column("id") == [])
        }
    }

    @Test(arguments: ["41", "%2341"])
    func aTicketIsFoundByItsNumber(query: String) async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            for number in 1...41 {
                _ = try await api.create(#"{"subject":"Nothing works \#(number == 7 ? "on 3 of 40" : "")"}"#, as: admin)
            }
            let reply = try await api.send(.get, "/v1/tickets?q=\(query)", as: admin)
            #expect(try reply.column("number").compactMap(\.integer) == [41])
        }
    }

    /// A text, what finds it, and what does not.
    @Test func whatPeopleTypeFindsWhatTheyMean() async throws {
        try await ResourceAPI.leads { api in
            // Apostrophes of every form, within words and in the query.
            for apostrophe in ["'", "’", "‘", "ʼ", "`", "´", "＇", "′", "ꞌ"] {
                try await api.check(
                    "O\(apostrophe)Hara", by: ["ohara", "o'hara", "o’hara", "O\(apostrophe)Har", "hara", "o hara"], not: ["har a"])
            }
            try await api.check("Molly's MacBook", by: ["mollys", "molly macbook", "\"molly's macbook\"", "molly’s"], not: ["mol macbook"])
            try await api.check("O Hara", by: ["o'hara"])
            // Letters with marks, composed or not; German as it is spelt out.
            for name in ["Müller", "Mu\u{308}ller", "MÜLLER"] {
                try await api.check(name, by: ["muller", "mu", "müller", "mueller", "mu\u{308}ller", "MÜ", "\"müller\""], not: ["moller"])
            }
            try await api.check("Mueller", by: ["müller", "mueller"], not: ["muller"])
            try await api.check("Re\u{301}ne\u{301}e", by: ["Rénée", "renee", "rene\u{301}e", "RÉNÉE"])
            try await api.check("Straße", by: ["straße", "STRASSE", "strasse", "STRAẞE"])
            try await api.check("Søren Łukasz Đorđe Æsir Œuvre Þór", by: ["soren", "soeren", "lukasz", "dorde", "aesir", "oeuvre", "thor"])
            try await api.check("IŞIL İstanbul ısı", by: ["isil", "ışıl", "istanbul", "İSTANBUL", "isi", "ısı"])
            try await api.check("ΟΔΟΣ Ἀθῆναι", by: ["οδός", "οδος", "αθηναι", "αθήναι"])
            try await api.check("Пётр Щёлково", by: ["петр", "ПЁТР", "щелк"])
            // Hyphens, also where the other wrote none.
            for hyphen in ["-", "‐", "‑", "–", "−"] {
                try await api.check(
                    "Smith\(hyphen)Jones",
                    by: ["smith-jo", "smith jones", "smithjones", "smithjo", "jones", "smith‑jones", "\"smith-jones\""],
                    not: ["jones-smith", "smith-x"])
            }
            try await api.check("e-mail", by: ["email", "e-mail", "mail"])
            try await api.check("email", by: ["e-mail"])
            try await api.check("Smi\u{AD}th\u{200B}son", by: ["smithson"])
            try await api.check("U.S.A. S.p.A", by: ["usa", "u.s.a.", "spa", "s.p.a."])
            // Addresses, hosts, links, file names, codes.
            try await api.check(
                "greta@kestrel.example", by: ["kestrel.example", "greta", "kestrel", "greta@kestrel.example", "GRETA@KES", "example"],
                not: ["kestrel.greta", "estrel"])
            try await api.check("a-user@example.com", by: ["example.com", "user", "a-user", "a-user@example.com"])
            try await api.check(
                "https://www.kestrel.example/a/b?c=d", by: ["kestrel.example", "https://www.kestrel.example/a", "www.kestrel"])
            try await api.check(
                "report_2024-final.pdf", by: ["report", "2024", "final", "pdf", "report_2024", "2024-final.pdf", "final.p"],
                not: ["final report.x"])
            try await api.check(
                "INV-20240015 ab12345", by: ["20240015", "0015", "inv-2024", "INV20240015", "12345", "ab12345"], not: ["024x"])
            try await api.check("１２３４ ＡＢＣ ﬁne ①", by: ["1234", "abc", "ＡＢ", "fine", "1"])
            try await api.check("<b>Bold</b> & AT&T C:\\dir", by: ["bold", "at&t", "c:\\dir"])
            // Several scripts.
            try await api.check("株式会社東京タワー", by: ["タワー", "東京", "東", "株式会社", "京タ", "ー", "\"東京タワー\""], not: ["京東", "東会", "大阪"])
            try await api.check("LINE株式会社", by: ["line", "株式", "line株"])
            try await api.check("ｶﾞﾗｽ", by: ["ガラス", "ガ"], not: ["カラス"])
            try await api.check("삼성전자는", by: ["삼성", "전자", "삼성전자"], not: ["전삼"])
            try await api.check("ห้างหุ้นส่วน", by: ["หุ้น", "ส่วน"])
            try await api.check("مُحَمَّد أحـمد", by: ["محمد", "مُحَمَّد", "احمد", "أحمد"])
            try await api.check("شركة علی", by: ["شركه", "علي", "شركة"])
            try await api.check("שָׁלוֹם", by: ["שלום"])
        }
    }

    @Test func aTelephoneNumberIsFoundByAnyEndHoweverItIsWritten() async throws {
        try await ResourceAPI.leads { api in
            let ends = [
                "0405550101", "405550101", "5550101", "0101", "+49 40 555 0101", "004940555", "0049 40 5550101", "+49405550101",
                "5550101",
                "040/5550101", "(040) 555-0101", "040-555-0101", "+49 (0)40 555 0101", "٠٤٠٥٥٥٠١٠١", "０４０５５５０１０１",
            ]
            for number in [
                "+49 40 555 0101", "+49405550101", "+49 (0)40 555 0101", "+49-40-555-0101", "+49 (40) 555.0101", "0049 40/5550101",
                "Call +49 40 - 555 0101, please", "+４９ ４０ ５５５ ０１０１",
            ] {
                try await api.check(number, by: ends, not: ["5550102", "0415550101", "+49 41 555 0101", "+1 40 555 0101"])
            }
            // One that was written within its country is found from abroad.
            try await api.check("040 5550101", by: ["+49 40 5550101", "004940 555 0101", "0405550101"], not: ["+49 41 5550101"])
            try await api.check("(212) 555-0101", by: ["+1 212 555 0101", "2125550101", "555-0101"], not: ["+1 312 555 0101"])
        }
    }

    @Test func theLastWordMayBeUnfinishedAndExclusionsAreWholeWords() async throws {
        try await ResourceAPI.leads { api in
            try await api.check(
                "Berg Annabelle", by: ["berg -anna", "ber", "berg a", "b"],
                not: ["ber ", "\"ber\"", "ber annabelle", "-annabelle", "berg -annabelle"])
            try await api.check(
                "Anna", by: ["anna or boris", "boris or anna", "boris or -x", "-x", "x or anna ", "(anna)", "'anna'"],
                not: ["boris or carl", "-anna", "anna boris"])
            try await api.check(
                "the fair", by: ["\"the fair\"", "\"the fa", "“the fair”", "«the fair»"], not: ["\"fair the\"", "-\"the fair\""])
            try await api.check("Or", by: ["or", "\"or\""])
        }
    }

    /// Any text is a query, and a text without a word is one that finds nothing.
    @Test func anyTextIsAQuery() async throws {
        try await ResourceAPI.leads { api in
            for query in ["", " ", "-", "\"\"", "\"", "&|!", "':*", "<->", "\\", "()", "🦊", "\u{200B}", "- - -"] {
                let nodes: Int = try await api.ask("select numnode(search_query(\(api.tenant)::uuid, \(query)))")
                #expect(nodes == 0, "\(query)")
            }
            var generator = SeededGenerator(state: 7)
            let pieces = [
                " ", "\"", "-", "or", "'", "\\", "&|!:*<->()", "(0)", "+49 40", "é", "e\u{301}", "’", ".", "@", "00", "株", "ü", "\u{202E}",
                "a", "7",
            ]
            let queries = (0..<2000).map { _ in
                String(
                    (0..<Int.random(in: 1...60, using: &generator)).map { _ in
                        Bool.random(using: &generator)
                            ? pieces.randomElement(using: &generator) ?? ""
                            : String(Unicode.Scalar(UInt32.random(in: 1...0x2FFFF, using: &generator)) ?? " ")
                    }.joined().prefix(200))
            }
            let count: Int = try await api.ask(
                "select count(search_query(\(api.tenant)::uuid, query) || search_query(\(api.tenant)::uuid, query)) from unnest(\(queries)::text[]) as query"
            )
            #expect(count == queries.count)
            // Written down as a record's text, they are taken too.
            let written: Int = try await api.ask(
                "select count(search_words(\(api.tenant)::uuid, query)) from unnest(\(queries)::text[]) as query")
            #expect(written == queries.count)
        }
    }

    /// Goal: short plain texts take a way of their own, which must find what the general one finds.
    /// Method: both over texts made of what either treats in its own way.
    @Test func theShortWayGivesTheSameLexemes() async throws {
        try await ResourceAPI.leads { api in
            var generator = SeededGenerator(state: 11)
            let pieces = [
                " ", ".", "-", "'", "e", "12e5", "1.5", "a@b.c", "http://x", "<b>", "&amp;", "+49 40 555 0101", "0x1f", "x_y", "/a/b",
                "2024-01-01",
                "(0)", "C:\\d", "é", "word", "9", "x-ray", "555-01", ",", "\n",
            ]
            let texts = (0..<4000).map { _ in
                (0..<Int.random(in: 1...12, using: &generator)).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined()
            }
            let differing: [String] = try await api.postgres.batch(
                as: api.member(),
                [
                    """
                    select text from unnest(\(texts)::text[]) as text \
                    where search_words(\(api.tenant)::uuid, text) <> lexemes(tenant_mark(\(api.tenant)::uuid), fold(text), fold(spell_out(text)))
                    """
                ])[0].map { try $0.decode(0) }
            #expect(differing == [])
        }
    }

    /// Long texts stay within what a tsvector can hold, and are found to their end.
    @Test func longTextsAreTakenAndFoundToTheirEnd() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            let distinct = String(String.UnicodeScalarView((0..<49_990).map { Unicode.Scalar(UInt32(0x20000 + $0 % 40_000)) ?? " " }))
            for (text, query) in [
                ((0..<8300).map { "w\($0)" }.joined(separator: " "), "w8299"), (distinct + " zebra", "zebra"),
                (String(repeating: "東", count: 49_990) + " zebra", "zebra"), (String(repeating: "x", count: 49_990) + " zebra", "zebra"),
                (String(repeating: "12345678901234567890 ", count: 2380), "567890"), (String(repeating: "\u{FDFA}", count: 49_990), "الله"),
                (String(repeating: "ü-ö'ä ", count: 8000) + "zebra", "zebra"),
            ] {
                let body: JSON = ["subject": "Long", "description": .string(text)]
                let ticket = try await api.create(body.description, as: admin)
                let found: Int = try await api.ask(
                    """
                    select count(*) from ticket where tenant_id = \(api.tenant) and id = \(ticket.id)::uuid \
                    and search @@ search_query(\(api.tenant)::uuid, \(query))
                    """)
                #expect(found == 1, "\(query)")
            }
        }
    }

    @Test func valuesOfFiltersAreFoundExactlyAndByNoWord() async throws {
        try await ResourceAPI.leads { api in
            _ = try await api.create(
                """
                {"last_name":"A","source":"it's \\\\ web","email":"Hans+News@Wurst.example","company":"Kestrel","tags":["a b","x"],\
                "custom":{"k":1.50,"b":true,"long":"\(String(repeating: "v", count: 900))"}}
                """, as: api.member())
            func count(_ field: String, _ values: [String]) async throws -> Int {
                try await api.ask(
                    "select count(*) from lead where tenant_id = \(api.tenant) and search @@ filter_query(\(api.tenant)::uuid, \(field), \(values)::text[])"
                )
            }
            for (field, value) in [
                ("source", "it's \\ web"), ("email", "hans+news@wurst.example"), ("company", "Kestrel"), ("tag", "a b"),
                ("custom.b", "true"),
                ("custom.long", String(repeating: "v", count: 900)),
            ] {
                #expect(try await count(field, [value]) == 1, "\(field)")
                #expect(try await count(field, ["none", value]) == 1, "\(field)")
                #expect(try await count(field, [value + "x"]) == 0, "\(field)")
            }
            for (field, value) in [("source", "it's"), ("company", "kestrel"), ("tag", "a"), ("custom.k", "true"), ("k", "1.50")] {
                #expect(try await count(field, [value]) == 0, "\(field)")
            }
            #expect(try await count("source", []) == 0)
            // No text that is searched for makes the lexeme of a value.
            for query in ["=company:Kestrel", "company:Kestrel", "=tag:x", "news"] {
                let words: String = try await api.ask("select search_query(\(api.tenant)::uuid, \(query))::text")
                #expect(!words.contains("="), "\(query)")
            }
        }
    }

    /// Goal: a short prefix costs a tenant what its own rows cost, though `@@` is not leakproof.
    /// Method: the plan of the function's own statement, as its owner, with one tenant's rows among many: the rows that the index gives
    /// are the tenant's own matches, none of the others'.
    @Test func theSearchReadsTheTenantsOwnPartOfTheIndex() async throws {
        try await ResourceAPI.leads { api in
            try await api.fill(ofTenant: 7_000)
            let schema = api.database.schema
            let plan = try await api.asSuperuser { client in
                let system = SystemContext(service: "test")
                let source: String = try await client.batch(
                    as: system, ["select prosrc from pg_proc where oid = \(schema + ".lead_search(tsquery)")::text::regprocedure"])[0][0]
                    .decode(0)
                let query = "\(schema).search_query('\(api.tenant)', 'name00000')"
                return try await client.batch(
                    as: system,
                    [
                        "set local role \(unescaped: "martlet_\(schema)_search")",
                        "select set_config('app.tenant', \(api.tenant.description), true)",
                        "set local plan_cache_mode = force_generic_plan",
                        "prepare search(tsquery) as \(unescaped: source.replacing("query", with: "$1"))",
                        "explain (analyze, costs off, timing off, summary off) execute search(\(unescaped: query))",
                        "execute search(\(unescaped: query))", "deallocate search",
                    ])
            }
            let lines = try plan[4].map { try $0.decode(0, as: String.self) }
            // 1 to 99; of the other tenants there are as many again.
            #expect(plan[5].count == 99)
            #expect(lines.contains { $0.contains("Bitmap Index Scan on lead_search") && $0.contains("rows=99 ") }, "\(lines)")
            #expect(!lines.contains { $0.contains("Seq Scan") }, "\(lines)")
        }
    }

    @Test func noQueryOfOneTenantMatchesWordsOfAnother() async throws {
        try await ResourceAPI.leads { api in
            let other = TenantID()
            for query in ["berg", "b", "-x", "x or -y", "\"anna berg\"", "0405550101", "東"] {
                let found: [Bool] = try await api.postgres.batch(
                    as: api.member(),
                    [
                        """
                        select search_words(\(other)::uuid, text) @@ search_query(\(other)::uuid, \(query)), \
                        search_words(\(api.tenant)::uuid, text) @@ search_query(\(other)::uuid, \(query)) \
                        from (values ('Anna Berg +49 40 5550101 東京')) as texts (text)
                        """
                    ])[0].flatMap { [try $0.decode(0), try $0.decode(1)] }
                #expect(found == [true, false], "\(query)")
            }
        }
    }

    @Test func theSearchFunctionAnswersOnlyTheRuntimeRoleAndOnlyForItsTenant() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            _ = try await api.create(#"{"last_name":"Berg"}"#, as: admin)
            let search: SQL = "select lead_search(search_query(\(api.tenant)::uuid, 'berg'))"
            let nobody = try await api.postgres.batch(as: SystemContext(service: "test"), [search])
            #expect(nobody[0].isEmpty)
            let stranger = try await api.postgres.batch(as: api.member(tenant: TenantID()), [search])
            #expect(stranger[0].isEmpty)
            let own = try await api.postgres.batch(as: admin, [search])
            #expect(own[0].count == 1)
            await #expect(throws: PostgresError.self) {
                try await TestPostgres.withClient(api.database.system) { client in
                    try await client.batch(as: admin, [search])
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
            try await api.fill(ofTenant: 7_000)
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

/// The same numbers in each run.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 31)) &* 0x9E37_79B9_7F4A_7C15
    }
}

extension ResourceAPI {
    /// The one value of one row.
    fileprivate func ask<T: PostgresDecodable>(_ sql: SQL) async throws -> T {
        try await postgres.batch(as: member(), [sql])[0][0].decode(0)
    }

    /// Expects a text to be found by the one queries and not by the others.
    fileprivate func check(
        _ text: String, by queries: [String], not others: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let found = try await postgres.batch(
            as: member(),
            [
                """
                select query from unnest(\(queries + others)::text[]) as query \
                where search_words(\(tenant)::uuid, \(text)) @@ search_query(\(tenant)::uuid, query)
                """
            ])[0].map { try $0.decode(0, as: String.self) }
        #expect(found == queries, "\(text)", sourceLocation: sourceLocation)
    }
}
