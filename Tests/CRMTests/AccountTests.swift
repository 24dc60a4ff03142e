import CRM
import Core
import TestSupport
import Testing

/// What is special about accounts and contacts; what every resource has is tested with the engine.
@Suite struct AccountTests {
    /// Runs the service, with a member of the role.
    static func run(
        role: BuiltInRole = .sales, _ body: @escaping @Sendable (RunningService, Caller) async throws -> Void
    ) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                try await body(service, member(role))
            }
        }
    }

    static func member(_ role: BuiltInRole, tenant: TenantID = TenantID()) -> Caller {
        .member(
            RequestContext(
                tenant: tenant, user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes, plan: "pro",
                edge: .test()))
    }

    @Test func anAccountIsKeptAsGivenButForItsDomain() async throws {
        try await Self.run { service, member in
            let answer = try await service.send(
                .post, "/v1/accounts",
                [
                    "name": "Kestrel Freight", "domain": "Kestrel.Example", "industry": "Logistics", "employees": 240,
                    "annual_revenue_minor": 9_007_199_254_740_991, "currency": "JPY", "status": "customer",
                ], as: member, expecting: 201)
            #expect(answer.json["domain"] == "kestrel.example")
            #expect(answer.json["annual_revenue_minor"]?.integer == 9_007_199_254_740_991)
            for query in ["domain=kestrel.example", "industry=Logistics", "q=kestrel.exam", "name=Kestrel%20Freight", "status=customer"] {
                let list = try await service.send(.get, "/v1/accounts?\(query)", as: member, expecting: 200)
                #expect(list.json["data"]?.array?.count == 1, "\(query)")
            }
        }
    }

    @Test func anAmountIsInTheTenantsCurrencyUnlessItSaysAnother() async throws {
        try await Self.run { service, member in
            guard case .member(var context) = member else { return }
            context.currency = "JPY"
            let member = Caller.member(context)
            for (body, currency) in [
                (["name": "A", "annual_revenue_minor": 1], "JPY"), (["name": "B"], "JPY"),
                (["name": "C", "annual_revenue_minor": 1, "currency": "EUR"], "EUR"),
            ] as [(JSON, JSON)] {
                let account = try await service.send(.post, "/v1/accounts", body, as: member, expecting: 201)
                #expect(account.json["currency"] == currency)
                // It stays, whatever the tenant counts in by then.
                context.currency = "USD"
                let path = "/v1/accounts/\(account.json["id"]?.string ?? "")"
                let changed = try await service.send(
                    .patch, path, ["annual_revenue_minor": 2], as: .member(context), expecting: 200)
                #expect(changed.json["currency"] == currency)
                let none = try await service.send(.patch, path, ["currency": nil], as: member, expecting: 422)
                #expect(none.json["errors"]?[0]?["pointer"] == "/currency" && none.json["errors"]?[0]?["code"] == "not_nullable")
            }
        }
    }

    @Test func supportChangesContactsAndMakesNone() async throws {
        try await Self.run { service, member in
            guard case .member(let context) = member else { return }
            let support = Self.member(.support, tenant: context.tenant)
            let contact = try await service.send(
                .post, "/v1/contacts", ["last_name": "Okafor", "email": "n.okafor@kestrel.example"], as: member, expecting: 201)
            #expect(contact.json["do_not_contact"] == false)
            let path = "/v1/contacts/\(contact.json["id"]?.string ?? "")"
            try await service.send(.patch, path, ["do_not_contact": true], as: support, expecting: 200)
            try await service.send(.post, "/v1/contacts", ["last_name": "B"], as: support, expecting: 403)
            try await service.send(.delete, path, as: support, expecting: 403)
            let list = try await service.send(.get, "/v1/contacts?do_not_contact=true&q=okaf", as: support, expecting: 200)
            #expect(list.json["data"]?.array?.count == 1)
        }
    }
}
