import Contracts
import Core
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct TenantTests {
    @Test func makingATenantTwiceGivesTheSame() async throws {
        try await TenantPlatform.run { platform in
            let owner = Person(id: UserID(), email: "a@x.test", name: "A")
            let id = TenantID()
            func create(_ id: TenantID, _ slug: String) async throws -> APIAnswer {
                try await platform.service.send(
                    .post, "/internal/tenants",
                    ["id": .string(id.description), "name": "X", "slug": .string(slug), "owner": owner.json], as: .anotherService)
            }
            let answers = try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        try await platform.service.send(
                            .post, "/internal/tenants",
                            ["id": .string(id.description), "name": "X", "slug": "company-x", "owner": owner.json], as: .anotherService)
                    }
                }
                return try await group.reduce(into: [APIAnswer]()) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 })
            #expect(Set(answers.map(\.body)).count == 1)
            #expect(try await platform.events(in: id) == ["tenant.created", "member.created"])
            let taken = try await create(TenantID(), "company-x")
            #expect(taken.status == 409)
            #expect(taken.code == "already_exists")
            #expect(try await create(TenantID(), "platform").status == 422)
        }
    }

    @Test func anAdministratorChangesTheTenant() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let before = try await platform.service.send(.get, "/v1/tenant", as: admin.caller, expecting: 200)
            #expect(before.json["locale"]?.string == "en")
            let changed = try await platform.service.send(
                .patch, "/v1/tenant",
                [
                    "name": "Acme Ω", "locale": "de-AT", "time_zone": "Europe/Vienna", "currency": "EUR",
                    "settings": ["color": "red", "rows": 25, "beta": true],
                ], as: admin.caller, headers: [("if-match", before.header("etag") ?? "")], expecting: 200)
            #expect(changed.json["name"]?.string == "Acme Ω")
            #expect(changed.json["version"]?.integer == (before.json["version"]?.integer ?? 0) + 1)
            let merged = try await platform.service.send(
                .patch, "/v1/tenant", ["settings": ["color": nil, "size": "m"]], as: admin.caller, expecting: 200)
            #expect(merged.json["settings"]?["color"] == nil)
            #expect(merged.json["settings"]?["size"]?.string == "m")
            #expect(merged.json["settings"]?["rows"]?.integer == 25)
            let same = try await platform.service.send(.patch, "/v1/tenant", [:], as: admin.caller, expecting: 200)
            #expect(same.header("etag") == merged.header("etag"))
            try await platform.service.send(
                .patch, "/v1/tenant", ["name": "X"], as: admin.caller, headers: [("if-match", "\"1\"")], expecting: 412)
            // None of it makes tokens stale.
            #expect(try await platform.member(admin.person, in: admin.tenant).membership.tenant.epoch == 1)
        }
    }

    /// Gateways hear of it, and no token is stale.
    @Test func whereATenantIsFollowsFromItsCountryOrElseItsLocale() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            for (body, country, effective) in [
                (["locale": "de"], nil, nil), (["locale": "de-AT"], nil, "AT"), (["country": "JP"], "JP", "JP"),
                (["locale": "zh-Hant-TW"], "JP", "JP"), (["country": nil], nil, "TW"), (["locale": "en-Latn-XX"], nil, nil),
                (["locale": "en-us"], nil, "US"),
            ] as [(JSON, String?, String?)] {
                let changed = try await platform.service.send(.patch, "/v1/tenant", body, as: admin.caller, expecting: 200)
                #expect(changed.json["country"] == country.map(JSON.string) ?? .null)
                let version = try #require(changed.json["version"]?.integer)
                let location = Revocation.Location(
                    country: effective, currency: "USD", timeZone: "UTC", fiscalYearStarts: 1, version: version)
                #expect(try await platform.revocations().contains(.tenant(admin.tenant, epoch: 1, isActive: true, location: location)))
                let tenant = try await platform.member(admin.person, in: admin.tenant).membership.tenant
                #expect(tenant.country == effective && tenant.epoch == 1)
            }
        }
    }

    @Test func anotherCurrencyTimeZoneAndFiscalYearAreAnnouncedAndMakeNoTokenStale() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let before = try await platform.service.send(.get, "/v1/tenant", as: admin.caller, expecting: 200)
            #expect(before.json["fiscal_year_starts"] == 1)
            let changed = try await platform.service.send(
                .patch, "/v1/tenant", ["currency": "JPY", "time_zone": "Asia/Tokyo", "fiscal_year_starts": 4], as: admin.caller,
                expecting: 200)
            #expect(changed.json["fiscal_year_starts"] == 4)
            let location = Revocation.Location(country: nil, currency: "JPY", timeZone: "Asia/Tokyo", fiscalYearStarts: 4, version: 2)
            #expect(try await platform.revocations().contains(.tenant(admin.tenant, epoch: 1, isActive: true, location: location)))
            let tenant = try await platform.member(admin.person, in: admin.tenant).membership.tenant
            #expect(tenant.currency == "JPY" && tenant.timeZone == "Asia/Tokyo" && tenant.fiscalYearStarts == 4 && tenant.epoch == 1)
        }
    }

    @Test func anotherSlugMakesTokensStale() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            _ = try await platform.organization("globex")
            let taken = try await platform.service.send(.patch, "/v1/tenant", ["slug": "globex"], as: admin.caller, expecting: 409)
            #expect(taken.json["errors"]?[0]?["pointer"]?.string == "/slug")
            let key = [("idempotency-key", "slug-1")]
            let first = try await platform.service.send(
                .patch, "/v1/tenant", ["slug": "acme-2"], as: admin.caller, headers: key, expecting: 200)
            let replay = try await platform.service.send(
                .patch, "/v1/tenant", ["slug": "acme-2"], as: admin.caller, headers: key, expecting: 200)
            #expect(replay.header("idempotent-replayed") == "true")
            #expect(replay.header("etag") != nil)
            #expect(replay.header("etag") == first.header("etag"))
            #expect(try await platform.member(admin.person, in: admin.tenant).membership.tenant.epoch == 2)
            let state = Revocation.tenant(
                admin.tenant, epoch: 2, isActive: true,
                location: .init(country: nil, currency: "USD", timeZone: "UTC", fiscalYearStarts: 1, version: 2))
            #expect(try await platform.revocations().contains(state))
        }
    }

    @Test(
        arguments: [
            (["slug": "-a-"], "/slug"), (["slug": "admin"], "/slug"), (["slug": "xn--80ak6aa92e"], "/slug"),
            (["locale": "german!"], "/locale"),
            (["time_zone": "Mars/Base"], "/time_zone"),
            (["time_zone": "GMT+2"], "/time_zone"), (["currency": "eur"], "/currency"),
            (["fiscal_year_starts": 0], "/fiscal_year_starts"), (["fiscal_year_starts": 13], "/fiscal_year_starts"),
            (["fiscal_year_starts": "4"], "/fiscal_year_starts"), (["fiscal_year_starts": nil], "/fiscal_year_starts"),
            (["country": "ZZ"], "/country"),
            (["country": "Japan"], "/country"), (["country": 81], "/country"), (["settings": [1]], "/settings"),
            (["settings": ["A": 1]], "/settings/A"), (["settings": ["a": ["b": 1]]], "/settings/a"),
            (["settings": ["a": "\u{0}"]], "/settings/a"),
            (["name": nil], "/name"),
        ] as [(JSON, String)])
    func wrongValuesAreNamed(body: JSON, pointer: String) async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let answer = try await platform.service.send(.patch, "/v1/tenant", body, as: admin.caller, expecting: 422)
            #expect(answer.json["errors"]?[0]?["pointer"]?.string == pointer)
        }
    }

    @Test func planAndStatusAreNotTheTenantsToChange() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            for name in ["plan", "status", "overrides", "id", "tenant_id", "epoch", "created_at"] {
                var body = JSONObject()
                body[name] = "enterprise"
                let answer = try await platform.service.send(.patch, "/v1/tenant", .object(body), as: admin.caller, expecting: 400)
                #expect(answer.code == "unknown_member")
            }
            for role in ["manager", "sales", "support", "read_only"] {
                let member = try await platform.join(role.replacing("_", with: "-"), role: role, by: admin)
                try await platform.service.send(
                    .patch, "/v1/tenant", ["name": "X", "fiscal_year_starts": 4], as: member.caller, expecting: 403)
                try await platform.service.send(.get, "/v1/plan", as: member.caller, expecting: 200)
            }
        }
    }

    @Test func theDocumentOfTheServiceTakesNoParameters() async throws {
        try await TenantPlatform.run { platform in
            let api = APIClient(url: platform.service.url)
            try await api.send(.get, "/openapi.json", expecting: 200)
            try await api.send(.get, "/openapi.json?", expecting: 200)
            let refused = try await api.send(.get, "/openapi.json?x=1", expecting: 400)
            #expect(refused.code == "unknown_parameter")
            #expect(refused.json["errors"]?[0]?["pointer"]?.string == "?x")
        }
    }
}
