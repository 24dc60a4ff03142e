import Contracts
import Core
import TestSupport
import Testing

/// What roles can take away of single fields.
@Suite struct FieldRuleTests {
    private func role(_ name: String, _ permissions: [JSON], _ fields: JSON) -> JSON {
        ["name": .string(name), "permissions": .array(permissions), "fields": fields]
    }

    @Test func rulesAreSetMergedAndTakenBack() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let service = platform.service
            let created = try await service.send(
                .post, "/v1/roles",
                role("scout", ["leads.read", "leads.update", "tickets.read"], ["leads": ["score": "hidden", "phone": "read_only"]]),
                as: admin.caller, expecting: 201)
            #expect(created.json["fields"] == ["leads": ["phone": "read_only", "score": "hidden"]])
            #expect(try await service.send(.get, "/v1/roles/scout", as: admin.caller, expecting: 200).json == created.json)
            #expect(try await service.send(.get, "/v1/roles/sales", as: admin.caller, expecting: 200).json["fields"] == [:])
            let scout = try await platform.join("scout", role: "scout", by: admin)
            #expect(scout.membership.fields == FieldRules(["leads": ["score": .hidden, "phone": .readOnly]]))

            // Each change of a rule is one of what the role allows, so tokens of before are stale.
            let changed = try await service.send(
                .patch, "/v1/roles/scout", ["fields": ["leads": ["score": nil, "email": "hidden"], "tickets": ["tags": "hidden"]]],
                as: admin.caller, expecting: 200)
            #expect(
                changed.json["fields"] == ["leads": ["email": "hidden", "phone": "read_only"], "tickets": ["tags": "hidden"]])
            #expect(try await platform.member(scout.person, in: admin.tenant).membership.roleEpoch == 2)
            try await service.send(
                .patch, "/v1/roles/scout", ["fields": ["leads": ["email": "hidden"]]], as: admin.caller, expecting: 200)
            #expect(try await platform.member(scout.person, in: admin.tenant).membership.roleEpoch == 2)
            // A permission that goes and comes back finds its rules; null takes all of a resource back.
            for permissions in [["leads.read"], ["leads.read", "tickets.read"]] as [JSON] {
                let kept = try await service.send(
                    .patch, "/v1/roles/scout", ["permissions": permissions], as: admin.caller, expecting: 200)
                #expect(kept.json["fields"] == changed.json["fields"])
            }
            let none = try await service.send(.patch, "/v1/roles/scout", ["fields": ["leads": nil]], as: admin.caller, expecting: 200)
            #expect(none.json["fields"] == ["tickets": ["tags": "hidden"]])
        }
    }

    @Test func whatCannotBeARuleIsRefusedByName() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            for (permissions, fields, status, pointer, code, words) in [
                (["leads.read"], ["lead": [:]], 400, "/fields/lead", "unknown_member", "Did you mean 'leads'?"),
                (["leads.read"], ["leads": ["scroe": "hidden"]], 400, "/fields/leads/scroe", "unknown_member", "Did you mean 'score'?"),
                (["leads.read"], ["leads": ["external_id": "hidden"]], 400, "/fields/leads/external_id", "unknown_member", ""),
                (["leads.read"], ["leads": ["id": "hidden"]], 400, "/fields/leads/id", "unknown_member", ""),
                (["leads.read"], ["leads": ["score": "hiden"]], 422, "/fields/leads/score", "not_allowed", "Did you mean 'hidden'?"),
                (["leads.read"], ["leads": ["score": 1]], 422, "/fields/leads/score", "invalid_type", ""),
                (["leads.read"], ["leads": "hidden"], 422, "/fields/leads", "invalid_type", ""),
                (["leads.read"], nil, 422, "/fields", "not_nullable", ""),
                (["leads.read"], ["tickets": ["tags": "hidden"]], 422, "/fields/tickets/tags", "not_allowed", "no permission for tickets"),
                (["leads.create"], ["leads": ["last_name": "hidden"]], 422, "/fields/leads/last_name", "not_allowed", "leads.create"),
                (["leads.import"], ["leads": ["last_name": "read_only"]], 422, "/fields/leads/last_name", "not_allowed", "leads.import"),
                (["leads.read", "audit.export"], ["leads": ["score": "hidden"]], 422, "/fields", "not_allowed", "audit.export"),
                (["leads.read", "audit.export"], [:], 422, "/permissions", "not_allowed", "contacts.read"),
                (
                    ["accounts.read"], ["accounts": ["currency": "hidden", "annual_revenue_minor": "read_only"]], 422,
                    "/fields/accounts/currency", "not_allowed", "annual_revenue_minor"
                ),
            ] as [([JSON], JSON, Int, String, String, String)] {
                let answer = try await platform.service.send(
                    .post, "/v1/roles", role("scout", permissions, fields), as: admin.caller, expecting: status)
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == pointer, "\(answer.text)")
                #expect(answer.json["errors"]?[0]?["code"]?.string == code, "\(answer.text)")
                #expect(answer.text.contains(words), "\(answer.text)")
            }
            // Whoever exports the trail reads all records: of everybody, too.
            let readers = PermissionResource.allCases.filter { $0 != .platform }.map { JSON.string("\(Permission($0, .read))") }
            var exporter = ["name": "exporter", "permissions": .array(readers + ["audit.export"]), "scopes": ["leads": "own"]] as JSON
            let own = try await platform.service.send(.post, "/v1/roles", exporter, as: admin.caller, expecting: 422)
            #expect(own.text.contains("all records of leads"), "\(own.text)")
            exporter = ["name": "exporter", "permissions": .array(readers + ["audit.export"])]
            try await platform.service.send(.post, "/v1/roles", exporter, as: admin.caller, expecting: 201)
            // Of a role that only reads or changes, a required field may be hidden; then it cannot begin to create.
            try await platform.service.send(
                .post, "/v1/roles", role("scout", ["leads.read", "leads.update"], ["leads": ["last_name": "hidden"]]), as: admin.caller,
                expecting: 201)
            let refused = try await platform.service.send(
                .patch, "/v1/roles/scout", ["permissions": ["leads.create"]], as: admin.caller, expecting: 422)
            #expect(refused.json["errors"]?[0]?["pointer"] == "/fields/leads/last_name")
        }
    }

    /// Neither in a new role nor in the own one, nor by giving one that shows more.
    @Test func nobodyShowsWhatIsHiddenFromHimself() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            let service = platform.service
            let permissions: [JSON] = ["leads.read", "roles.create", "roles.update", "roles.read", "members.create", "members.update"]
            try await service.send(
                .post, "/v1/roles", role("lead", permissions, ["leads": ["score": "hidden", "phone": "read_only"]]), as: admin.caller,
                expecting: 201)
            let caller = try await platform.join("lead", role: "lead", by: admin).caller
            for fields in [[:], ["leads": ["score": "hidden"]], ["leads": ["score": "read_only", "phone": "hidden"]]] as [JSON] {
                let refused = try await service.send(
                    .post, "/v1/roles", role("reader", ["leads.read"], fields), as: caller, expecting: 403)
                #expect(refused.text.contains("leads.score") || refused.text.contains("leads.phone"), "\(refused.text)")
            }
            try await service.send(
                .post, "/v1/roles", role("reader", ["leads.read"], ["leads": ["score": "hidden", "phone": "hidden"]]), as: caller,
                expecting: 201)
            try await service.send(.patch, "/v1/roles/reader", ["fields": ["leads": nil]], as: caller, expecting: 403)
            try await service.send(.patch, "/v1/roles/lead", ["fields": ["leads": ["score": nil]]], as: caller, expecting: 403)
            try await platform.role("wide", ["leads.read"], by: admin)
            try await service.send(
                .post, "/v1/invitations", ["email": "x@acme.test", "role": "wide"], as: caller, expecting: 403)
            try await service.send(
                .post, "/v1/invitations", ["email": "x@acme.test", "role": "reader"], as: caller, expecting: 201)
            // A role of which something is hidden runs no tenant.
            let all = Permission.catalogue.filter { $0.resource != .platform && $0 != Permission(.audit, .export) }
            try await service.send(
                .post, "/v1/roles", role("nearly", all.map { .string($0.description) }, ["leads": ["score": "hidden"]]), as: admin.caller,
                expecting: 201)
            let last = try await service.send(
                .patch, "/v1/members/\(admin.person.id)", ["role": "nearly"], as: admin.caller, expecting: 409)
            #expect(last.code == "conflict")
        }
    }

    @Test func theExplanationNamesTheRule() async throws {
        try await TenantPlatform.run { platform in
            let admin = try await platform.organization("acme")
            try await platform.service.send(
                .post, "/v1/roles",
                role(
                    "scout", ["leads.read", "leads.update", "tickets.read", "tickets.update"],
                    ["leads": ["score": "hidden", "phone": "read_only"], "tickets": ["status": "hidden"]]), as: admin.caller,
                expecting: 201)
            let scout = try await platform.join("scout", role: "scout", by: admin).caller
            for (permission, field, isAllowed, access, words) in [
                ("leads.read", "score", false, "hidden", "score is hidden"), ("leads.read", "phone", true, "read_only", "on every record"),
                ("leads.update", "phone", false, "read_only", "can only read phone"), ("leads.update", "email", true, "full", ""),
                ("leads.delete", "email", false, "full", "does not have leads.delete"),
                ("tickets.update", "number", false, "read_only", "set by the service"),
                ("tickets.read", "number", true, "read_only", "on every record"),
                ("tickets.read", "solved_at", false, "hidden", "solved_at is hidden"),
            ] {
                let answer = try await platform.service.send(
                    .post, "/v1/authorize/explain", ["permission": .string(permission), "field": .string(field)], as: scout, expecting: 200)
                #expect(answer.json["allowed"] == .bool(isAllowed) && answer.json["field_access"]?.string == access, "\(answer.text)")
                #expect(answer.json["reason"]?.string?.contains(words) == true || words.isEmpty, "\(answer.text)")
            }
            let unknown = try await platform.service.send(
                .post, "/v1/authorize/explain", ["permission": "leads.read", "field": "scroe"], as: scout, expecting: 422)
            #expect(unknown.text.contains("Did you mean 'score'?"))
        }
    }
}
