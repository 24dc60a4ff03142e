import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Tenant

@Suite struct PlatformTests {
    @Test func anOperatorChangesPlanStatusAndOverrides() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme", plan: "free")
            let root = try await platform.platformOperator()
            let path = "/v1/platform/tenants/\(admin.tenant)"
            let changed = try await platform.service.send(
                .patch, path, ["plan": "pro", "overrides": ["requests_per_second": 7, "users": 3]], as: root.caller, expecting: 200)
            #expect(changed.json["overrides"] == ["requests_per_second": 7, "users": 3])
            let now = try await platform.member(admin.person, in: admin.tenant).membership
            #expect(now.tenant.plan == "pro")
            #expect(now.limits == ["users": 3])
            #expect(now.rate == RateLimits(tenant: .init(count: 7, period: 1), user: .init(count: 3, period: 1)))
            #expect(now.tenant.epoch == 2)
            let plan = try await platform.service.send(.get, "/v1/plan", as: admin.caller, expecting: 200)
            #expect(plan.json["users"]?.integer == 3)
            #expect(plan.json["leads"] == .null)
            let cleared = try await platform.service.send(
                .patch, path, ["overrides": ["users": nil]], as: root.caller, expecting: 200)
            #expect(cleared.json["overrides"] == ["requests_per_second": 7])

            try await platform.service.send(.patch, path, ["status": "suspended"], as: root.caller, expecting: 200)
            let state = Revocation.tenant(
                admin.tenant, epoch: 4, isActive: false,
                location: .init(country: nil, currency: "USD", timeZone: "UTC", fiscalYearStarts: 1, version: 4))
            #expect(try await platform.revocations().contains(state))
            // It is in that tenant's trail, with the operator as who did it.
            let rows = try await platform.database.query(
                in: .tenant,
                [
                    "select from outbox where tenant_id = \(admin.tenant) and type = 'tenant.updated' and actor = \(root.person.id.description)"
                ])
            #expect(rows[0].count == 3)
        }
    }

    @Test func aRepeatedChangeOfAnOperatorHasTheTagOfTheFirst() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme", plan: "free")
            let root = try await platform.platformOperator()
            let path = "/v1/platform/tenants/\(admin.tenant)"
            let key = [("idempotency-key", "plan")]
            let first = try await platform.service.send(.patch, path, ["plan": "pro"], as: root.caller, headers: key, expecting: 200)
            try await platform.service.send(.patch, path, ["plan": "enterprise"], as: root.caller, expecting: 200)
            let again = try await platform.service.send(.patch, path, ["plan": "pro"], as: root.caller, headers: key, expecting: 200)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(again.body == first.body)
            #expect(again.header("etag") != nil)
            #expect(again.header("etag") == first.header("etag"))
        }
    }

    @Test func tenantsAreListedAndLookedAt() async throws {
        try await TenantPlatform.run { platform in
            var tenants: [TenantID] = []
            for slug in ["acme-1", "acme-2", "globex"] { tenants.append(try await platform.organization(slug).tenant) }
            let root = try await platform.platformOperator()
            let first = try await platform.service.send(.get, "/v1/platform/tenants?limit=1&q=acme", as: root.caller, expecting: 200).json
            #expect(first["data"]?[0]?["slug"]?.string == "acme-1")
            // Shown is what is on the page: not the one that tells that another page follows, nor one that the search leaves out.
            let listed = "platform.tenant_listed"
            #expect(try await platform.events(in: tenants[0]).filter { $0 == listed }.count == 1)
            for other in tenants[1...] { #expect(try await !platform.events(in: other).contains(listed)) }
            let next = try #require(first["page"]?["next"]?.string)
            let second = try await platform.service.send(
                .get, "/v1/platform/tenants?limit=5&q=acme&after=\(next)", as: root.caller, expecting: 200
            ).json
            #expect(second["data"]?.array?.compactMap { $0["slug"]?.string } == ["acme-2"])
            #expect(try await platform.events(in: tenants[0]).filter { $0 == listed }.count == 1)
            #expect(try await platform.events(in: tenants[1]).last == listed)
            let look = try await platform.database.query(
                in: .tenant, ["select actor, aggregateid, request_id from outbox where tenant_id = \(tenants[1]) and type = \(listed)"])[0]
            #expect(try look[0].decode("actor", as: String.self) == root.person.id.description)
            #expect(try look[0].decode("aggregateid", as: String.self) == tenants[1].description)
            #expect(try !look[0].decode("request_id", as: String.self).isEmpty)
            try await platform.service.send(.get, "/v1/platform/tenants", as: root.caller, expecting: 200)
            #expect(try await platform.events(in: tenants[2]).last == listed)
            #expect(try await platform.events(in: root.tenant).last == listed)
            try await platform.service.send(.get, "/v1/platform/tenants?q=glo&after=\(next)", as: root.caller, expecting: 400)
            let wildcard = try await platform.service.send(.get, "/v1/platform/tenants?q=%25", as: root.caller, expecting: 200)
            #expect(wildcard.json["data"]?.array?.isEmpty == true)
            try await platform.service.send(.get, "/v1/platform/tenants/\(tenants[2])", as: root.caller, expecting: 200)
            #expect(try await platform.events(in: tenants[2]).last == "platform.tenant_read")
            // A change of nothing shows the tenant too.
            try await platform.service.send(.patch, "/v1/platform/tenants/\(tenants[2])", [:], as: root.caller, expecting: 200)
            #expect(try await platform.events(in: tenants[2]).filter { $0 == "platform.tenant_read" }.count == 2)
            try await platform.service.send(.get, "/v1/platform/tenants/\(TenantID())", as: root.caller, expecting: 404)
            try await platform.service.send(
                .patch, "/v1/platform/tenants/\(TenantID())", ["plan": "pro"], as: root.caller, expecting: 404)
        }
    }

    /// In the platform's own tenant a tenant_admin is no operator, so he does not stand in for the last one.
    @Test func theLastOperatorStaysOne() async throws {
        try await TenantPlatform.run { platform in
            let root = try await platform.platformOperator()
            _ = try await platform.join("admin", role: "tenant_admin", by: root)
            let path = "/v1/members/\(root.person.id)"
            let refused = try await platform.service.send(
                .patch, path, ["role": "tenant_admin"], as: root.caller, expecting: 409)
            #expect(refused.code == "conflict")
            try await platform.service.send(.delete, path, as: root.caller, expecting: 409)
            let second = try await platform.join("second", role: "super_admin", by: root)
            try await platform.service.send(.delete, path, as: second.caller, expecting: 204)
        }
    }

    @Test func onlyOperatorsComeHere() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let path = "/v1/platform/tenants/\(admin.tenant)"
            try await platform.service.send(.get, "/v1/platform/tenants", as: admin.caller, expecting: 403)
            try await platform.service.send(.get, path, as: admin.caller, expecting: 403)
            try await platform.service.send(.patch, path, ["plan": "enterprise"], as: admin.caller, expecting: 403)
        }
    }

    @Test func wrongChangesAreRefused() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let root = try await platform.platformOperator()
            let path = "/v1/platform/tenants/\(admin.tenant)"
            for (body, status) in [
                (["plan": "gold"], 422), (["status": "gone"], 422), (["overrides": ["requests_per_second": 0]], 422),
                (["overrides": ["users": -1]], 422), (["overrides": ["seats": 1]], 400), (["name": "x"], 400), (["overrides": 1], 422),
                (["overrides": ["leads": .number("1.5e0")]], 422),
            ] as [(JSON, Int)] {
                try await platform.service.send(.patch, path, body, as: root.caller, expecting: status)
            }
            let own = try await platform.service.send(
                .patch, "/v1/platform/tenants/\(root.tenant)", ["status": "suspended"], as: root.caller, expecting: 409)
            #expect(own.code == "conflict")
        }
    }

    @Test func theFirstOperatorsAtTheSameMomentShareOneTenant() async throws {
        try await TenantPlatform.run { platform in
            let tenants = try await withThrowingTaskGroup(of: String?.self) { group in
                for index in 0..<6 {
                    group.addTask {
                        let person = Person(id: UserID(), email: "o\(index)@martlet.test", name: "O")
                        return try await platform.service.send(
                            .post, "/internal/platform/operators", ["user": person.json], as: .anotherService, expecting: 200
                        ).json["tenant"]?["id"]?.string
                    }
                }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            #expect(tenants.count == 1)
        }
    }
}

@Suite struct PlanTests {
    @Test func theShippedPlansAreThoseOfTheAPI() async throws {
        try await TenantPlatform.run { platform in
            let plans = try await platform.service.send(.get, "/v1/plans", as: .anybody(), expecting: 200).json["data"]?.array ?? []
            #expect(plans.compactMap { $0["name"]?.string } == ["free", "pro", "enterprise"])
            #expect(plans.map { $0["price"]?["amount_minor"]?.integer } == [0, 9900, 99900])
            #expect(plans.map { $0["users"] } == [1, 10, .null])
            #expect(plans.map { $0["leads"] } == [100, .null, .null])
        }
    }

    @Test func aBrokenFileOfPlansIsNamedWithAllItsFaults() throws {
        let plan: JSON = [
            "name": "free", "price": ["amount_minor": 0, "currency": "USD"], "users": 1, "leads": nil, "entitlements": [],
            "rate": ["tenant": [1, 1], "user": [1, 1]],
        ]
        var broken = plan.object ?? JSONObject()
        broken["name"] = "Gold Plan"
        broken["users"] = "many"
        broken["rate"] = ["tenant": [0, 1], "user": [1, 1]]
        broken["colour"] = "red"
        broken["leads"] = nil
        let problem = #expect(throws: Problem.self) { try PlanCatalogue(json: [.object(broken)]) }
        #expect(problem?.faults.map(\.pointer) == ["/0/colour", "/0/leads", "/0/name", "/0/users", "/0/rate"])
        #expect(throws: Problem.self) { try PlanCatalogue(json: [plan]) }
        #expect(throws: Problem.self) { try PlanCatalogue(json: ["plans": []]) }
        let missing = #expect(throws: PlanFileError.self) { try PlanCatalogue(contentsOf: "/nowhere/plans.json") }
        #expect(missing?.description == "setting MARTLET_PLANS_FILE: /nowhere/plans.json: it cannot be read")
    }
}
