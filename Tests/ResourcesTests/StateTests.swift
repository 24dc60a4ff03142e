import CRM
import Core
import Postgres
import Resources
import Support
import TestSupport
import Testing

/// State machines: what a record may become, held by every way to change it.
@Suite struct StateTests {
    /// The table of all moves of a ticket, by all ways to change it: one ticket for each state, way and move.
    @Test(arguments: ["patch", "external", "put", "batch", "atomic"])
    func aTicketBecomesWhatItsStateAllowsAndNothingElse(way: String) async throws {
        let allowed = [
            "new": ["open", "pending", "on_hold", "solved"], "open": ["pending", "on_hold", "solved"],
            "pending": ["open", "on_hold", "solved"], "on_hold": ["open", "pending", "solved"],
            "solved": ["open", "pending", "on_hold", "closed"], "closed": [],
        ]
        let states = ["new", "open", "pending", "on_hold", "solved", "closed"]
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            for (number, state) in states.enumerated() {
                for (place, next) in states.enumerated() {
                    let name = "\(number)-\(place)"
                    let start = state == "closed" ? "solved" : state
                    let made = try await api.create(#"{"subject":"A","external_id":"\#(name)","status":"\#(start)"}"#, as: admin)
                    let path = "/v1/tickets/\(made.id)"
                    if state == "closed" { #expect(try await api.send(.patch, path, #"{"status":"closed"}"#, as: admin).status == 200) }
                    let reply = try await change(api, way, made.id, name, #"{"status":"\#(next)"}"#, as: admin)
                    let problem = reply.problem
                    let expected = try #require(allowed[state])
                    if next == state || expected.contains(next) {
                        #expect(reply.status == 200, "\(state) → \(next): \(reply.body)")
                        #expect(reply.body["status"]?.string == next)
                    } else {
                        #expect(reply.status == 409 && problem["code"] == "conflict", "\(state) → \(next): \(reply.body)")
                        #expect(problem["field"] == "status" && problem["current"]?.string == state)
                        #expect(problem["allowed"]?.array?.compactMap(\.string) == expected)
                        #expect(problem["errors"]?[0]?["pointer"]?.string?.hasSuffix("/status") == true)
                    }
                    let after = try await api.send(.get, path, as: admin).json
                    #expect(after["status"]?.string == (reply.status == 200 ? next : state))
                }
            }
        }
    }

    private struct Answer {
        var status: Int
        /// The record, or the problem.
        var body: JSON
        var problem: JSON { body }
    }

    /// Changes a record in one of the ways there are.
    private func change(
        _ api: ResourceAPI, _ way: String, _ id: String, _ externalID: String, _ body: String, as context: RequestContext
    ) async throws -> Answer {
        let path = api.resource.definition.path
        let reply: Reply
        switch way {
        case "patch": reply = try await api.send(.patch, "\(path)/\(id)", body, as: context)
        case "external": reply = try await api.send(.patch, "\(path)/by-external-id/\(externalID)", body, as: context)
        case "put": reply = try await api.send(.put, "\(path)/by-external-id/\(externalID)", body, as: context)
        default:
            let operation = #"{"op":"upsert","external_id":"\#(externalID)","body":\#(body)}"#
            let batch = #"{"atomic":\#(way == "atomic"),"operations":[\#(operation)]}"#
            reply = try await api.send(.post, "\(path)/batch", batch, as: context)
            guard reply.status == 200, let result = try reply.json["results"]?[0] else { break }
            return Answer(status: Int(result["status"]?.integer ?? 0), body: result["body"] ?? .null)
        }
        return Answer(status: reply.status, body: try reply.json)
    }

    @Test func nothingStartsInAStateThatOnlyComesLater() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            let refused = try await api.send(.post, "/v1/tickets", #"{"subject":"","status":"closed"}"#, as: admin)
            #expect(refused.status == 422)
            #expect(try refused.faults == ["/status not_allowed", "/subject required"])
            #expect(refused.text.contains("Expected new, open, pending, on_hold or solved."))
            let place = "/v1/tickets/by-external-id/x"
            #expect(try await api.send(.put, place, #"{"subject":"A","status":"closed"}"#, as: admin).faults == ["/status not_allowed"])
            #expect(try await api.send(.put, place, #"{"subject":"A","status":"solved"}"#, as: admin).status == 201)
            // What cannot be made so can be changed so.
            #expect(try await api.send(.put, place, #"{"subject":"A","status":"closed"}"#, as: admin).status == 200)
            #expect(try await api.create(#"{"subject":"A"}"#, as: admin)["status"] == "new")
            for body in [#"{"status":null}"#, #"{"status":"lost"}"#] {
                #expect(try await api.send(.patch, place, body, as: admin).status == 422)
            }
        }
    }

    /// It is read, deleted and restored, and changed no more: not even by somebody who knows its version.
    @Test func aRecordAtItsEndIsKeptAsItIs() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            let ticket = try await api.create(#"{"subject":"A","status":"solved"}"#, as: admin)
            let path = "/v1/tickets/\(ticket.id)"
            let closed = try await api.send(.patch, path, #"{"status":"closed","priority":"high"}"#, as: admin)
            #expect(try closed.json["status"] == "closed" && closed.json["priority"] == "high")
            for headers in [[:], ["If-Match": "\"2\""], ["Idempotency-Key": "k"], ["Idempotency-Key": "k"]] {
                let refused = try await api.send(.patch, path, #"{"subject":"B"}"#, as: admin, headers: headers)
                #expect(refused.status == 409, "\(refused.text)")
                #expect(try refused.json["detail"] == "The ticket is closed and is changed no more.")
                #expect(try refused.json["allowed"] == [] && refused.json["errors"] == nil)
            }
            // What is refused is the change beside the state, as long as it is the one that the record has.
            for (state, faults) in [("closed", [String]()), ("open", ["/status not_allowed"])] {
                let refused = try await api.send(.patch, path, #"{"status":"\#(state)","subject":"B"}"#, as: admin)
                #expect(try refused.status == 409 && refused.faults == faults, "\(refused.text)")
            }
            #expect(try await api.send(.patch, path, #"{"subject":"B"}"#, as: admin, headers: ["If-Match": "\"1\""]).status == 412)
            #expect(try await api.send(.patch, path, #"{"status":"open"}"#, as: admin, headers: ["If-Match": "\"1\""]).status == 412)
            #expect(try await api.send(.patch, path, #"{"subject":"B"}"#, as: api.member(tenant: TenantID())).status == 404)
            // What changes nothing is no change: what can be set can be sent back as it was read.
            let same = try await api.send(.patch, path, #"{"subject":"A","status":"closed","priority":"high"}"#, as: admin)
            #expect(same.status == 200 && same.body == closed.body)
            #expect(try await api.send(.delete, path, as: admin).status == 204)
            #expect(try await api.send(.post, "\(path)/restore", as: admin).json["status"] == "closed")
            #expect(try await api.events() == ["ticket.created", "ticket.updated", "ticket.deleted", "ticket.restored"])
        }
    }

    /// Goal: of several changes at once each is held to what those before it have made. Method: 20 requests close a solved ticket and 20 open it;
    /// whichever came first decides, and nothing leads out of closed.
    @Test func changesAtOnceGoThroughTheMachineOneByOne() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            for _ in 0..<10 {
                let path = "/v1/tickets/\(try await api.create(#"{"subject":"A","status":"solved"}"#, as: admin).id)"
                let statuses = try await withThrowingTaskGroup(of: (String, Int).self) { group in
                    for index in 0..<40 {
                        let state = index % 2 == 0 ? "closed" : "open"
                        group.addTask { (state, try await api.send(.patch, path, #"{"status":"\#(state)"}"#, as: admin).status) }
                    }
                    return try await group.reduce(into: [String: Set<Int>]()) { $0[$1.0, default: []].insert($1.1) }
                }
                let record = try await api.send(.get, path, as: admin).json
                let end = record["status"]?.string ?? ""
                #expect(end == "closed" || end == "open")
                #expect(record["version"]?.integer ?? 9 <= 3, "\(record)")
                #expect(
                    statuses[end]?.contains(200) == true && statuses[end == "closed" ? "open" : "closed"]?.contains(409) == true,
                    "\(statuses)")
            }
        }
    }

    @Test func inABatchEachOperationSeesTheStateThatTheOneBeforeHasMade() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            for isAtomic in [false, true] {
                let id = try await api.create(#"{"subject":"A"}"#, as: admin).id
                let operations = ["solved", "closed", "open"].map { #"{"op":"update","id":"\#(id)","body":{"status":"\#($0)"}}"# }
                let reply = try await api.send(
                    .post, "/v1/tickets/batch", #"{"atomic":\#(isAtomic),"operations":[\#(operations.joined(separator: ","))]}"#, as: admin)
                let problem = isAtomic ? try reply.json : try reply.json["results"]?[2]?["body"] ?? .null
                #expect(problem["code"] == "conflict" && problem["current"] == "closed", "\(reply.text)")
                #expect(problem["errors"]?[0]?["pointer"] == "/operations/2/body/status")
                if isAtomic { #expect(problem["operation"] == 2) }
                #expect(try await api.send(.get, "/v1/tickets/\(id)", as: admin).json["status"]?.string == (isAtomic ? "new" : "closed"))
            }
        }
    }

    /// Why an atomic batch fails is what the refused operation meets in its turn, whatever comes before it and after it. Then nothing has happened.
    @Test(arguments: ["id", "external", "upsert"])
    func theReasonIsThatOfTheRefusedOperation(way: String) async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            for (number, (states, place, current)) in [
                (["closed", "solved"], 0, "new"), (["closed", "open"], 0, "new"), (["closed", "deleted"], 0, "new"),
                (["solved", "new", "open"], 1, "solved"), (["solved", "closed", "open", "solved", "deleted"], 2, "closed"),
            ].enumerated() {
                let made = try await api.create(#"{"subject":"A","external_id":"\#(number)"}"#, as: admin)
                let record = way == "id" ? #""id":"\#(made.id)""# : #""external_id":"\#(number)""#
                let operations = states.map { state in
                    if state == "deleted" { return #"{"op":"delete",\#(record)}"# }
                    return #"{"op":"\#(way == "upsert" ? "upsert" : "update")",\#(record),"body":{"status":"\#(state)"}}"#
                }
                let batch = #"{"atomic":true,"operations":[\#(operations.joined(separator: ","))]}"#
                for headers in [[:], ["Idempotency-Key": "\(number)"]] {
                    let reply = try await api.send(.post, "/v1/tickets/batch", batch, as: admin, headers: headers)
                    let problem = try reply.json
                    #expect(reply.status == 409 && problem["code"] == "conflict", "\(reply.text)")
                    #expect(problem["operation"] == .number(place) && problem["current"]?.string == current, "\(reply.text)")
                    #expect(try reply.faults == ["/operations/\(place)/body/status not_allowed"])
                }
                let after = try await api.send(.get, "/v1/tickets/\(made.id)", as: admin).json
                #expect(after["status"] == "new" && after["version"] == 1)
            }
        }
    }

    /// An instant follows any field of few values, also one that can be null.
    @Test(arguments: ["patch", "external", "put", "batch", "atomic"])
    func anInstantEndsWhenTheFieldIsCleared(way: String) async throws {
        let definition = ResourceDefinition(
            "samples", singular: "sample", permissions: .leads, owner: "owner_id",
            fields: Sample.definition.fields + [Field("red_at", .since("kind", in: ["red"]))])
        try await ResourceAPI.run(definition, tables: Sample.table + ["alter table sample add column red_at timestamptz(3)"]) { api in
            let admin = api.member()
            let made = try await api.create(#"{"name":"A","external_id":"x","kind":"red"}"#, as: admin)
            #expect(made["red_at"] == made["created_at"])
            for (kind, isSet) in [("null", false), (#""red""#, true), (#""blue""#, false)] {
                let answer = try await change(api, way, made.id, "x", #"{"kind":\#(kind)}"#, as: admin).body
                #expect(answer["red_at"] == (isSet ? answer["updated_at"] : .null), "\(answer)")
            }
            #expect(try await api.create(#"{"name":"A"}"#, as: admin)["red_at"] == .null)
        }
    }

    /// Set by the change that solves it, kept when it is closed, gone when it is opened again; no other change touches it, and no body sets it.
    @Test(arguments: ["patch", "external", "put", "batch", "atomic"])
    func aTicketKnowsSinceWhenItIsSolved(way: String) async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            let solved = try await api.create(#"{"subject":"A","status":"solved"}"#, as: admin)
            #expect(solved["solved_at"] == solved["created_at"])
            let ticket = try await api.create(#"{"subject":"A","external_id":"x"}"#, as: admin)
            #expect(ticket["solved_at"] == .null)
            var instants: [JSON] = []
            for body in [
                #"{"status":"solved"}"#, #"{"priority":"high"}"#, #"{"status":"closed"}"#,
            ] {
                let answer = try await change(api, way, ticket.id, "x", body, as: admin).body
                if instants.isEmpty { #expect(answer["solved_at"] == answer["updated_at"]) }
                instants.append(answer["solved_at"] ?? .null)
            }
            #expect(Set(instants.map(\.description)).count == 1 && instants[0] != .null, "\(instants)")
            let opened = try await change(api, "patch", solved.id, "", #"{"status":"open","subject":"B"}"#, as: admin).body
            #expect(opened["solved_at"] == .null && opened["version"] == 2)
            #expect(
                try await api.send(.patch, "/v1/tickets/\(solved.id)", #"{"solved_at":null}"#, as: admin).faults == ["/solved_at read_only"]
            )
            // Both in one batch, where they are said to be made at one time.
            let batch = #"{"operations":[{"op":"create","body":{"subject":"A","status":"solved"}},{"op":"create","body":{"subject":"B"}}]}"#
            let made = try await api.send(.post, "/v1/tickets/batch", batch, as: admin).json["results"]
            #expect(made?[0]?["body"]?["solved_at"] == made?[0]?["body"]?["created_at"])
            #expect(made?[1]?["body"]?["solved_at"] == .null)
        }
    }

    /// What makes a lead converted is an operation of its own; one that is so stays as it is.
    @Test func aConvertedLeadIsMadeByNoRequestAndChangedByNone() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A","status":"qualified","external_id":"a"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            let refused = try await api.send(.patch, path, #"{"status":"converted"}"#, as: admin)
            #expect(refused.status == 409, "\(refused.text)")
            #expect(try refused.json["detail"] == "The lead is qualified: it can become new, contacted or unqualified, not converted.")
            try await api.database.asOwner(["call amend()", "update lead set status = 'converted'"])
            for body in [#"{"score":1}"#, #"{"status":"new"}"#] {
                #expect(try await api.send(.patch, path, body, as: admin).status == 409)
            }
            #expect(try await api.send(.patch, path, #"{"status":"converted"}"#, as: admin).status == 200)
            for (method, path) in [(.delete, path), (.delete, "/v1/leads/by-external-id/a")] as [(Core.Method, String)] {
                let kept = try await api.send(method, path, as: admin)
                #expect(try kept.status == 409 && kept.json["detail"] == "The lead is converted and is not deleted.", "\(kept.text)")
            }
            let blind = api.member(fields: ["leads": ["status": .hidden]])
            let hidden = try await api.send(.delete, path, as: blind)
            #expect(try hidden.json["detail"] == "The lead is not deleted." && hidden.json["current"] == nil)
        }
    }

    @Test func theDocumentSaysWhatNoChangeBringsAbout() async throws {
        try await ResourceAPI.leads { api in
            let schemas = Dictionary(uniqueKeysWithValues: api.resource.schemas.map { ($0.name, $0.schema) })
            let text = schemas["LeadPatch"]?["properties"]?["status"]?["description"]?.string ?? ""
            #expect(
                text.hasSuffix(
                    "converted is the end, after which a change is refused. Nothing becomes converted by a change. What is converted is not deleted."
                ), "\(text)")
        }
    }

    @Test func theDocumentShowsTheStatesAndWhatBecomesOfThem() async throws {
        try await ResourceAPI.tickets { api in
            let document = OpenAPI.document(routes: api.resource.routes, schemas: api.resource.schemas)
            let schemas = try #require(document["components"]?["schemas"])
            let status = try #require(schemas["Ticket"]?["properties"]?["status"])
            #expect(status["enum"]?.array?.count == 6)
            #expect(status["x-transitions"]?["solved"] == ["open", "pending", "on_hold", "closed"])
            #expect(status["x-transitions"]?["closed"] == [])
            #expect(status["description"]?.string?.contains("closed is the end") == true)
            #expect(schemas["TicketCreate"]?["properties"]?["status"]?["enum"]?.array?.contains("closed") == false)
            #expect(schemas["TicketCreate"]?["properties"]?["status"]?["default"] == "new")
            #expect(schemas["TicketPatch"]?["properties"]?["status"]?["enum"]?.array?.contains("closed") == true)
            for (path, method) in [("/v1/tickets/{id}", "patch"), ("/v1/tickets/by-external-id/{external_id}", "put")] {
                #expect(document["paths"]?[path]?[method]?["responses"]?["409"] != nil)
            }
        }
    }
}
