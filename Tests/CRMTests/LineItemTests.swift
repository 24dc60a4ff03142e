import CRM
import Core
import Foundation
import Operations
import Postgres
import TestSupport
import Testing

/// Line items of deals, and what they come to.
@Suite struct LineItemTests {
    /// Runs the service with a manager of a tenant that counts in euros, and a deal of his.
    private static func run(
        _ body: @escaping @Sendable (RunningService, TestDatabase, RequestContext, _ deal: String) async throws -> Void
    ) async throws {
        try await ExchangeRateTests.run { service, database, context in
            let deal = try await service.send(.post, "/v1/deals", ["name": "Kestrel: inspection"], as: .member(context), expecting: 201)
            try await body(service, database, context, "/v1/deals/\(deal.json["id"]?.string ?? "")")
        }
    }

    private static func faults(_ answer: APIAnswer) -> [String] {
        answer.json["errors"]?.array?.map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" } ?? []
    }

    @Test func theAmountOfADealIsTheSumOfItsLines() async throws {
        try await Self.run { service, database, context, deal in
            let member = Caller.member(context)
            let product = try await service.send(
                .post, "/v1/products",
                ["name": "Inspection", "tax_percent": "19", "prices": [["currency": "EUR", "unit_price_minor": 12_345]]],
                as: member, expecting: 201)
            let lines: JSON = [
                ["product_id": product.json["id"] ?? .null, "quantity": "1.50"],
                ["name": "Travel", "unit_price_minor": 999, "quantity": "0.3333", "discount_percent": "12.5"],
                [
                    "product_id": product.json["id"] ?? .null, "name": "Second plant", "unit_price_minor": 100, "tax_percent": "0",
                    "discount_minor": 1,
                ],
            ]
            let changed = try await service.send(.patch, deal, ["line_items": lines], as: member, expecting: 200)
            // 18517.5 and 291.34…: half a cent is one.
            #expect(changed.json["amount_minor"] == 18_908, "\(changed.text)")
            #expect(changed.json["version"] == 2)
            let kept = try #require(changed.json["line_items"]?.array)
            #expect(kept.map { $0["name"]?.string } == ["Inspection", "Travel", "Second plant"])
            #expect(kept.map { $0["unit_price_minor"]?.integer } == [12_345, 999, 100])
            #expect(kept.map { $0["tax_percent"]?.string } == ["19", nil, "0"] && kept[0]["quantity"] == "1.5")

            // With the tax, of each line by itself.
            let sums = try await service.send(.get, "\(deal)/line-items", as: member, expecting: 200)
            #expect(sums.json["data"]?.array?.map { $0["amount_minor"]?.integer } == [18_518, 291, 99])
            #expect(sums.json["data"]?.array?.map { $0["tax_minor"]?.integer } == [3_518, 0, 0])
            #expect(sums.json["amount_minor"] == 18_908 && sums.json["tax_minor"] == 3_518 && sums.json["total_minor"] == 22_426)
            #expect(sums.header("etag") == "\"2\"")

            // Sent back as they were read they change nothing, also when the product has gone; nor does another spelling of a number.
            try await service.send(.delete, "/v1/products/\(product.json["id"]?.string ?? "")", as: member, expecting: 204)
            let same = try await service.send(.patch, deal, ["line_items": .array(kept)], as: member, expecting: 200)
            #expect(same.json["version"] == 2 && same.json["line_items"] == changed.json["line_items"])
            // A line that is kept can be changed; a new one of the product cannot be made.
            var first = try #require(kept[0].object)
            first["quantity"] = "2"
            let more = try await service.send(.patch, deal, ["line_items": [.object(first)]], as: member, expecting: 200)
            #expect(more.json["amount_minor"] == 24_690 && more.json["version"] == 3)
            first["id"] = nil
            let gone = try await service.send(.patch, deal, ["line_items": [kept[1], .object(first)]], as: member, expecting: 422)
            #expect(
                gone.code == "reference_not_found" && Self.faults(gone) == ["/line_items/1/product_id reference_not_found"], "\(gone.text)")

            // Each change is in the trail once, the amount with its lines.
            let events = try await database.query(
                in: .crm,
                [
                    """
                    select payload #>> '{after,amount_minor}', payload #> '{after,line_items}' is not null from outbox \
                    where aggregatetype = 'deal' and type = 'deal.updated' order by id
                    """
                ])[0]
            #expect(try events.map { try $0.decode(0, as: String.self) } == ["18908", "24690"])
            #expect(try events.allSatisfy { try $0.decode(1, as: Bool.self) })
        }
    }

    @Test func theAmountIsNotSetBesideItsLines() async throws {
        try await Self.run { service, _, context, deal in
            let member = Caller.member(context)
            let line: JSON = ["name": "A", "unit_price_minor": 500, "quantity": "2"]
            try await service.send(.patch, deal, ["amount_minor": 1, "line_items": []], as: member, expecting: 200)
            try await service.send(.patch, deal, ["line_items": [line]], as: member, expecting: 200)
            for (body, pointer) in [
                (["amount_minor": 1], "/amount_minor"), (["amount_minor": nil], "/amount_minor"), (["currency": "JPY"], "/currency"),
                (["amount_minor": 1, "line_items": [line]], "/amount_minor"),
            ] as [(JSON, String)] {
                let answer = try await service.send(.patch, deal, body, as: member, expecting: 422)
                #expect(Self.faults(answer) == ["\(pointer) not_allowed"], "\(answer.text)")
                #expect(answer.json["errors"]?[0]?["detail"]?.string?.contains("line items") == true)
            }
            let both = try await service.send(
                .post, "/v1/deals", ["name": "B", "amount_minor": 7, "line_items": [line]], as: member, expecting: 422)
            #expect(Self.faults(both) == ["/amount_minor not_allowed"])
            let made = try await service.send(
                .post, "/v1/deals", ["name": "B", "currency": "JPY", "line_items": [line]], as: member, expecting: 201)
            #expect(made.json["amount_minor"] == 1000 && made.json["version"] == 1)
            // The same amount is no other one; another currency comes with its prices; without lines it is the deal's own again.
            try await service.send(.patch, deal, ["amount_minor": 1000, "name": "C"], as: member, expecting: 200)
            let yen = try await service.send(.patch, deal, ["currency": "JPY", "line_items": [line, line]], as: member, expecting: 200)
            #expect(yen.json["amount_minor"] == 2000)
            let none = try await service.send(.patch, deal, ["line_items": []], as: member, expecting: 200)
            #expect(none.json["amount_minor"] == 2000)
            try await service.send(.patch, deal, ["amount_minor": 5], as: member, expecting: 200)
        }
    }

    @Test func aLineThatSaysTooLittleOrTooMuchIsNamed() async throws {
        try await Self.run { service, _, context, deal in
            let member = Caller.member(context)
            let product = try await service.send(
                .post, "/v1/products", ["name": "Inspection", "prices": [["currency": "USD", "unit_price_minor": 1]]], as: member,
                expecting: 201)
            let id: JSON = .string(RecordID().description)
            let good: JSON = ["name": "A", "unit_price_minor": 500]
            for (line, faults) in [
                (["unit_price_minor": 1], "/line_items/1/name required"), (["name": "B"], "/line_items/1/unit_price_minor required"),
                (["product_id": product.json["id"] ?? .null], "/line_items/1/unit_price_minor required"),
                (["product_id": id], "/line_items/1/product_id reference_not_found"),
                (["name": "B", "unit_price_minor": 1, "quantity": "0"], "/line_items/1/quantity out_of_range"),
                (["name": "B", "unit_price_minor": 1, "quantity": 2], "/line_items/1/quantity invalid_type"),
                (["name": "B", "unit_price_minor": 1, "quantity": "1.00001"], "/line_items/1/quantity out_of_range"),
                (
                    ["name": "B", "unit_price_minor": 1, "discount_percent": "1", "discount_minor": 1],
                    "/line_items/1/discount_minor not_allowed"
                ), (["name": "B", "unit_price_minor": 1, "discount_minor": 2], "/line_items/1/discount_minor not_allowed"),
                (["name": "B", "unit_price_minor": 9_007_199_254_740_991], "/line_items/1/quantity not_allowed"),
            ] as [(JSON, String)] {
                let answer = try await service.send(.patch, deal, ["line_items": [good, line]], as: member, expecting: 422)
                #expect(Self.faults(answer) == [faults], "\(answer.text)")
            }
            let twice: JSON = ["id": id, "name": "A", "unit_price_minor": 500]
            let same = try await service.send(.patch, deal, ["line_items": [twice, twice]], as: member, expecting: 422)
            #expect(Self.faults(same) == ["/line_items/1/id not_unique"])
            let many = JSON.array(Array(repeating: good, count: 201))
            #expect(
                Self.faults(try await service.send(.patch, deal, ["line_items": many], as: member, expecting: 422)) == [
                    "/line_items too_many"
                ])
            let most = JSON.array(Array(repeating: good, count: 200))
            #expect(try await service.send(.patch, deal, ["line_items": most], as: member, expecting: 200).json["amount_minor"] == 100_000)
            try await service.send(.patch, deal, ["line_items": [["name": "A", "price": 1]]], as: member, expecting: 400)
        }
    }

    @Test func linesAreTheDealsToReadAndToChange() async throws {
        try await Self.run { service, _, context, deal in
            let member = Caller.member(context)
            let lines: JSON = ["line_items": [["name": "A", "unit_price_minor": 500]]]
            let key = [("Idempotency-Key", "k")]
            let first = try await service.send(.patch, deal, lines, as: member, headers: key, expecting: 200)
            #expect(try await service.send(.patch, deal, lines, as: member, headers: key, expecting: 200).json == first.json)
            try await service.send(.patch, deal, lines, as: member, headers: [("If-Match", "\"1\"")], expecting: 412)
            let path = "\(deal)/line-items"
            try await service.send(.get, path, as: ExchangeRateTests.member(.readOnly, of: context), expecting: 200)
            try await service.send(.get, path, as: member, headers: [("If-None-Match", "\"2\"")], expecting: 304)
            try await service.send(.get, path, as: ExchangeRateTests.member(.support, of: context), expecting: 403)
            try await service.send(.get, path, as: AccountTests.member(.manager), expecting: 404)
            try await service.send(.get, "\(path)?limit=1", as: member, expecting: 400)
            try await service.send(.get, "/v1/deals/\(RecordID())/line-items", as: member, expecting: 404)
            // Prices say what the amount is.
            for rule in [FieldRule.hidden, .readOnly] {
                var caller = context
                caller.fields = FieldRules(["deals": ["amount_minor": rule]])
                let read = try await service.send(.get, deal, as: .member(caller), expecting: 200)
                #expect((read.json["line_items"] == nil) == (rule == .hidden))
                try await service.send(.get, path, as: .member(caller), expecting: rule == .hidden ? 404 : 200)
                try await service.send(.patch, deal, lines, as: .member(caller), expecting: rule == .hidden ? 400 : 422)
            }
        }
    }

    /// Goal: sums are exact in every currency.
    /// Method: 10,000 baskets from a seed, counted by Python's `decimal`; all by the functions that count deals, some of them as deals.
    @Test func basketsComeToWhatAnIndependentCalculationSays() async throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("line-items")
        let output = try await ChildProcess.run("/usr/bin/env", ["python3", script.path, "10000"])
        let baskets = output.split(separator: "\n")
        #expect(baskets.count == 10_000)
        try await Self.run { service, database, context, _ in
            for start in stride(from: 0, to: baskets.count, by: 1000) {
                let part = "[\(baskets[start..<start + 1000].joined(separator: ","))]"
                let wrong = try await database.query(
                    in: .crm,
                    [
                        """
                        select basket.number, basket.value::text from jsonb_array_elements(\(part)::jsonb) with ordinality as basket (value, number) \
                        cross join lateral (\
                        select sum(amount) as amount, sum(tax) as tax, bool_and(amount = line.amount_minor and tax = line.tax_minor) as are_right \
                        from jsonb_to_recordset(basket.value -> 'lines') as line (quantity numeric, unit_price_minor bigint, \
                        discount_percent numeric, discount_minor bigint, tax_percent numeric, amount_minor bigint, tax_minor bigint) \
                        cross join lateral line_amount(quantity, unit_price_minor, discount_percent, discount_minor) as amount \
                        cross join lateral line_tax(amount, tax_percent) as tax) as counted \
                        where not are_right or amount <> (basket.value ->> 'amount_minor')::numeric \
                        or tax <> (basket.value ->> 'tax_minor')::numeric
                        """
                    ])[0]
                #expect(wrong.isEmpty, "\(wrong.first?.text(1) ?? "")")
            }
            for basket in baskets.prefix(25) {
                let basket = try JSONParser.parse(Array(basket.utf8))
                let lines = basket["lines"]?.array?.map { line -> JSON in
                    var given = line.object ?? JSONObject()
                    given["name"] = "A"
                    (given["amount_minor"], given["tax_minor"]) = (nil, nil)
                    return .object(given)
                }
                let deal = try await service.send(
                    .post, "/v1/deals", ["name": "B", "currency": basket["currency"] ?? .null, "line_items": .array(lines ?? [])],
                    as: .member(context), expecting: 201)
                #expect(deal.json["amount_minor"] == basket["amount_minor"])
                let sums = try await service.send(
                    .get, "/v1/deals/\(deal.json["id"]?.string ?? "")/line-items", as: .member(context), expecting: 200)
                #expect(sums.json["tax_minor"] == basket["tax_minor"])
            }
        }
    }
}
