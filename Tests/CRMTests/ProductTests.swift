import CRM
import Core
import TestSupport
import Testing

/// What is special about products; what every resource has is tested with the engine.
@Suite struct ProductTests {
    @Test func aProductHasAPriceInEachCurrency() async throws {
        try await AccountTests.run(role: .manager) { service, member in
            let made = try await service.send(
                .post, "/v1/products",
                [
                    "name": "Turbine inspection", "sku": "TI-200", "description": "Two days on the plant", "tax_percent": "19.00",
                    "prices": [["currency": "EUR", "unit_price_minor": 125_000], ["unit_price_minor": 198_000, "currency": "JPY"]],
                    "tags": ["service"],
                ], as: member, expecting: 201)
            let prices: JSON = [["currency": "EUR", "unit_price_minor": 125_000], ["currency": "JPY", "unit_price_minor": 198_000]]
            #expect(made.json["prices"]?.canonical == prices.canonical)
            #expect(made.json["tax_percent"] == "19" && made.json["active"] == true)
            let one = "/v1/products/\(made.json["id"]?.string ?? "")"
            // Sent back as it was read, it changes nothing; a list is replaced as a whole.
            let same = try await service.send(.patch, one, ["prices": made.json["prices"] ?? .null], as: member, expecting: 200)
            #expect(same.json["version"] == 1)
            let changed = try await service.send(
                .patch, one, ["prices": [["currency": "KWD", "unit_price_minor": 0]], "active": false], as: member, expecting: 200)
            #expect(changed.json["version"] == 2 && changed.json["prices"]?.array?.count == 1)
            for query in ["active=false", "q=turb", "q=ti-200", "q=plant", "sku=TI-200", "tag=service", "sort=-name"] {
                let list = try await service.send(.get, "/v1/products?\(query)", as: member, expecting: 200)
                #expect(list.json["data"]?.array?.count == 1, "\(query)")
            }
            #expect(try await service.send(.patch, one, ["prices": nil], as: member, expecting: 200).json["prices"] == [])
            let bare = try await service.send(.post, "/v1/products", ["name": "Bare"], as: member, expecting: 201)
            #expect(bare.json["prices"] == [] && bare.json["tax_percent"] == .null)
        }
    }

    @Test func eachFaultOfAPriceListIsTold() async throws {
        try await AccountTests.run(role: .manager) { service, member in
            let answer = try await service.send(
                .post, "/v1/products",
                [
                    "name": "A", "tax_percent": "100.1",
                    "prices": [
                        ["currency": "EUR", "unit_price_minor": 1], ["currency": "EUR", "unit_price_minor": 2], ["currency": "eur"],
                        "EUR 3", ["currency": "USD", "unit_price_minor": -1], ["currency": nil, "unit_price_minor": "5"],
                    ],
                ], as: member, expecting: 422)
            let faults = answer.json["errors"]?.array?.map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" } ?? []
            #expect(
                faults.sorted() == [
                    "/prices/1/currency not_unique", "/prices/2/currency not_allowed", "/prices/2/unit_price_minor required",
                    "/prices/3 invalid_type", "/prices/4/unit_price_minor out_of_range", "/prices/5/currency required",
                    "/prices/5/unit_price_minor invalid_type", "/tax_percent out_of_range",
                ], "\(answer.text)")
            let unknown = try await service.send(
                .post, "/v1/products", ["name": "A", "prices": [["currency": "EUR", "unit_price": 1]]], as: member, expecting: 400)
            #expect(unknown.json["errors"]?[0]?["pointer"] == "/prices/0/unit_price", "\(unknown.text)")
            let many = JSON.array((0...100).map { _ in ["currency": "EUR", "unit_price_minor": 1] })
            let tooMany = try await service.send(.post, "/v1/products", ["name": "A", "prices": many], as: member, expecting: 422)
            #expect(tooMany.json["errors"]?[0]?["code"] == "too_many")
        }
    }

    @Test func anArticleNumberIsOneProducts() async throws {
        try await AccountTests.run(role: .manager) { service, member in
            guard case .member(let context) = member else { return }
            let key = [("Idempotency-Key", "k")]
            let body: JSON = ["name": "A", "sku": "X-1"]
            let first = try await service.send(.post, "/v1/products", body, as: member, headers: key, expecting: 201)
            #expect(try await service.send(.post, "/v1/products", body, as: member, headers: key, expecting: 201).json == first.json)
            let taken = try await service.send(.post, "/v1/products", ["name": "B", "sku": "X-1"], as: member, expecting: 409)
            #expect(taken.code == "already_exists" && taken.json["id"] == first.json["id"])
            let one = "/v1/products/\(first.json["id"]?.string ?? "")"
            for role in [BuiltInRole.sales, .readOnly] {
                let reader = AccountTests.member(role, tenant: context.tenant)
                try await service.send(.get, one, as: reader, expecting: 200)
                try await service.send(.patch, one, ["active": false], as: reader, expecting: 403)
            }
            try await service.send(.get, one, as: AccountTests.member(.support, tenant: context.tenant), expecting: 403)
            try await service.send(.get, one, as: AccountTests.member(.manager), expecting: 404)
            try await service.send(.patch, one, ["active": false], as: member, headers: [("If-Match", "\"7\"")], expecting: 412)
        }
    }
}
