import Core
import Foundation
import FoundationXML
import Operations
import Postgres
import TestSupport
import Testing

@testable import CRM

@Suite struct ForecastTests {
    private static func forecast(_ service: RunningService, _ query: String, as caller: Caller) async throws -> [JSON] {
        let answer = try await service.send(.get, "/v1/reports/forecast?\(query)", as: caller, expecting: 200)
        return answer.json["data"]?.array ?? []
    }

    @Test func eachSumIsWhatItSays() async throws {
        try await PipelineTests.run { service, _, admin in
            let stages = try await DealTests.stages(service, admin)
            for (amount, currency, day, stage, probability) in [
                (100, "EUR", "2026-01-31", "Proposal", nil), (50, "EUR", "2026-01-01", "Negotiation", nil),
                (7, "EUR", "2026-02-28", "Discovery", 30),
                (1000, "JPY", "2026-01-15", "Qualification", 75), (5, "EUR", nil, "Qualification", nil),
                (9, "EUR", "2026-01-31", "Lost", nil),
                (nil, "EUR", "2026-01-31", "Proposal", nil), (3, "EUR", "2025-12-31", "Proposal", nil),
            ] as [(Int?, String, String?, String, Int?)] {
                var body = JSONObject()
                body["name"] = "A"
                body["amount_minor"] = amount.map { .number($0) }
                body["currency"] = .string(currency)
                body["expected_close_on"] = day.map { .string($0) }
                body["stage_id"] = stages[stage]
                body["probability"] = probability.map { .number($0) }
                try await service.send(.post, "/v1/deals", .object(body), as: admin, expecting: 201)
            }
            func sums(_ line: JSON) -> [Int64?] {
                ["open_minor", "weighted_minor", "committed_minor", "won_minor", "open_count", "won_count"].map { line[$0]?.integer }
            }
            let lines = try await Self.forecast(service, "from=2026-01-20&periods=2", as: admin)
            #expect(lines.map { $0["period"]?["start"]?.string } == ["2026-01-01", "2026-01-01", "2026-02-01", nil])
            #expect(lines.map { $0["currency"]?.string } == ["EUR", "JPY", "EUR", "EUR"])
            #expect(lines.first?["period"]?["end"] == "2026-01-31")
            // Half a unit counts as one: 50 + 37.5, 2.1, 0.5.
            #expect(lines.map(sums) == [[150, 88, 50, 0, 3, 0], [1000, 750, 1000, 0, 1, 0], [7, 2, 0, 0, 1, 0], [5, 1, 0, 0, 1, 0]])
            let quarter = try await Self.forecast(service, "period=quarter&fiscal_year_starts=2&from=2026-01-20&periods=1", as: admin)
            #expect(quarter.first?["period"] == ["start": "2025-11-01", "end": "2026-01-31"])
            #expect(quarter.first.map(sums) == [153, 89, 50, 0, 4, 0])
            guard case .member(var context) = admin else { return }
            context.fiscalYearStarts = 2
            let own = try await Self.forecast(service, "period=quarter&from=2026-01-20&periods=1", as: .member(context))
            #expect(own == quarter, "the tenant's fiscal year begins in February")
            let path = "/v1/reports/forecast?period=quarter&from=2026-01-01&limit=1"
            let page = try await service.send(.get, path, as: admin, expecting: 200).json["page"]
            let behind = "\(path)&after=\(try #require(page?["next"]?.string))"
            try await service.send(.get, behind, as: admin, expecting: 200)
            let moved = try await service.send(.get, behind, as: .member(context), expecting: 400)
            #expect(moved.code == "invalid_cursor", "its periods are others")
            let other = try await Self.forecast(
                service, "period=quarter&fiscal_year_starts=1&from=2026-01-20&periods=1", as: .member(context))
            #expect(other.first?["period"] == ["start": "2026-01-01", "end": "2026-03-31"])
            // What is won counts on its day, whatever was expected.
            let won = try await service.send(
                .post, "/v1/deals", ["name": "W", "amount_minor": 11, "currency": "EUR", "stage_id": stages["Won"] ?? .null], as: admin,
                expecting: 201
            ).json
            let now = try await Self.forecast(service, "periods=1", as: admin)
            #expect(now.first { $0["won_count"] == 1 }.map(sums) == [0, 0, 11, 11, 0, 1])
            let byPipeline = try await Self.forecast(service, "periods=1&group=pipeline", as: admin)
            #expect(byPipeline.first?["group"] == ["id": won["pipeline_id"] ?? .null, "name": "Sales"])
            // A page at a time it is the same.
            var target = "from=2026-01-20&periods=2&limit=1"
            var paged: [JSON] = []
            while true {
                let page = try await service.send(.get, "/v1/reports/forecast?\(target)", as: admin, expecting: 200).json
                paged += page["data"]?.array ?? []
                guard let next = page["page"]?["next"]?.string else { break }
                target = "from=2026-01-20&periods=2&limit=1&after=\(next)"
            }
            #expect(paged == lines)
        }
    }

    @Test func anotherCurrencyIsConvertedAtTheRateOfTheDay() async throws {
        try await PipelineTests.run { service, _, admin in
            let deal: JSON = ["name": "A", "amount_minor": 1000, "currency": "JPY", "expected_close_on": "2026-01-31"]
            try await service.send(.post, "/v1/deals", deal, as: admin, expecting: 201)
            let none = try await Self.forecast(service, "from=2026-01-01&periods=1", as: admin)
            #expect(none.first?["converted"] == .null)
            for (day, rate) in [("2020-01-01", "0.0065"), ("9999-01-01", "1")] as [(JSON, JSON)] {
                try await service.send(
                    .post, "/v1/exchange-rates", ["currency": "JPY", "rate": rate, "valid_from": day], as: admin, expecting: 201)
            }
            let line = try await Self.forecast(service, "from=2026-01-01&periods=1", as: admin).first
            let converted: JSON = [
                "currency": "USD", "open_minor": 650, "weighted_minor": 65, "committed_minor": 0, "won_minor": 0, "rate": "0.0065",
                "rate_valid_from": "2020-01-01",
            ]
            #expect(line?["converted"] == converted, "\(String(describing: line))")
        }
    }

    @Test func aForecastIsOfWhatTheCallerMayRead() async throws {
        try await PipelineTests.run { service, database, admin in
            try await service.send(
                .post, "/v1/deals", ["name": "A", "amount_minor": 5, "expected_close_on": "2026-01-31"], as: admin, expecting: 201)
            let query = "from=2026-01-01&periods=1"
            func member(_ role: BuiltInRole, _ change: (inout RequestContext) -> Void) throws -> Caller {
                guard case .member(var context) = PipelineTests.colleague(of: admin, role) else { throw Problem.notFound }
                change(&context)
                return .member(context)
            }
            let own = try member(.sales) { $0.scopes[.deals] = .own }
            #expect(try await Self.forecast(service, query, as: own).isEmpty)
            #expect(try await Self.forecast(service, "\(query)&as_of=\(Timestamp.now)", as: own).isEmpty)
            #expect(try await Self.forecast(service, query, as: AccountTests.member(.manager)).isEmpty)
            let blind = try member(.manager) { $0.fields = FieldRules(["deals": ["amount_minor": .hidden]]) }
            let refused = try await service.send(.get, "/v1/reports/forecast?\(query)", as: blind, expecting: 403)
            #expect(refused.text.contains("amount_minor"))
            let unowned = try member(.manager) { $0.fields = FieldRules(["deals": ["owner_id": .hidden]]) }
            try await service.send(.get, "/v1/reports/forecast?\(query)&group=owner", as: unowned, expecting: 403)
            #expect(try await Self.forecast(service, query, as: unowned).count == 1)
            let support = try await service.send(
                .get, "/v1/reports/forecast", as: PipelineTests.colleague(of: admin, .support), expecting: 403)
            #expect(support.text.contains("deals.read"))
            // Who shares a team sees what the other owns, and of each team that he is in.
            guard case .member(let context) = admin, case .member(let mate) = own else { return }
            let team = RecordID()
            try await database.query(
                in: .crm,
                [context.user, mate.user].map { user in
                    "insert into team_member_copy (tenant_id, team_id, user_id) values (\(context.tenant), \(team), \(user))"
                })
            let teammate = try member(.sales) { ($0.scopes[.deals], $0.user) = (.team, mate.user) }
            let lines = try await Self.forecast(service, "\(query)&group=team", as: teammate)
            #expect(lines.count == 1 && lines.first?["group"]?["id"]?.string == team.description)
            for (parameter, name) in [
                ("period=week", "period"), ("group=stage", "group"), ("from=2026-02-30", "from"), ("periods=25", "periods"),
                ("periods=0", "periods"),
                ("as_of=2999-01-01T00:00:00Z", "as_of"), ("as_of=now", "as_of"), ("fiscal_year_starts=13", "fiscal_year_starts"),
            ] {
                let answer = try await service.send(.get, "/v1/reports/forecast?\(parameter)", as: admin, expecting: 400)
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "?\(name)", "\(answer.text)")
            }
            #expect(try await service.send(.get, "/v1/reports/forecast?after=x", as: admin, expecting: 400).code == "invalid_cursor")
        }
    }

    @Test func aPictureHasTheSumsOfTheAnswer() async throws {
        try await PipelineTests.run { service, database, admin in
            guard case .member(let context) = admin else { return }
            func picture(_ query: String, accept: String = "image/svg+xml", expecting: Int = 200) async throws -> APIAnswer {
                try await service.send(
                    .get, "/v1/reports/forecast?\(query)", as: admin, headers: [("accept", accept)], expecting: expecting)
            }
            let empty = try await picture("from=2026-01-01")
            #expect(try SVGReader.read(empty).texts.contains("No deal is expected to close in these periods, and none was won."))
            let name = "<script>alert('1')</script> & \"Søns\" " + String(repeating: "Ω", count: 150)
            try await database.query(
                in: .crm,
                [
                    """
                    insert into member_copy (tenant_id, user_id, email, name, role, status, version)
                    values (\(context.tenant), \(context.user), 'a@kestrel.example', \(name), 'tenant_admin', 'active', 1)
                    """
                ])
            for (amount, currency, day, probability) in [
                (123_456_789, "EUR", "2026-01-31", 90), (5, "EUR", "2026-02-01", 10), (1000, "JPY", "2026-01-31", 50),
                (0, "KWD", "2026-01-31", 50), (1_234_567, "KWD", nil, 50),
            ] as [(JSON, JSON, JSON, JSON)] {
                let deal: JSON = [
                    "name": "A", "amount_minor": amount, "currency": currency, "expected_close_on": day, "probability": probability,
                ]
                try await service.send(.post, "/v1/deals", deal, as: admin, expecting: 201)
            }
            for (query, panels) in [
                ("from=2026-01-01", ["EUR", "JPY", "KWD"]),
                ("from=2026-01-01&period=quarter&group=owner", ["EUR", "JPY", "KWD"].map { "\($0) · \(name)" }),
            ] {
                let answer = try await picture(query)
                #expect(answer.header("content-type") == "image/svg+xml; charset=utf-8" && answer.header("vary") == "Accept")
                #expect(answer.header("content-security-policy") == "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
                let svg = try SVGReader.read(answer)
                #expect(svg.elements.isSubset(of: ["svg", "title", "desc", "style", "rect", "text", "g", "path"]))
                #expect(svg.texts.filter(panels.contains).count >= panels.count)
                for line in try await Self.forecast(service, query, as: admin) {
                    let currency = line["currency"]?.string ?? ""
                    let period = line["period"]?["start"]?.string ?? "No date"
                    let counts = "open \(line["open_count"]?.description ?? ""), won 0"
                    #expect(svg.texts.contains { $0.hasPrefix(period) && $0.hasSuffix(" \(currency). Deals: \(counts).") })
                    for sum in ["open", "weighted", "committed", "won"] {
                        let text = Currency.text(ofMinor: line["\(sum)_minor"]?.description ?? "", in: currency)
                        #expect(svg.texts.contains(text), "\(sum) of \(line)")
                    }
                }
            }
            let cut = try SVGReader.read(try await picture("from=2026-01-01&limit=1")).texts
            #expect(cut.contains { $0.hasPrefix("There are more than these 1") } && !cut.contains("JPY"))
            let json = try await picture("from=2026-01-01", accept: "*/*")
            #expect(json.header("content-type") == "application/json" && json.header("vary") == "Accept")
            let refused = try await picture("from=2026-01-01", accept: "image/png", expecting: 406)
            #expect(refused.code == "not_acceptable" && refused.text.contains("image/svg+xml"))
            let document = try await APIClient(url: service.url).send(.get, "/openapi.json", expecting: 200).json
            let responses = document["paths"]?["/v1/reports/forecast"]?["get"]?["responses"]
            #expect(responses?["200"]?["content"]?.object?.names == ["application/json", "image/svg+xml"] && responses?["406"] != nil)
        }
    }

    /// Goal: the past is told as it was. Method: some 200 changes of all that a forecast adds up, from a seed; what a forecast says in between is kept,
    /// and asked for again when all is over.
    @Test func howItStoodIsWhatWasSeenThen() async throws {
        try await PipelineTests.run { service, database, admin in
            guard case .member(let context) = admin else { return }
            let colleague = UserID()
            try await database.query(
                in: .crm,
                [
                    """
                    insert into member_copy (tenant_id, user_id, email, name, role, status, version)
                    values (\(context.tenant), \(colleague), 'b@kestrel.example', 'Ben', 'sales', 'active', 1)
                    """
                ])
            let pipelines = try await (0..<2).asyncMap { number in
                try await service.send(.post, "/v1/pipelines", ["name": .string("P\(number)")], as: admin, expecting: 201).json
            }
            let stages = pipelines.flatMap { $0["stages"]?.array ?? [] }.compactMap { $0["id"] }
            var random = SplitMix(seed: 29)
            var live: [String] = []
            var deleted: [String] = []
            var seen: [(query: String, moment: Timestamp, lines: [JSON])] = []
            for step in 0..<200 {
                let choice = random.next(in: 0..<10)
                if live.count < 6 || choice == 0 {
                    let body: JSON = [
                        "name": "A", "amount_minor": .number(random.next(in: 0..<1000)),
                        "stage_id": stages[random.next(in: 0..<stages.count)],
                        "expected_close_on": .string("2026-0\(1 + random.next(in: 0..<9))-15"),
                    ]
                    live.append(try await service.send(.post, "/v1/deals", body, as: admin, expecting: 201).json["id"]?.string ?? "")
                } else if choice == 1, live.count > 8 {
                    let id = live.remove(at: random.next(in: 0..<live.count))
                    try await service.send(.delete, "/v1/deals/\(id)", as: admin, expecting: 204)
                    deleted.append(id)
                } else if choice == 2, !deleted.isEmpty {
                    let id = deleted.remove(at: random.next(in: 0..<deleted.count))
                    try await service.send(.post, "/v1/deals/\(id)/restore", as: admin, expecting: 200)
                    live.append(id)
                } else {
                    let change: JSON =
                        switch random.next(in: 0..<7) {
                        case 0: ["amount_minor": .number(random.next(in: 0..<1000))]
                        case 1: ["currency": random.next(in: 0..<2) == 0 ? "EUR" : "USD"]
                        case 2:
                            ["expected_close_on": random.next(in: 0..<4) == 0 ? .null : .string("2026-0\(1 + random.next(in: 0..<9))-20")]
                        case 3: ["owner_id": .string((random.next(in: 0..<2) == 0 ? colleague : context.user).description)]
                        case 4: ["name": "B"]
                        default: ["stage_id": stages[random.next(in: 0..<stages.count)]]
                        }
                    try await service.send(.patch, "/v1/deals/\(live[random.next(in: 0..<live.count)])", change, as: admin, expecting: 200)
                }
                guard step % 4 == 3 else { continue }
                // A millisecond that begins behind the last change, and ends before the next one.
                let moment = Timestamp.now.advanced(by: .milliseconds(1))
                while Timestamp.now <= moment { await Task.yield() }
                let period = ["month", "quarter"][random.next(in: 0..<2)]
                let group = ["currency", "owner", "pipeline"][random.next(in: 0..<3)]
                let query = "period=\(period)&group=\(group)&from=2026-01-01&periods=24&limit=200"
                seen.append((query, moment, try await Self.forecast(service, query, as: admin)))
            }
            #expect(seen.count == 50 && Set(seen.map { $0.lines.count }).count > 3)
            for (query, moment, lines) in seen {
                let told = try await Self.forecast(service, "\(query)&as_of=\(moment)", as: admin)
                #expect(told == lines, "\(query) as of \(moment)")
            }
            #expect(try await Self.forecast(service, "as_of=2001-01-01T00:00:00Z", as: admin).isEmpty)
        }
    }
}

/// A picture as a reader of XML finds it.
private final class SVGReader: NSObject, XMLParserDelegate {
    private(set) var elements: Set<String> = []
    /// What stands in its innermost elements.
    private(set) var texts: [String] = []
    private var text = ""

    /// - Throws: what is not well-formed.
    static func read(_ answer: APIAnswer) throws -> SVGReader {
        let (reader, parser) = (SVGReader(), XMLParser(data: Data(answer.body)))
        parser.delegate = reader
        guard parser.parse() else { throw parser.parserError ?? Problem.notFound }
        return reader
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?, attributes: [String: String]
    ) {
        elements.insert(name)
        text = ""
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        texts.append(text)
        text = ""
    }
}

extension ForecastTests {
    /// Goal: what a forecast of the past reads is what counts in its periods. Method: the pages that the statement reads, with 2,000 deals of the tenant that
    /// were expected in other years, and changed ten times since.
    @Test(arguments: [false, true]) func whatHappenedInOtherPeriodsCostsNothing(isScoped: Bool) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            let (tenant, user) = (TenantID(), UserID())
            try await database.query(
                in: .crm,
                [
                    "set local session_replication_role = replica",
                    """
                    insert into deal (tenant_id, id, name, pipeline_id, stage_id, stage_changed_at, status, currency, expected_close_on, created_at,
                    created_by, updated_by)
                    select \(tenant)::uuid, md5(n::text)::uuid, 'A', uuid_v7(), uuid_v7(), now(), 'open', 'EUR',
                    case when n <= 10 then date '2020-07-01' else '2022-07-01' end, '2020-01-01T00:00:00Z', \(user)::uuid, \(user)::uuid
                    from generate_series(1, 2000) as n
                    """,
                    """
                    insert into deal_history (tenant_id, deal_id, valid_from, valid_to, pipeline_id, stage_id, status, currency, expected_close_on,
                    is_deleted, leaves_stage, ended_by)
                    select tenant_id, id, created_at + k * interval '90 days', created_at + (k + 1) * interval '90 days', pipeline_id, stage_id,
                    (array['open', 'won', 'lost'])[1 + k % 3], 'EUR', date '2021-01-01' + k, false, false, created_by
                    from deal cross join generate_series(0, 9) as k where expected_close_on = '2022-07-01'
                    """, "analyze deal", "analyze deal_history",
                ])
            let query = try ForecastQuery(Query("as_of=2020-06-01T00:00:00Z"), fiscalYearStarts: 1)
            let states = ForecastStates(query: query, tenant: tenant, reach: isScoped ? "created_by = \(user)" : nil).sql
            let plan = try await database.query(
                in: .crm,
                [
                    "set local role martlet_crm", "select set_config('app.tenant', \(tenant.description), true)",
                    "set local enable_seqscan = off", "explain (analyze, buffers, costs off, timing off) " + states,
                ]
            )[3].compactMap { $0.text(0) }
            let pages = try #require(plan.first { $0.contains("Buffers: shared") }).matches(of: /(?:hit|read)=([0-9]+)/)
            #expect(pages.reduce(0) { $0 + (Int($1.output.1) ?? 0) } < 150, "\(plan.joined(separator: "\n"))")
            #expect(plan.first?.contains("rows=10 ") == true, "\(plan.first ?? "")")
        }
    }
}

/// Numbers from a seed (Steele, Lea and Flood, 2014).
private struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next(in range: Range<Int>) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return range.lowerBound + Int((mixed ^ (mixed >> 31)) % UInt64(range.count))
    }
}
