import CRM
import Core
import TestSupport
import Testing

/// What is special about deals; what every resource has is tested with the engine.
@Suite struct DealTests {
    /// The stages of the tenant's default pipeline by their names.
    static func stages(_ service: RunningService, _ caller: Caller) async throws -> [String: JSON] {
        let list = try await service.send(.get, "/v1/pipelines?is_default=true", as: caller, expecting: 200).json
        return PipelineTests.stages(list["data"]?[0]).mapValues { .string($0) }
    }

    @Test func aDealIsAsItsStageSays() async throws {
        try await AccountTests.run { service, member in
            let stages = try await Self.stages(service, member)
            let made = try await service.send(
                .post, "/v1/deals", ["name": "Kestrel: 40 seats", "amount_minor": 480_000, "expected_close_on": "2026-03-31"], as: member,
                expecting: 201
            ).json
            #expect(made["stage_id"] == stages["Qualification"] && made["status"] == "open" && made["probability"] == 10)
            #expect(made["currency"] == "USD" && made["closed_at"] == .null && made["stage_changed_at"] == made["created_at"])
            let path = "/v1/deals/\(made["id"]?.string ?? "")"
            // By its name or as a change of a member, it comes to the same.
            let moved = try await service.send(.post, "\(path)/move", ["stage_id": stages["Proposal"] ?? .null], as: member, expecting: 200)
                .json
            #expect(moved["stage_id"] == stages["Proposal"] && moved["probability"] == 50 && moved["version"] == 2)
            let sure = try await service.send(
                .patch, path, ["stage_id": stages["Negotiation"] ?? .null, "probability": 90], as: member, expecting: 200
            ).json
            #expect(sure["probability"] == 90 && sure["version"] == 3)
            #expect(try await service.send(.patch, path, ["probability": nil], as: member, expecting: 200).json["probability"] == 75)
            let won = try await service.send(.patch, path, ["stage_id": stages["Won"] ?? .null], as: member, expecting: 200).json
            #expect(won["status"] == "won" && won["probability"] == 100 && won["closed_at"] == won["updated_at"])
            let lost = try await service.send(
                .post, "\(path)/move", ["stage_id": stages["Lost"] ?? .null, "lost_reason": "Price"], as: member, expecting: 200
            ).json
            #expect(lost["status"] == "lost" && lost["probability"] == 0 && lost["lost_reason"] == "Price")
            let again = try await service.send(.patch, path, ["stage_id": stages["Discovery"] ?? .null], as: member, expecting: 200).json
            #expect(again["status"] == "open" && again["closed_at"] == .null && again["lost_reason"] == .null && again["probability"] == 25)
            for (body, pointer) in [
                (["lost_reason": "Price"], "/lost_reason"), (["stage_id": stages["Won"] ?? .null, "lost_reason": "Price"], "/lost_reason"),
                (["stage_id": stages["Won"] ?? .null, "probability": 60], "/probability"), (["stage_id": nil], "/stage_id"),
                (["stage_id": .string(RecordID().description)], "/stage_id"), (["status": "won"], "/status"),
                (["closed_at": "2026-01-31T09:30:00.000Z"], "/closed_at"), (["currency": nil], "/currency"),
            ] as [(JSON, JSON)] {
                let answer = try await service.send(.patch, path, body, as: member, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"] == pointer, "\(answer.text)")
            }
            // What is made closed is so from the start.
            let closed = try await service.send(
                .post, "/v1/deals", ["name": "B", "stage_id": stages["Lost"] ?? .null, "lost_reason": "Time"], as: member, expecting: 201
            ).json
            #expect(closed["status"] == "lost" && closed["closed_at"] == closed["created_at"])
            for query in ["status=lost", "q=b", "stage_id=\(stages["Lost"]?.string ?? "")", "closed_at[null]=false&status[not]=won"] {
                let list = try await service.send(
                    .get, "/v1/deals?\(query.replacing("[", with: "%5B").replacing("]", with: "%5D"))", as: member)
                #expect(list.json["data"]?.array?.count == 1, "\(query): \(list.text)")
            }
        }
    }

    @Test func aStageOfAnotherPipelineBringsTheDealThere() async throws {
        try await PipelineTests.run { service, _, admin in
            let other = try await service.send(.post, "/v1/pipelines", ["name": "Renewals"], as: admin, expecting: 201).json
            let deal = try await service.send(.post, "/v1/deals", ["name": "A"], as: admin, expecting: 201).json
            #expect(deal["pipeline_id"] != other["id"])
            let path = "/v1/deals/\(deal["id"]?.string ?? "")"
            let there = try await service.send(
                .post, "\(path)/move", ["stage_id": other["stages"]?[2]?["id"] ?? .null], as: admin, expecting: 200
            ).json
            #expect(there["pipeline_id"] == other["id"] && there["stage_id"] == other["stages"]?[2]?["id"])
            let back = try await service.send(.patch, path, ["pipeline_id": deal["pipeline_id"] ?? .null], as: admin, expecting: 200).json
            #expect(back["stage_id"] == deal["stage_id"])
            for body in [
                ["name": "B", "pipeline_id": deal["pipeline_id"] ?? .null, "stage_id": other["stages"]?[0]?["id"] ?? .null]
            ] as [JSON] {
                let answer = try await service.send(.post, "/v1/deals", body, as: admin, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"] == "/stage_id")
            }
            // Nor is the stage that it is in another pipeline's.
            let both: JSON = ["pipeline_id": other["id"] ?? .null, "stage_id": back["stage_id"] ?? .null]
            let refused = try await service.send(.patch, path, both, as: admin, expecting: 422)
            #expect(refused.json["errors"]?[0]?["pointer"] == "/stage_id", "\(refused.text)")
            #expect(refused.json["errors"]?[0]?["detail"] == "The stage is none of the pipeline's.")
            let same: JSON = ["pipeline_id": back["pipeline_id"] ?? .null, "stage_id": back["stage_id"] ?? .null]
            #expect(try await service.send(.patch, path, same, as: admin, expecting: 200).json["version"] == back["version"])
            let expanded = try await service.send(.get, "\(path)?expand=pipeline&fields=name", as: admin, expecting: 200).json
            #expect(expanded["pipeline"]?["stages"]?.array?.count == 6)
        }
    }

    @Test func aMoveIsRefusedAsAChangeIs() async throws {
        try await AccountTests.run { service, member in
            let stages = try await Self.stages(service, member)
            let made = try await service.send(.post, "/v1/deals", ["name": "A"], as: member, expecting: 201).json
            let path = "/v1/deals/\(made["id"]?.string ?? "")/move"
            let body: JSON = ["stage_id": stages["Won"] ?? .null]
            let stale = try await service.send(.post, path, body, as: member, headers: [("If-Match", "\"9\"")], expecting: 412)
            #expect(stale.json["current_version"] == 1)
            for (wrong, status, pointer) in [
                (["name": "B"], 400, "/name"), (JSON.object(JSONObject()), 422, "/stage_id"), (["stage_id": 5], 422, "/stage_id"),
                (["stage_id": .string(RecordID().description)], 422, "/stage_id"),
            ] as [(JSON, Int, JSON)] {
                let answer = try await service.send(.post, path, wrong, as: member, expecting: status)
                #expect(answer.json["errors"]?[0]?["pointer"] == pointer, "\(answer.text)")
            }
            try await service.send(.post, path, body, as: PipelineTests.colleague(of: member, .readOnly), expecting: 403)
            try await service.send(.post, path, body, as: PipelineTests.colleague(of: member, .support), expecting: 403)
            try await service.send(.post, path, body, as: AccountTests.member(.sales), expecting: 404)
            let key = [("Idempotency-Key", "k")]
            let first = try await service.send(.post, path, body, as: member, headers: key, expecting: 200)
            let again = try await service.send(.post, path, body, as: member, headers: key, expecting: 200)
            #expect(again.json == first.json && first.json["version"] == 2 && again.header("idempotent-replayed") == "true")
            // To where it is, is no change.
            #expect(try await service.send(.post, path, body, as: member, expecting: 200).json == first.json)
        }
    }

    /// Of twenty at once who have seen the same version one moves it.
    @Test func ofStaleMovesOneTakesEffect() async throws {
        try await AccountTests.run { service, member in
            let stages = try await Self.stages(service, member)
            let made = try await service.send(.post, "/v1/deals", ["name": "A"], as: member, expecting: 201).json
            let path = "/v1/deals/\(made["id"]?.string ?? "")"
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        let stage = stages[["Discovery", "Proposal", "Won", "Lost"][number % 4]] ?? .null
                        return try await service.send(
                            .patch, path, ["stage_id": stage], as: member, headers: [("If-Match", "\"1\"")]
                        ).status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }.sorted()
            }
            #expect(statuses == [200] + Array(repeating: 412, count: 19))
            let stays = try await service.send(.get, "\(path)/stages", as: member, expecting: 200).json
            #expect(stays["data"]?.array?.count == 2)
        }
    }

    @Test func eachStayInAStageIsTold() async throws {
        try await AccountTests.run { service, member in
            guard case .member(let context) = member else { return }
            let stages = try await Self.stages(service, member)
            let colleague = PipelineTests.colleague(of: member, .manager)
            guard case .member(let other) = colleague else { return }
            let made = try await service.send(.post, "/v1/deals", ["name": "A"], as: member, expecting: 201).json
            let path = "/v1/deals/\(made["id"]?.string ?? "")"
            try await service.send(.patch, path, ["amount_minor": 5], as: member, expecting: 200)
            try await service.send(.post, "\(path)/move", ["stage_id": stages["Proposal"] ?? .null], as: colleague, expecting: 200)
            try await service.send(.patch, path, ["amount_minor": 7], as: member, expecting: 200)
            try await service.send(.post, "\(path)/move", ["stage_id": stages["Won"] ?? .null], as: member, expecting: 200)
            let whole = try await service.send(.get, "\(path)/stages", as: member, expecting: 200).json
            let stays = try #require(whole["data"]?.array)
            #expect(stays.map { $0["stage"]?["name"] } == ["Qualification", "Proposal", "Won"])
            #expect(stays.map { $0["moved_by"]?.string } == [context.user, other.user, context.user].map(\.description))
            #expect(stays[0]["from"] == made["created_at"] && stays[2]["to"] == .null)
            #expect(stays[0]["to"] == stays[1]["from"] && stays[1]["to"] == stays[2]["from"])
            // A page at a time it is the same.
            var target = "\(path)/stages?limit=1"
            var paged: [JSON] = []
            while true {
                let page = try await service.send(.get, target, as: member, expecting: 200).json
                paged += page["data"]?.array ?? []
                guard let next = page["page"]?["next"]?.string else { break }
                target = "\(path)/stages?limit=1&after=\(next)"
            }
            #expect(paged == stays)
            #expect(try await service.send(.get, "\(path)/stages?after=x", as: member, expecting: 400).code == "invalid_cursor")
            try await service.send(.get, "\(path)/stages", as: PipelineTests.colleague(of: member, .support), expecting: 403)
            try await service.send(.get, "\(path)/stages", as: AccountTests.member(.sales), expecting: 404)
            try await service.send(.get, "/v1/deals/\(RecordID())/stages", as: member, expecting: 404)
        }
    }
}
