import CRM
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

/// What is special about pipelines; what every resource has is tested with the engine.
@Suite struct PipelineTests {
    typealias Tenant = (service: RunningService, database: TestDatabase, admin: Caller)

    /// Runs the service, with an administrator of a tenant that nobody has used yet.
    static func run(_ body: @escaping @Sendable (Tenant) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                try await body((service, database, AccountTests.member(.tenantAdmin)))
            }
        }
    }

    /// Somebody else of the same tenant.
    static func colleague(of member: Caller, _ role: BuiltInRole) -> Caller {
        AccountTests.member(role, tenant: member.tenant ?? TenantID())
    }

    static func stages(_ pipeline: JSON?) -> [String: String] {
        (pipeline?["stages"]?.array ?? []).reduce(into: [:]) { $0[$1["name"]?.string ?? ""] = $1["id"]?.string ?? "" }
    }

    static func names(_ pipeline: JSON?) -> [String] { pipeline?["stages"]?.array?.compactMap { $0["name"]?.string } ?? [] }

    /// Twenty ask at once, by each of the ways that make it; a tenant beside it has its own.
    @Test func everyTenantHasOneDefaultPipeline() async throws {
        try await Self.run { service, database, admin in
            let viewer = Self.colleague(of: admin, .readOnly)
            let places = try await withThrowingTaskGroup(of: String?.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        if number % 2 == 0 {
                            let list = try await service.send(.get, "/v1/pipelines", as: viewer, expecting: 200).json
                            return list["data"]?[0]?["id"]?.string
                        }
                        return try await service.send(.post, "/v1/deals", ["name": "A"], as: admin, expecting: 201).json["pipeline_id"]?
                            .string
                    }
                }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            #expect(places.count == 1 && places.first != .some(nil))
            let list = try await service.send(.get, "/v1/pipelines", as: viewer, expecting: 200).json
            #expect(list["data"]?.array?.count == 1)
            let pipeline = list["data"]?[0]
            #expect(pipeline?["is_default"] == true && pipeline?["version"] == 1)
            #expect(Self.names(pipeline) == ["Qualification", "Discovery", "Proposal", "Negotiation", "Won", "Lost"])
            let trail = try await database.query(
                in: .crm,
                [
                    "select actor from outbox where type = 'pipeline.created' and tenant_id = \(admin.tenant?.description ?? "")::uuid"
                ])[0]
            #expect(try trail.map { try $0.decode(0, as: String.self) } == ["system"])
            let other = try await service.send(.get, "/v1/pipelines", as: AccountTests.member(.manager), expecting: 200).json
            #expect(other["data"]?.array?.count == 1 && other["data"]?[0]?["id"] != pipeline?["id"])
            // Who may not read pipelines makes none.
            let support = AccountTests.member(.support)
            try await service.send(.get, "/v1/pipelines", as: support, expecting: 403)
        }
    }

    @Test func anotherPipelineBecomesTheDefault() async throws {
        try await Self.run { service, database, admin in
            let second = try await service.send(.post, "/v1/pipelines", ["name": "Renewals"], as: admin, expecting: 201).json
            #expect(second["is_default"] == false && second["stages"]?.array?.count == 6)
            let list = try await service.send(.get, "/v1/pipelines?is_default=true", as: admin, expecting: 200).json
            let first = try #require(list["data"]?[0])
            let path = "/v1/pipelines/\(second["id"]?.string ?? "")"
            try await service.send(.patch, path, ["is_default": true], as: admin, expecting: 200)
            let former = try await service.send(.get, "/v1/pipelines/\(first["id"]?.string ?? "")", as: admin, expecting: 200).json
            #expect(former["is_default"] == false && former["version"] == 2)
            let deal = try await service.send(.post, "/v1/deals", ["name": "A"], as: admin, expecting: 201).json
            #expect(deal["pipeline_id"] == second["id"])
            let unset = try await service.send(.patch, path, ["is_default": false], as: admin, expecting: 422)
            #expect(unset.json["errors"]?[0]?["pointer"] == "/is_default")
            #expect(try await service.send(.delete, path, as: admin, expecting: 409).code == "conflict")
            // Two at once: one of them is it in the end.
            let third = try await service.send(.post, "/v1/pipelines", ["name": "Partners"], as: admin, expecting: 201).json
            try await withThrowingTaskGroup(of: Void.self) { group in
                for id in [first["id"], third["id"]] {
                    group.addTask {
                        try await service.send(
                            .patch, "/v1/pipelines/\(id?.string ?? "")", ["is_default": true], as: admin, expecting: 200)
                    }
                }
                try await group.waitForAll()
            }
            let defaults = try await service.send(.get, "/v1/pipelines?is_default=true", as: admin, expecting: 200).json
            #expect(defaults["data"]?.array?.count == 1)
            for role in [BuiltInRole.manager, .sales, .readOnly] {
                let caller = Self.colleague(of: admin, role)
                try await service.send(.get, path, as: caller, expecting: 200)
                try await service.send(.patch, path, ["name": "X"], as: caller, expecting: 403)
            }
            try await service.send(.get, path, as: AccountTests.member(.tenantAdmin), expecting: 404)
            let trail = try await database.query(
                in: .crm,
                [
                    """
                    select count(*), count(distinct (aggregateid, payload -> 'after' ->> 'version')) from outbox
                    where aggregatetype = 'pipeline' and tenant_id = \(admin.tenant?.description ?? "")::uuid
                    """
                ])[0][0]
            // Two made by the service or the caller, one more, and each change of the default is one of two.
            #expect(try trail.decode(0, as: Int.self) == 3 + 6 && trail.decode(1, as: Int.self) == 3 + 6)
        }
    }

    @Test func stagesAreChangedWithTheirPipeline() async throws {
        try await Self.run { service, _, admin in
            let made = try await service.send(
                .post, "/v1/pipelines",
                [
                    "name": "Short",
                    "stages": [
                        ["name": "Lost", "kind": "lost", "position": 3],
                        ["name": "Talk", "probability": 20, "rot_after_days": 7, "position": 1],
                        ["name": "Won", "kind": "won", "position": 2],
                    ],
                ], as: admin, expecting: 201
            ).json
            #expect(Self.names(made) == ["Talk", "Won", "Lost"])
            #expect(made["stages"]?[1]?["probability"] == 100 && made["stages"]?[2]?["probability"] == 0)
            let path = "/v1/pipelines/\(made["id"]?.string ?? "")"
            let stages = try #require(made["stages"]?.array)
            // As they were read they are no change, with or without what follows from their order.
            let same = try await service.send(.patch, path, ["stages": .array(stages)], as: admin, expecting: 200)
            #expect(same.json == made)
            let bare = stages.map { stage -> JSON in
                var stage = stage.object ?? JSONObject()
                stage["position"] = nil
                return .object(stage)
            }
            #expect(try await service.send(.patch, path, ["stages": .array(bare)], as: admin, expecting: 200).json == made)
            let more = try await service.send(
                .patch, path, ["stages": .array([bare[0], ["name": "Offer", "probability": 60]] + bare[1...])], as: admin, expecting: 200
            ).json
            #expect(Self.names(more) == ["Talk", "Offer", "Won", "Lost"] && more["version"] == 2)
            #expect(Self.stages(more)["Talk"] == Self.stages(made)["Talk"])
            for (wrong, rule) in [
                ([bare[0], bare[1]], "has an open stage"), ([], "has an open stage"),
                (bare + [["name": "Offer"]], "has a probability"),
                (bare + [["name": "Sure", "kind": "won", "probability": 90]], "has a probability"),
                (bare + [["name": "Foreign", "probability": 1, "id": .string(RecordID().description)]], "is one of this pipeline's"),
                (bare + [bare[0]], "stands there once"),
            ] as [([JSON], String)] {
                let answer = try await service.send(.patch, path, ["stages": .array(wrong)], as: admin, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"] == "/stages" && answer.text.contains(rule), "\(answer.text)")
            }
            var turned = bare[0].object ?? JSONObject()
            turned["kind"] = "won"
            turned["probability"] = 100
            let kind = try await service.send(
                .patch, path, ["stages": .array([.object(turned), ["name": "Open", "probability": 5]] + bare[1...])], as: admin,
                expecting: 422)
            #expect(kind.text.contains("never changes"))
            let foreign = try await service.send(
                .post, "/v1/pipelines", ["name": "Copy", "stages": .array(bare)], as: admin, expecting: 422)
            #expect(foreign.text.contains("a new stage has none"))
            let faults = try await service.send(
                .patch, path, ["stages": [["name": "A", "colour": "red"], ["kind": "good"]]], as: admin, expecting: 400)
            #expect(
                faults.json["errors"]?.array?.compactMap { $0["pointer"]?.string }
                    == ["/stages/0/colour", "/stages/1/name", "/stages/1/kind"], "\(faults.text)")
        }
    }

    @Test func aStageThatDealsAreInGoesWhenTheyAreMoved() async throws {
        try await Self.run { service, database, admin in
            let deals = try await (0..<3).asyncMap { number in
                try await service.send(.post, "/v1/deals", ["name": .string("Deal \(number)")], as: admin, expecting: 201).json
            }
            let path = "/v1/pipelines/\(deals[0]["pipeline_id"]?.string ?? "")"
            let pipeline = try await service.send(.get, path, as: admin, expecting: 200)
            let stages = try #require(pipeline.json["stages"]?.array)
            let refused = try await service.send(.patch, path, ["stages": .array(Array(stages[1...]))], as: admin, expecting: 422)
            #expect(refused.text.contains("move_deals_to"))
            #expect(refused.json["in_use"] == [["stage_id": stages[0]["id"] ?? .null, "deals": 3]])
            var leaving = stages[0].object ?? JSONObject()
            leaving["move_deals_to"] = stages[2]["id"]
            let change: JSON = ["stages": .array([.object(leaving)] + stages[1...])]
            let stale = try await service.send(.patch, path, change, as: admin, headers: [("If-Match", "\"7\"")], expecting: 412)
            #expect(stale.code == "version_mismatch")
            let key = [("Idempotency-Key", "k")]
            let changed = try await service.send(.patch, path, change, as: admin, headers: key, expecting: 200)
            #expect(Self.names(changed.json) == ["Discovery", "Proposal", "Negotiation", "Won", "Lost"])
            let again = try await service.send(.patch, path, change, as: admin, headers: key, expecting: 200)
            #expect(again.json == changed.json && again.header("idempotent-replayed") == "true")
            for deal in deals {
                let moved = try await service.send(.get, "/v1/deals/\(deal["id"]?.string ?? "")", as: admin, expecting: 200).json
                #expect(moved["stage_id"] == stages[2]["id"] && moved["version"] == 2 && moved["probability"] == 50)
            }
            let events = try await database.query(
                in: .crm,
                [
                    "select count(*) from outbox where type = 'deal.updated' and tenant_id = \(admin.tenant?.description ?? "")::uuid"
                ])[0][0]
            #expect(try events.decode(0, as: Int.self) == 3)
            // A deleted deal of a stage that has gone comes back to the first one.
            let first = "/v1/deals/\(deals[0]["id"]?.string ?? "")"
            try await service.send(.delete, first, as: admin, expecting: 204)
            for deal in deals[1...] {
                try await service.send(
                    .post, "/v1/deals/\(deal["id"]?.string ?? "")/move", ["stage_id": stages[3]["id"] ?? .null], as: admin, expecting: 200)
            }
            let rest = changed.json["stages"]?.array?.filter { $0["name"] != "Proposal" } ?? []
            try await service.send(.patch, path, ["stages": .array(rest)], as: admin, expecting: 200)
            let back = try await service.send(.post, "\(first)/restore", as: admin, expecting: 200).json
            #expect(back["stage_id"] == stages[1]["id"] && back["status"] == "open")
        }
    }

    /// Goal: no deal is left in a stage that is gone. Method: deals come into it while it goes.
    @Test func noDealComesIntoAStageThatGoes() async throws {
        try await Self.run { service, database, admin in
            for _ in 0..<8 {
                let made = try await service.send(.post, "/v1/pipelines", ["name": "P"], as: admin, expecting: 201).json
                let stages = try #require(made["stages"]?.array)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<6 {
                        group.addTask {
                            let answer = try await service.send(
                                .post, "/v1/deals", ["name": "A", "stage_id": stages[0]["id"] ?? .null], as: admin)
                            #expect([201, 422].contains(answer.status), "\(answer.text)")
                        }
                    }
                    group.addTask {
                        let answer = try await service.send(
                            .patch, "/v1/pipelines/\(made["id"]?.string ?? "")", ["stages": .array(Array(stages[1...]))], as: admin)
                        #expect([200, 422].contains(answer.status), "\(answer.text)")
                    }
                    try await group.waitForAll()
                }
            }
            let lost = try await database.query(
                in: .crm,
                [
                    """
                    select count(*) from deal join stage on stage.tenant_id = deal.tenant_id and stage.id = deal.stage_id
                    where deal.deleted_at is null and stage.deleted_at is not null
                    """
                ])[0][0]
            #expect(try lost.decode(0, as: Int.self) == 0)
        }
    }

    @Test func aPipelineWithDealsIsNotDeleted() async throws {
        try await Self.run { service, _, admin in
            let made = try await service.send(.post, "/v1/pipelines", ["name": "P"], as: admin, expecting: 201).json
            let path = "/v1/pipelines/\(made["id"]?.string ?? "")"
            let deal = try await service.send(
                .post, "/v1/deals", ["name": "A", "pipeline_id": made["id"] ?? .null], as: admin, expecting: 201
            ).json
            let refused = try await service.send(.delete, path, as: admin, expecting: 409)
            #expect(refused.json["referring"]?[0]?["count"] == 1)
            try await service.send(.delete, "/v1/deals/\(deal["id"]?.string ?? "")", as: admin, expecting: 204)
            try await service.send(.delete, path, as: admin, expecting: 204)
            for reference in [["pipeline_id": made["id"] ?? .null], ["stage_id": made["stages"]?[0]?["id"] ?? .null]] as [[String: JSON]] {
                var body: JSONObject = JSONObject()
                body["name"] = "B"
                for (name, value) in reference { body[name] = value }
                let answer = try await service.send(.post, "/v1/deals", .object(body), as: admin, expecting: 422)
                #expect(
                    answer.code == "reference_not_found"
                        && answer.json["errors"]?[0]?["pointer"]?.string == "/\(reference.first?.key ?? "")")
            }
            try await service.send(.post, "\(path)/restore", as: admin, expecting: 200)
            try await service.send(.post, "/v1/deals", ["name": "B", "pipeline_id": made["id"] ?? .null], as: admin, expecting: 201)
        }
    }
}

extension Range<Int> {
    /// One after another.
    func asyncMap<T>(_ body: (Int) async throws -> T) async rethrows -> [T] {
        var all: [T] = []
        for number in self { all.append(try await body(number)) }
        return all
    }
}
