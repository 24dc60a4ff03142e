import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// What is special about exchange rates; what every resource has is tested with the engine.
@Suite struct ExchangeRateTests {
    /// Runs the service, with an administrator of a tenant that counts in euros.
    static func run(_ body: @escaping @Sendable (RunningService, TestDatabase, RequestContext) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                guard case .member(var context) = AccountTests.member(.tenantAdmin) else { return }
                context.currency = "EUR"
                try await body(service, database, context)
            }
        }
    }

    static func member(_ role: BuiltInRole, of context: RequestContext) -> Caller { AccountTests.member(role, tenant: context.tenant) }

    static let path = "/v1/exchange-rates"

    static func rate(_ currency: String, _ rate: String, _ day: String, _ more: [String: JSON] = [:]) -> JSON {
        var body: JSONObject = JSONObject()
        (body["currency"], body["rate"], body["valid_from"]) = (.string(currency), .string(rate), .string(day))
        for (name, value) in more { body[name] = value }
        return .object(body)
    }

    @Test func aRateIsKeptAndRecordedExactly() async throws {
        try await Self.run { service, database, context in
            let admin = Caller.member(context)
            let made = try await service.send(
                .post, Self.path, Self.rate("KWD", "1234567890.0123456700", "2026-01-31", ["source": "ECB"]), as: admin, expecting: 201)
            #expect(made.json["rate"] == "1234567890.01234567" && made.json["base_currency"] == "EUR")
            let one = "\(Self.path)/\(made.json["id"]?.string ?? "")"
            #expect(try await service.send(.get, one, as: admin, expecting: 200).json == made.json)
            // The same in another spelling changes nothing.
            let same = try await service.send(.patch, one, ["rate": "1234567890.012345670"], as: admin, expecting: 200)
            #expect(same.json["version"] == 1)
            try await service.send(.patch, one, ["rate": "0.0000000001"], as: admin, expecting: 200)
            let rates = try await database.query(
                in: .crm,
                [
                    """
                    select payload #> '{before,rate}', payload #> '{after,rate}' from outbox \
                    where aggregateid = \(made.json["id"]?.string ?? "") order by id
                    """
                ])[0]
            #expect(try rates[0].decode(1, as: JSON.self) == "1234567890.01234567")
            #expect(try rates[1].decode(0, as: JSON.self) == "1234567890.01234567" && rates[1].decode(1, as: JSON.self) == "0.0000000001")
        }
    }

    @Test func aCurrencyHasOneRateFromADayOn() async throws {
        try await Self.run { service, _, context in
            let admin = Caller.member(context)
            let first = try await service.send(.post, Self.path, Self.rate("USD", "0.92", "2026-01-31"), as: admin, expecting: 201)
            let one = "\(Self.path)/\(first.json["id"]?.string ?? "")"
            func expectTaken(_ answer: APIAnswer) {
                #expect(answer.code == "already_exists" && answer.json["errors"]?[0]?["pointer"] == "/valid_from", "\(answer.text)")
                #expect(answer.json["detail"] == "There is a rate of this currency from this day on already.")
            }
            expectTaken(try await service.send(.post, Self.path, Self.rate("USD", "0.93", "2026-01-31"), as: admin, expecting: 409))
            try await service.send(.post, Self.path, Self.rate("GBP", "1.15", "2026-01-31"), as: admin, expecting: 201)
            let next = try await service.send(.post, Self.path, Self.rate("USD", "0.91", "2026-02-01"), as: admin, expecting: 201)
            let other = "\(Self.path)/\(next.json["id"]?.string ?? "")"
            expectTaken(try await service.send(.patch, other, ["valid_from": "2026-01-31"], as: admin, expecting: 409))

            // The tenant comes to count in another currency: those of before stay, beside the new ones.
            var yen = context
            yen.currency = "JPY"
            try await service.send(.post, Self.path, Self.rate("USD", "155.2", "2026-01-31"), as: .member(yen), expecting: 201)
            let list = try await service.send(
                .get, "\(Self.path)?base_currency=EUR&currency=USD&valid_from%5Blte%5D=2026-06-01&sort=-valid_from&limit=1", as: admin,
                expecting: 200)
            #expect(list.json["data"]?[0]?["rate"] == "0.91")

            // What is deleted is in nobody's way, and cannot come back where there is another.
            try await service.send(.delete, one, as: admin, expecting: 204)
            try await service.send(.patch, other, ["valid_from": "2026-01-31"], as: admin, expecting: 200)
            expectTaken(try await service.send(.post, "\(one)/restore", as: admin, expecting: 409))
        }
    }

    @Test func whatIsNoRateIsRefused() async throws {
        try await Self.run { service, _, context in
            let admin = Caller.member(context)
            for rate in ["0", "-1", "1e3", "1.12345678901", "12345678901", "01", ".5", "one"] {
                let answer = try await service.send(.post, Self.path, Self.rate("USD", rate, "2026-01-31"), as: admin, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"] == "/rate", "\(rate) \(answer.text)")
            }
            for (body, pointer) in [
                (Self.rate("USD", "1", "2026-01-31", ["rate": 1.5.json]), "/rate"), (Self.rate("USD", "1", "2026-02-30"), "/valid_from"),
                (Self.rate("EUR", "1", "2026-01-31"), "/currency"), (Self.rate("EURO", "1", "2026-01-31"), "/currency"),
                (Self.rate("USD", "1", "2026-01-31", ["base_currency": "USD"]), "/currency"),
                (["currency": "USD", "valid_from": "2026-01-31"], "/rate"),
            ] as [(JSON, JSON)] {
                let answer = try await service.send(.post, Self.path, body, as: admin, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"] == pointer, "\(answer.text)")
            }
            try await service.send(.post, Self.path, Self.rate("USD", "1", "2026-01-31", ["base": "EUR"]), as: admin, expecting: 400)
            for query in ["rate=1", "sort=rate"] { try await service.send(.get, "\(Self.path)?\(query)", as: admin, expecting: 400) }
        }
    }

    @Test func administratorsKeepTheRatesThatSalesRead() async throws {
        try await Self.run { service, _, context in
            let (admin, key) = (Caller.member(context), [("Idempotency-Key", "k")])
            let body = Self.rate("USD", "0.92", "2026-01-31")
            let made = try await service.send(.post, Self.path, body, as: admin, headers: key, expecting: 201)
            #expect(try await service.send(.post, Self.path, body, as: admin, headers: key, expecting: 201).json == made.json)
            let one = "\(Self.path)/\(made.json["id"]?.string ?? "")"
            for role in [BuiltInRole.manager, .sales, .readOnly] {
                let reader = Self.member(role, of: context)
                try await service.send(.get, one, as: reader, expecting: 200)
                try await service.send(.patch, one, ["rate": "1"], as: reader, expecting: 403)
                try await service.send(.post, Self.path, body, as: reader, expecting: 403)
            }
            try await service.send(.get, one, as: Self.member(.support, of: context), expecting: 403)
            try await service.send(.get, one, as: AccountTests.member(.tenantAdmin), expecting: 404)
            try await service.send(.patch, one, ["rate": "1"], as: admin, headers: [("If-Match", "\"7\"")], expecting: 412)
        }
    }

    /// What totals in another currency are made of.
    @Test func theNewestRateOfADayIsFoundAndApplied() async throws {
        try await Self.run { service, database, context in
            let admin = Caller.member(context)
            for (currency, rate, day) in [
                ("USD", "0.92", "2026-01-31"), ("USD", "0.9", "2026-03-01"), ("JPY", "0.0061", "2026-01-01"),
                ("KWD", "3.005", "2026-01-01"),
            ] {
                try await service.send(.post, Self.path, Self.rate(currency, rate, day), as: admin, expecting: 201)
            }
            func exchanged(_ amount: Int64, _ currency: String, _ day: String, to base: String = "EUR") async throws -> [String?] {
                let row = try await database.query(
                    in: .crm,
                    [
                        """
                        select exchanged_minor(\(amount)::numeric, \(currency), \(base), rate)::text, rate::text, valid_from::text \
                        from exchange_rate_on(\(context.tenant)::uuid, \(currency), \(base), \(day)::date)
                        """
                    ])[0].first
                return (0..<3).map { column in row?.text(column) }
            }
            #expect(try await exchanged(10_001, "USD", "2026-02-28") == ["9201", "0.92", "2026-01-31"])
            #expect(try await exchanged(10_001, "USD", "2026-03-01") == ["9001", "0.9", "2026-03-01"])
            // Half a cent is one.
            #expect(try await exchanged(5, "USD", "2026-03-01") == ["5", "0.9", "2026-03-01"])
            #expect(try await exchanged(9_007_199_254_740_991, "JPY", "2026-02-01") == ["5494391545392005", "0.0061", "2026-01-01"])
            #expect(try await exchanged(1_234_567, "KWD", "2026-02-01") == ["370987", "3.005", "2026-01-01"])
            #expect(try await exchanged(77, "EUR", "2026-02-01") == ["77", "1", "2026-02-01"])
            #expect(try await exchanged(77, "USD", "2026-01-30") == [nil, nil, nil])
            #expect(try await exchanged(77, "USD", "2026-03-01", to: "JPY") == [nil, nil, nil])
            for code in Currency.codes {
                let digits = try await database.query(in: .crm, ["select currency_digits(\(code))"])[0][0].decode(0, as: Int.self)
                #expect(digits == Currency.minorDigits(of: code), "\(code)")
            }
        }
    }
}

extension Double {
    fileprivate var json: JSON { .number(description) }
}
