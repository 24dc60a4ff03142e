import CRM
import Core
import Postgres
import Resources
import Synchronization
import TestSupport
import Testing

@Suite struct ListTests {
    @Test(arguments: ["score", "-score", "company", "-company", "created_at", "-created_at", "-updated_at", "last_name"])
    func pagesShowEachRowOnceWhileRowsAreInserted(sort: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let bodies = (0..<23).map { index in
                // Every third without a value, and values that repeat.
                let value = index % 3 == 0 ? "" : #","score":\#(index % 4),"company":"C\#(index % 4)""#
                return #"{"op":"create","body":{"last_name":"L\#(index)"\#(value)}}"#
            }
            let made = try await api.send(
                .post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(bodies.joined(separator: ","))]}"#, as: admin)
            try #require(made.status == 200, "\(made.text)")
            let before = try await api.send(.get, "/v1/leads?limit=200&sort=\(sort)", as: admin)
            let whole = try before.column("id")
            #expect(whole.count == 23)
            #expect(try before.next == nil)

            var seen: [JSON] = []
            var target = "/v1/leads?limit=4&sort=\(sort)"
            for page in 0..<50 {
                let reply = try await api.send(.get, target, as: admin)
                try #require(reply.status == 200, "\(reply.text)")
                seen += try reply.column("id")
                guard let next = try reply.next else { break }
                target = "/v1/leads?limit=4&sort=\(sort)&after=\(next)"
                _ = try await api.create(#"{"last_name":"New\#(page)","score":\#(page % 5)}"#, as: admin)
                _ = try await api.create(#"{"last_name":"New\#(page)"}"#, as: admin)
            }
            #expect(Set(seen).count == seen.count, "a row was shown twice")
            #expect(seen.filter(Set(whole).contains) == whole, "a row was left out or out of order")
        }
    }

    /// Goal: a list that is read to its end misses no record that stays, and doubles none, whatever happens meanwhile.
    /// Method: names of ten scripts; beside the reader one inserts, one changes other members of those that stay, one renames and deletes
    /// others, until the last page.
    @Test(arguments: ["last_name", "-last_name", "company", "-company", "last_name&status[not]=converted&deleted=include"])
    func aListIsWholeWhileRecordsComeAndGo(sort: String) async throws {
        let names = [
            "Okafor", "Ökonom", "Ἀθήνα", "Щёлково", "שלום", "محمد", "नमस्ते", "สวัสดี", "東京", "ガラス", "한국", "საქართველო", "አዲስ",
        ]
        @Sendable func body(_ index: Int) -> String {
            let name = "\(names[index % names.count]) \(index / names.count % 5)"
            return #"{"last_name":"\#(name)"\#(index % 4 == 0 ? "" : #","company":"\#(name)""#)}"#
        }
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let operations = (0..<180).map { #"{"op":"create","body":\#(body($0))}"# }.joined(separator: ",")
            let made = try await api.send(.post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations)]}"#, as: admin)
            try #require(made.status == 200, "\(made.text)")
            let ids = try made.json["results"]?.array?.compactMap { $0["body"]?.id } ?? []
            let staying = ids.enumerated().filter { $0.offset % 3 > 0 }.map(\.element)
            let leaving = ids.enumerated().filter { $0.offset % 3 == 0 }.map(\.element)

            let reader = Reader()
            let seen = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var index = 0
                    while !reader.hasEnded {
                        _ = try await api.create(body(index * 7), as: admin)
                        index += 1
                    }
                }
                group.addTask {
                    var index = 0
                    while !reader.hasEnded {
                        let id = staying[index * 11 % staying.count]
                        let changed = try await api.send(.patch, "/v1/leads/\(id)", #"{"score":\#(index % 100)}"#, as: admin)
                        #expect(changed.status == 200)
                        index += 1
                    }
                }
                group.addTask {
                    for (index, id) in leaving.enumerated() where !reader.hasEnded {
                        let path = "/v1/leads/\(id)"
                        let renamed = try await api.send(.patch, path, body(index * 5), as: admin)
                        #expect(renamed.status == 200)
                        if index % 2 == 0 { #expect(try await api.send(.delete, path, as: admin).status == 204) }
                    }
                }
                var seen: [String] = []
                var target = "/v1/leads?limit=9&fields=id&sort=\(sort)"
                while true {
                    let reply = try await api.send(.get, target, as: admin)
                    try #require(reply.status == 200, "\(reply.text)")
                    seen += try reply.column("id").compactMap(\.string)
                    guard let next = try reply.next else { break }
                    target = "/v1/leads?limit=9&fields=id&sort=\(sort)&after=\(next)"
                }
                reader.end()
                try await group.waitForAll()
                return seen
            }
            #expect(Set(staying).isSubset(of: seen), "a record was left out")
            let counts = Dictionary(grouping: seen) { $0 }.mapValues(\.count)
            #expect(counts.allSatisfy { $0.value == 1 || leaving.contains($0.key) }, "a record was shown twice")
        }
    }

    /// A32: large records make pages shorter, not the service's memory fuller.
    @Test(arguments: ["created_at", "-score", "score"])
    func pagesOfLargeRecordsEndEarlyAndShowEachOnce(sort: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let description = String(repeating: "x", count: 9_000)
            for start in stride(from: 0, to: 240, by: 60) {
                let operations = (start..<start + 60).map { index in
                    // Every fourth is small, and some have no score.
                    let text = index % 4 == 0 ? "" : #","description":"\#(description)""#
                    let score = index % 3 == 0 ? "" : #","score":\#(index % 7)"#
                    return #"{"op":"create","body":{"last_name":"L\#(index)"\#(text)\#(score)}}"#
                }
                let made = try await api.send(
                    .post, "/v1/leads/batch", #"{"atomic":true,"operations":[\#(operations.joined(separator: ","))]}"#, as: admin)
                try #require(made.status == 200, "\(made.text)")
            }
            // Small columns only: 200 on a page.
            let small = "/v1/leads?limit=200&sort=\(sort)&fields=last_name"
            let first = try await api.send(.get, small, as: admin)
            let second = try await api.send(.get, small + "&after=\(try #require(try first.next))", as: admin)
            let whole = try first.column("last_name") + second.column("last_name")
            #expect(whole.count == 240)

            var seen: [JSON] = []
            var pages = 0
            var after: String? = ""
            while let cursor = after {
                let reply = try await api.send(
                    .get, "/v1/leads?limit=200&sort=\(sort)" + (cursor.isEmpty ? "" : "&after=\(cursor)"), as: admin)
                try #require(reply.status == 200, "\(reply.text)")
                #expect(reply.text.utf8.count < 1_200_000)
                let descriptions = try reply.column("description")
                #expect(descriptions.allSatisfy { $0 == .null || $0.string?.utf8.count == 9_000 })
                seen += try reply.column("last_name")
                after = try reply.next
                pages += 1
                try #require(pages < 20)
            }
            #expect(seen == whole)
            #expect(pages == 2)
        }
    }

    @Test func filtersNarrowTheList() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            for body in [
                #"{"last_name":"A","status":"new","score":1,"company":"X","tags":["hot","eu"],"custom":{"size":5,"vip":true}}"#,
                #"{"last_name":"B","status":"contacted","score":2,"email":"b@example.com","tags":["cold"],"custom":{"size":"5"}}"#,
                #"{"last_name":"C","status":"qualified","owner_id":"\#(api.colleague)","company":"Zeta, Inc.","custom":{"size":"a,b"}}"#,
            ] { _ = try await api.create(body, as: admin) }
            let first = try await api.send(.get, "/v1/leads?sort=created_at&limit=1", as: admin).column("created_at")[0].string ?? ""
            for (query, names) in [
                ("status=new,qualified", "AC"), ("score=1,2", "AB"), ("company=X", "A"), (#"company=Zeta\,%20Inc."#, "C"),
                (#"company=Zeta\,%20Inc.,X"#, "AC"), ("company=Zeta,%20Inc.", ""),
                (#"custom.size=a\,b,5"#, "ABC"), ("email=b@example.com", "B"),
                ("owner_id=\(api.colleague)", "C"), ("tag=hot,cold", "AB"), ("tag=warm", ""), ("custom.size=5", "AB"),
                ("custom.vip=true", "A"),
                ("created_at[lt]=\(first)", ""), ("updated_at[gt]=2020-01-01T00:00:00Z", "ABC"), ("status=new&tag=eu&score=1", "A"),
                ("created_at[gt]=2020-01-01T00:00:00%2B02:00&created_at[lt]=2999-01-01T00:00:00Z&q=a", "A"),
            ] {
                let reply = try await api.send(.get, "/v1/leads?sort=last_name&\(query)", as: admin)
                try #require(reply.status == 200, "\(query): \(reply.text)")
                #expect(try reply.column("last_name").compactMap(\.string).joined() == names, "\(query)")
            }
        }
    }

    @Test func countsAndSparseFieldsAreAnsweredOnDemand() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            for index in 0..<3 { _ = try await api.create(#"{"last_name":"L\#(index)"}"#, as: admin) }
            let exact = try await api.send(.get, "/v1/leads?limit=1&count=exact&fields=last_name&sort=last_name", as: admin)
            #expect(try exact.json["data"] == [["last_name": "L0"]])
            #expect(try exact.json["page"]?["total"] == 3)
            let estimate = try await api.send(.get, "/v1/leads?count=estimate&status=new", as: admin)
            #expect(try estimate.json["page"]?["total"] == 3)
            #expect(try estimate.json["page"]?["total_relation"] == "exact")
            let plain = try await api.send(.get, "/v1/leads", as: admin)
            #expect(try plain.json["page"] == ["next": nil, "limit": 50])
        }
    }

    @Test func aCursorServesOnlyTheListThatItCameFrom() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            for index in 0..<3 { _ = try await api.create(#"{"last_name":"L\#(index)"}"#, as: admin) }
            let cursor = try #require(try await api.send(.get, "/v1/leads?limit=1&status=new", as: admin).next)
            #expect(try await api.send(.get, "/v1/leads?limit=2&status=new&after=\(cursor)", as: admin).status == 200)
            #expect(try await api.send(.get, "/v1/leads?status=new&after=\(cursor)", as: api.member(.manager)).status == 200)

            var tampered = Array(cursor)
            tampered[10] = tampered[10] == "A" ? "B" : "A"
            let sales = api.member(.sales)
            for (query, caller) in [
                ("limit=1&after=\(cursor)", admin), ("status=contacted&after=\(cursor)", admin),
                ("status=new&sort=score&after=\(cursor)", admin),
                ("status=new&deleted=only&after=\(cursor)", admin), ("status=new&q=x&after=\(cursor)", admin),
                ("status=new&after=\(String(tampered))", admin), ("status=new&after=\(cursor.dropLast(4))", admin),
                ("status=new&after=\(cursor)", api.member(tenant: TenantID())), ("status=new&after=\(cursor)", sales), ("after=", admin),
            ] {
                let reply = try await api.send(.get, "/v1/leads?\(query)", as: caller)
                #expect(reply.status == 400, "\(query)")
                #expect(try reply.code == "invalid_cursor", "\(query)")
            }
        }
    }

    /// Filters are found whichever way the rows lie: a few among many, at the end of the order, none, or all but some; in each order, of
    /// live and of deleted records, page by page.
    @Test(arguments: ["created_at", "-created_at", "last_name", "-last_name", "company", "-score", "score"])
    func rareAndCommonRowsAreFoundInEveryOrder(sort: String) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.fill(ofTenant: 3_000)
            for (filter, expected) in [
                // One in a thousand; only the last ones by name; half of all; nothing at all.
                ("source=rare", 3), ("source=last", 19), ("tag=even", 1_500), ("custom.n=7", 1), ("source=never", 0), ("q=never", 0),
                ("q=rareword", 3), ("q=commonword&source=rare", 3), ("status=contacted&tag=even&q=commonword", 1_458),
                ("score=6&tag=even", 30), ("owner_id=\(api.colleague)", 3), ("owner_id=\(api.colleague)&tag=even", 3),
                ("created_at[gt]=2020-01-01T00:30:00Z&source=last", 19), ("updated_at[lt]=2020-01-01T00:00:10Z&tag=even", 4),
                // Ranges and beginnings, what is missing, and all but what most have.
                ("score[gte]=98", 60), ("score[gte]=10&score[lte]=12&tag=even", 30), ("last_name[prefix]=NAME000001", 10),
                ("company[prefix]=company4&status[not]=contacted", 6), ("status[not]=contacted", 42), ("status[not]=new,contacted", 0),
                ("source[null]=false", 22), ("source[null]=false&source[not]=last", 3), ("source[not]=last&source[null]=true", 2_978),
                ("owner_id[null]=true", 0), ("owner_id[null]=false&q=rareword", 3), ("tag[not]=even", 1_500),
                ("company[null]=true&source=rare", 1), ("score[null]=true&source=rare", 3), ("q=commonword&source[not]=rare&score=6", 30),
                ("source[not]=rare&custom.n=1000", 0),
                // What looks like the end of an unfinished word.
                ("company=x%27:*&q=commonword", 0), ("company[prefix]=x%27:*%20y", 0), ("custom.n=%27:*%5C", 0),
            ] {
                var seen: [JSON] = []
                var target = "/v1/leads?limit=40&sort=\(sort)&fields=id&\(filter)"
                while true {
                    let reply = try await api.send(.get, target, as: admin)
                    try #require(reply.status == 200, "\(filter): \(reply.text)")
                    seen += try reply.column("id")
                    guard let next = try reply.next else { break }
                    target = "/v1/leads?limit=40&sort=\(sort)&fields=id&\(filter)&after=\(next)"
                }
                #expect(seen.count == expected, "\(filter)")
                #expect(Set(seen).count == seen.count, "\(filter): a row was shown twice")
                let first = try await api.send(.get, "/v1/leads?limit=40&sort=\(sort)&fields=id&count=exact&\(filter)", as: admin)
                #expect(try first.column("id") == Array(seen.prefix(40)), "\(filter)")
                #expect(try first.json["page"]?["total"] == .number(expected), "\(filter)")
            }
        }
    }

    /// Case 8: by the root of the Unicode collation, whatever the machine's locale is.
    @Test func textIsSortedByTheUnicodeCollation() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let names = ["apple", "Äpfel", "Banana", "cherry", "eclair", "éclair", "Øre", "zoo"]
            for name in names.reversed() { _ = try await api.create(#"{"last_name":"\#(name)"}"#, as: admin) }
            let page = try await api.send(.get, "/v1/leads?sort=last_name", as: admin)
            #expect(
                try page.column("last_name").compactMap(\.string) == [
                    "Äpfel", "apple", "Banana", "cherry", "eclair", "éclair", "Øre", "zoo",
                ])
            let second = try await api.send(.get, "/v1/leads?sort=-last_name&limit=3&fields=last_name", as: admin)
            let third = try await api.send(
                .get, "/v1/leads?sort=-last_name&limit=3&fields=last_name&after=\(try #require(try second.next))", as: admin)
            #expect(
                try (second.column("last_name") + third.column("last_name")).compactMap(\.string)
                    == ["zoo", "Øre", "éclair", "eclair", "cherry", "Banana"])
        }
    }

    /// Each order, each filter, and each filter in each order is led by an index, on a table with tenants of very unlike size.
    @Test func everyListIsLedByAnIndex() async throws {
        try await ResourceAPI.leads { api in
            try await api.fill(ofTenant: 20_000)
            let faults = try await SchemaCheck.planFaults(
                of: Lead.definition,
                values: [
                    "status": "new", "status[not]": "contacted", "score": "5", "score[gt]": "98", "score[gte]": "99", "score[lt]": "1",
                    "score[lte]": "0", "owner_id": api.colleague.description, "owner_id[not]": api.colleague.description,
                    "email": "a@b.example",
                    "created_at[gt]": "2020-01-01T05:30:00Z", "created_at[gte]": "2020-01-01T05:30:00Z",
                    "updated_at[gt]": "2020-01-01T05:30:00Z", "updated_at[gte]": "2020-01-01T05:30:00Z",
                ],
                on: api.postgres, as: api.member())
            #expect(faults.isEmpty, "\(faults.joined(separator: "\n\n"))")
        }
    }

    @Test func everyListOfAccountsAndContactsIsLedByAnIndex() async throws {
        try await ResourceAPI.contacts { api in
            try await api.fillAccountsAndContacts(ofTenant: 20_000)
            let one = api.colleague.description
            let values = [
                "owner_id": one, "account_id": one, "parent_id": one, "status": "former", "employees": "5", "annual_revenue_minor": "5",
                "email": "a@b.example", "domain": "b.example", "do_not_contact": "true",
                "employees[gt]": "498", "employees[gte]": "499", "employees[lt]": "1", "employees[lte]": "0",
                "annual_revenue_minor[gt]": "39990", "annual_revenue_minor[gte]": "39990", "annual_revenue_minor[lt]": "5",
                "annual_revenue_minor[lte]": "5", "created_at[gt]": "2020-01-01T11:00:00Z", "created_at[gte]": "2020-01-01T11:00:00Z",
                "updated_at[gt]": "2999-01-01T00:00:00Z", "updated_at[gte]": "2999-01-01T00:00:00Z",
            ]
            for definition in [Account.definition, Contact.definition] {
                let faults = try await SchemaCheck.planFaults(of: definition, values: values, on: api.postgres, as: api.member())
                #expect(faults.isEmpty, "\(faults.joined(separator: "\n\n"))")
            }
        }
    }

    @Test func everyListOfProductsAndExchangeRatesIsLedByAnIndex() async throws {
        try await ResourceAPI.run(Product.definition, ExchangeRate.definition) { api in
            try await api.fillProductsAndExchangeRates(ofTenant: 10_000)
            let values = [
                "sku": "other5", "active": "false", "active[not]": "true", "currency": "JPY", "base_currency": "JPY",
                "valid_from": "2020-01-05",
                "valid_from[gt]": "2047-01-01", "valid_from[gte]": "2047-01-01", "valid_from[lt]": "2020-01-05",
                "valid_from[lte]": "2020-01-05", "created_at[gt]": "2020-01-01T05:30:00Z", "created_at[gte]": "2020-01-01T05:30:00Z",
                "updated_at[gt]": "2999-01-01T00:00:00Z", "updated_at[gte]": "2999-01-01T00:00:00Z",
            ]
            for definition in api.resources.map(\.definition) {
                let faults = try await SchemaCheck.planFaults(of: definition, values: values, on: api.postgres, as: api.member())
                #expect(faults.isEmpty, "\(faults.joined(separator: "\n\n"))")
            }
        }
    }
}

extension ResourceAPI {
    /// So many accounts and contacts of the tenant, and as many again of 200 tenants.
    fileprivate func fillAccountsAndContacts(ofTenant count: Int) async throws {
        try await write([
            """
            insert into account (tenant_id, id, external_id, phone, phone_e164, name, domain, employees, annual_revenue_minor, currency, status, parent_id, owner_id, \
                created_at, updated_at, created_by, updated_by) \
            select case when n <= \(count)::int then \(tenant)::uuid else md5((n % 200)::text)::uuid end, gen_random_uuid(), 'other' || n, '040 5' || n, '+49405' || n, 'name' || n, \
                'a' || n || '.example', n % 500, n, 'EUR', case when n % 90 = 0 then 'former' when n % 90 = 1 then 'customer' else 'prospect' end, \
                case when n % 1000 = 1 then \(colleague)::uuid else gen_random_uuid() end, \
                case when n % 1000 = 2 then \(colleague)::uuid else gen_random_uuid() end, \
                made, made, gen_random_uuid(), gen_random_uuid() \
            from generate_series(1, 2 * \(count)::int) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
            """,
            """
            insert into contact (tenant_id, id, external_id, phone, phone_e164, last_name, account_id, do_not_contact, owner_id, created_at, updated_at, created_by, updated_by) \
            select case when n <= \(count)::int then \(tenant)::uuid else md5((n % 200)::text)::uuid end, gen_random_uuid(), 'other' || n, '040 5' || n, '+49405' || n, 'name' || n, \
                case when n % 1000 = 1 then \(colleague)::uuid else gen_random_uuid() end, n % 50 = 0, \
                case when n % 1000 = 2 then \(colleague)::uuid else gen_random_uuid() end, \
                made, made, gen_random_uuid(), gen_random_uuid() \
            from generate_series(1, 2 * \(count)::int) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
            """,
            "analyze account", "analyze contact",
        ])
    }
}

extension ResourceAPI {
    /// So many products and exchange rates of the tenant, and as many again of 200 tenants.
    fileprivate func fillProductsAndExchangeRates(ofTenant count: Int) async throws {
        try await write([
            """
            insert into product (tenant_id, id, external_id, name, sku, active, created_at, updated_at, created_by, updated_by) \
            select case when n <= \(count)::int then \(tenant)::uuid else md5((n % 200)::text)::uuid end, gen_random_uuid(), 'other' || n, 'name' || n, \
                'other' || n, n % 90 <> 0, made, made, gen_random_uuid(), gen_random_uuid() \
            from generate_series(1, 2 * \(count)::int) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
            """,
            """
            insert into exchange_rate (tenant_id, id, external_id, currency, base_currency, rate, valid_from, created_at, updated_at, created_by, updated_by) \
            select case when n <= \(count)::int then \(tenant)::uuid else md5((n % 200)::text)::uuid end, gen_random_uuid(), 'other' || n, \
                case when n % 100 = 1 then 'JPY' else 'GBP' end, case when n % 100 = 2 then 'JPY' else 'EUR' end, 1.5, date '2020-01-01' + n, \
                made, made, gen_random_uuid(), gen_random_uuid() \
            from generate_series(1, 2 * \(count)::int) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
            """,
            "analyze product", "analyze exchange_rate",
        ])
    }
}

/// Tells those beside it when it has come to the end.
private final class Reader: Sendable {
    private let ended = Mutex(false)

    var hasEnded: Bool { ended.withLock(\.self) }
    func end() { ended.withLock { $0 = true } }
}
