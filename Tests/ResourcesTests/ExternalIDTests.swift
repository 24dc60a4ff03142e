import Core
import Postgres
import TestSupport
import Testing

/// Records by the ids that another system knows them by.
@Suite struct ExternalIDTests {
    private let place = "/v1/leads/by-external-id"

    private func allowed(_ actions: [PermissionAction], _ api: ResourceAPI, _ scope: RowScope = .all) -> RequestContext {
        var context = api.member()
        context.permissions = PermissionSet(actions.map { Permission(.leads, $0) })
        context.scopes[.leads] = scope
        return context
    }

    // MARK: Values that are unique

    @Test func anExternalIDIsOneLiveRecords() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A","external_id":" hub-1 "}"#, as: admin)
            #expect(lead["external_id"] == "hub-1")
            let other = try await api.create(#"{"last_name":"B","external_id":"HUB-1"}"#, as: admin)
            for (method, target, body) in [
                (Core.Method.post, "/v1/leads", #"{"last_name":"C","external_id":"hub-1"}"#),
                (.patch, "/v1/leads/\(other.id)", #"{"external_id":"hub-1"}"#),
                (.patch, "\(place)/HUB-1", #"{"external_id":"hub-1"}"#),
            ] {
                let refused = try await api.send(method, target, body, as: admin)
                #expect(refused.status == 409, "\(refused.text)")
                #expect(try refused.code == "already_exists")
                #expect(try refused.json.id == lead.id && refused.json["restorable"] == false)
                #expect(try refused.faults == ["/external_id not_unique"])
            }
            // Another tenant has ids of its own.
            _ = try await api.create(#"{"last_name":"A","external_id":"hub-1"}"#, as: api.member(tenant: TenantID()))
            #expect(try await api.send(.get, "/v1/leads?external_id=hub-1", as: admin).column("id") == [.string(lead.id)])
            let both = try await api.send(.get, "/v1/leads?external_id=HUB-1,hub-1,hub-2&sort=last_name&count=exact", as: admin)
            #expect(try both.column("last_name") == ["A", "B"] && both.json["page"]?["total"] == 2)
            // The trail has it like any member.
            let events = try await api.asSuperuser { client in
                try await client.batch(
                    as: SystemContext(service: "test"),
                    [
                        "select payload -> 'after' ->> 'external_id' from \(unescaped: api.database.schema).outbox where tenant_id = \(api.tenant) order by id"
                    ])[0].map { try $0.decode(0, as: String.self) }
            }
            #expect(events == ["hub-1", "HUB-1"])
        }
    }

    /// A deleted record blocks none; it cannot come back while another one has what was its own.
    @Test func aDeletedRecordsExternalIDIsFree() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let first = try await api.create(#"{"last_name":"A","external_id":"x"}"#, as: admin)
            #expect(try await api.send(.delete, "\(place)/x", as: admin).status == 204)
            #expect(try await api.send(.get, "\(place)/x", as: admin).status == 404)
            let made = try await api.send(.put, "\(place)/x", #"{"last_name":"B"}"#, as: admin)
            #expect(made.status == 201)
            let refused = try await api.send(.post, "/v1/leads/\(first.id)/restore", as: admin)
            #expect(try refused.code == "already_exists")
            #expect(try refused.json.id == made.json.id && refused.json["restorable"] == false)
            #expect(try await api.send(.get, "/v1/leads?external_id=x&deleted=only", as: admin).column("id") == [.string(first.id)])
            #expect(try await api.send(.patch, "\(place)/x", #"{"external_id":null}"#, as: admin).status == 200)
            #expect(try await api.send(.post, "/v1/leads/\(first.id)/restore", as: admin).status == 200)
        }
    }

    @Test(arguments: [
        ("\"\"", nil), ("\" \\u200b\"", nil), ("\"a\\u0301\"", "á"), ("\"Ab\"", "Ab"), ("5", "invalid_type"), ("\"a\\nb\"", "invalid_text"),
        ("\"\(String(repeating: "x", count: 256))\"", "too_long"),
    ])
    func anExternalIDIsALineOfText(given: String, kept: String?) async throws {
        try await ResourceAPI.leads { api async throws in
            let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A","external_id":\#(given)}"#, as: api.member())
            let isRefused = kept?.contains("_") == true
            #expect(reply.status == (isRefused ? 422 : 201))
            if isRefused {
                #expect(try reply.faults == ["/external_id \(kept ?? "")"])
            } else {
                #expect(try reply.json["external_id"]?.string == kept)
            }
        }
    }

    // MARK: By the id of another system

    /// Whatever the id consists of: it is one segment of the path.
    @Test(arguments: [
        ("a", "a"), ("a%2Fb", "a/b"), ("K%C3%B6ln%20%25", "Köln %"), ("a+b", "a+b"), ("restore", "restore"), ("a%CC%81", "á"),
    ])
    func aRecordIsReadChangedAndRemovedByItsExternalID(segment: String, id: String) async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let path = "\(place)/\(segment)"
            let lead = try await api.send(.put, path, #"{"last_name":"A"}"#, as: admin)
            #expect(lead.status == 201, "\(lead.text)")
            #expect(try lead.json["external_id"]?.string == id)
            #expect(try lead.header("location") == "/v1/leads/\(lead.json.id)")
            #expect(lead.header("etag") == "\"1\"")
            let read = try await api.send(.get, path, as: admin)
            #expect(read.body == lead.body && read.header("etag") == "\"1\"")
            #expect(try await api.send(.get, path, as: admin, headers: ["If-None-Match": "\"1\""]).status == 304)
            #expect(try await api.send(.get, "\(path)?fields=last_name", as: admin).json.object?.names == ["last_name"])
            #expect(try await api.send(.patch, path, #"{"title":"t"}"#, as: admin, headers: ["If-Match": "\"1\""]).status == 200)
            let stale = try await api.send(.patch, path, #"{"title":"u"}"#, as: admin, headers: ["If-Match": "\"1\""])
            #expect(try stale.code == "version_mismatch" && stale.json["current_version"] == 2)
            #expect(try await api.send(.delete, path, as: admin, headers: ["If-Match": "\"1\""]).status == 412)
            #expect(try await api.send(.delete, path, as: admin, headers: ["If-Match": "\"2\""]).status == 204)
            for (method, body) in [(Core.Method.get, nil), (.patch, #"{"title":"t"}"#), (.delete, nil)] {
                let gone = try await api.send(method, path, body, as: admin)
                let never = try await api.send(method, "\(place)/never", body, as: admin)
                #expect(gone.status == 404 && gone.body == never.body)
            }
        }
    }

    @Test func whatNoRecordCanHaveIsOfNone() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            for segment in ["%20", "%FF", "%00", "a%0Ab", String(repeating: "x", count: 256)] {
                for (method, body) in [(Core.Method.get, nil), (.patch, "{}"), (.delete, nil)] {
                    #expect(try await api.send(method, "\(place)/\(segment)", body, as: admin).status == 404, "\(segment)")
                }
                let refused = try await api.send(.put, "\(place)/\(segment)", #"{"last_name":"A"}"#, as: admin)
                #expect(refused.status == 422)
                #expect(try refused.faults.first?.hasPrefix("/external_id ") == true, "\(refused.text)")
            }
        }
    }

    @Test func aForeignOrUnseenRecordIsNotThere() async throws {
        try await ResourceAPI.leads { api async throws in
            let (admin, sales, stranger) = (api.member(), api.member(.sales), api.member(tenant: TenantID()))
            let lead = try await api.create(#"{"last_name":"A","external_id":"x"}"#, as: admin)
            for caller in [sales, stranger] {
                #expect(try await api.send(.get, "\(place)/x", as: caller).status == 404)
                #expect(try await api.send(.patch, "\(place)/x", #"{"title":"t"}"#, as: caller).status == 404)
                // None that is to be seen, none that is to be changed.
                let refused = try await api.send(.put, "\(place)/x", #"{"title":"t"}"#, as: caller, headers: ["If-Match": "*"])
                #expect(refused.status == 412)
                #expect(try refused.json["current_version"] == nil)
                #expect(try await api.send(.put, "\(place)/x", #"{"title":"t"}"#, as: caller).faults == ["/last_name required"])
            }
            for headers in [[:], ["If-None-Match": "*"]] {
                let taken = try await api.send(.put, "\(place)/x", #"{"last_name":"B"}"#, as: sales, headers: headers)
                #expect(try taken.code == "already_exists")
                #expect(try taken.json["id"] == nil && taken.json["restorable"] == nil)
            }
            let created = try await api.send(.post, "/v1/leads", #"{"last_name":"B","external_id":"x"}"#, as: sales)
            #expect(try created.code == "already_exists" && created.json["id"] == nil)
            #expect(try await api.send(.put, "\(place)/x", #"{"last_name":"B"}"#, as: stranger).status == 201)
            #expect(try await api.send(.get, "/v1/leads/\(lead.id)", as: admin).json == lead)
        }
    }

    // MARK: Upserts

    @Test func anUpsertMakesOnceAndChangesThen() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let made = try await api.send(
                .put, "\(place)/x", #"{"last_name":"A","external_id":"x","address":{"city":"Bonn"},"custom":{"a":1}}"#, as: admin)
            #expect(made.status == 201, "\(made.text)")
            #expect(try made.json["status"] == "new" && made.json["owner_id"]?.string == admin.user.description)
            // The defaults are those of a new record only.
            _ = try await api.send(.patch, "\(place)/x", #"{"status":"contacted","owner_id":null}"#, as: admin)
            let changed = try await api.send(
                .put, "\(place)/x", #"{"title":"t","address":{"city":null,"region":"NRW"},"custom":{"b":2}}"#, as: admin)
            #expect(changed.status == 200, "\(changed.text)")
            #expect(changed.header("location") == nil && changed.header("etag") == "\"3\"")
            let lead = try changed.json
            #expect(try lead.id == made.json.id && lead["status"] == "contacted" && lead["owner_id"] == .null)
            #expect(lead["address"] == ["region": "NRW"] && lead["custom"] == ["a": 1, "b": 2] && lead["last_name"] == "A")
            // What it has already is no change.
            for body in [#"{"title":"t","last_name":"A"}"#, #"{"external_id":"x"}"#, "{}", #"{"title":"t","custom":{"b":2}}"#] {
                let same = try await api.send(.put, "\(place)/x", body, as: admin)
                #expect(same.status == 200 && same.body == changed.body, "\(same.text)")
            }
            #expect(try await api.events() == ["lead.created", "lead.updated", "lead.updated"])
        }
    }

    /// The same body changes a record that is there, and cannot make one.
    @Test func aBodyThatIsNotWholeOnlyChanges() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let missing = try await api.send(.put, "\(place)/x", #"{"title":"t"}"#, as: admin)
            #expect(missing.status == 422)
            #expect(try missing.faults == ["/last_name required"])
            _ = try await api.create(#"{"last_name":"A","external_id":"x"}"#, as: admin)
            #expect(try await api.send(.put, "\(place)/x", #"{"title":"t"}"#, as: admin).status == 200)
            let faults = try await api.send(.put, "\(place)/x", #"{"title":5,"external_id":"y","last_name":null}"#, as: admin)
            #expect(try faults.faults == ["/external_id not_allowed", "/last_name required", "/title invalid_type"])
            #expect(try await api.send(.put, "\(place)/x", #"{"external_id":null}"#, as: admin).faults == ["/external_id invalid_type"])
            #expect(try await api.send(.put, "\(place)/x", #"{"titel":"t"}"#, as: admin).code == "unknown_member")
            #expect(try await api.send(.put, "\(place)/x?fields=id", "{}", as: admin).code == "unknown_parameter")
            #expect(try await api.send(.put, "\(place)/x", nil, as: admin).status == 415)
        }
    }

    @Test func conditionsSayWhetherItMakesOrChanges() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            func put(_ body: String, _ headers: [String: String]) async throws -> Reply {
                try await api.send(.put, "\(place)/x", body, as: admin, headers: headers)
            }
            let whole = #"{"last_name":"A"}"#
            for header in ["*", "\"1\""] {
                let absent = try await put(whole, ["If-Match": header])
                #expect(try absent.status == 412 && absent.code == "version_mismatch" && absent.json["current_version"] == nil)
            }
            #expect(try await put(#"{"title":"t"}"#, ["If-None-Match": "*"]).faults == ["/last_name required"])
            #expect(try await put(whole, ["If-None-Match": "*"]).status == 201)
            let there = try await put(whole, ["If-None-Match": "*"])
            #expect(try there.status == 412 && there.json["current_version"] == 1)
            #expect(try await put(#"{"title":"t"}"#, ["If-Match": "*"]).header("etag") == "\"2\"")
            for body in [#"{"title":"u"}"#, #"{"title":"t"}"#, "{}"] {
                let stale = try await put(body, ["If-Match": "\"1\""])
                #expect(try stale.status == 412 && stale.json["current_version"] == 2)
            }
            #expect(try await put(#"{"title":"u"}"#, ["If-Match": "\"2\""]).header("etag") == "\"3\"")
            for headers in [["If-None-Match": "\"1\""], ["If-None-Match": "*", "If-Match": "*"], ["If-Match": "1"]] {
                #expect(try await put(whole, headers).code == "invalid_parameter")
            }
            #expect(try await api.events() == ["lead.created", "lead.updated", "lead.updated"])
        }
    }

    /// Each case needs the permission of what it does, and only that.
    @Test func makingAndChangingNeedTheirOwnPermissions() async throws {
        try await ResourceAPI.leads { api async throws in
            let (making, changing) = (allowed([.read, .create], api), allowed([.read, .update], api))
            let whole = #"{"last_name":"A"}"#
            func put(_ id: String, _ body: String, _ context: RequestContext, _ headers: [String: String] = [:]) async throws -> Reply {
                try await api.send(.put, "\(place)/\(id)", body, as: context, headers: headers)
            }
            let refusedMaking = try await put("x", whole, changing)
            #expect(try refusedMaking.code == "forbidden" && refusedMaking.json["detail"]?.string?.contains("leads.create") == true)
            #expect(try await put("x", whole, changing, ["If-Match": "*"]).status == 412)
            #expect(try await put("x", whole, changing, ["If-None-Match": "*"]).code == "forbidden")
            #expect(try await put("x", whole, making).status == 201)
            let refusedChange = try await put("x", #"{"last_name":"B"}"#, making)
            #expect(try refusedChange.code == "forbidden" && refusedChange.json["detail"]?.string?.contains("leads.update") == true)
            #expect(try await put("x", whole, making, ["If-Match": "*"]).code == "forbidden")
            #expect(try await put("x", whole, making, ["If-None-Match": "*"]).status == 412)
            #expect(try await put("x", #"{"last_name":"B"}"#, changing).status == 200)
            for (actions, scope) in [([PermissionAction.read], RowScope.all), ([.create, .update], .all), ([.read, .create], .none)] {
                #expect(try await put("y", whole, allowed(actions, api, scope)).code == "forbidden")
            }
            #expect(try await api.events() == ["lead.created", "lead.updated"])
        }
    }

    @Test func aRepeatedUpsertIsAnsweredAsBefore() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            func put(_ key: String, _ body: String, _ headers: [String: String] = [:]) async throws -> Reply {
                try await api.send(
                    .put, "\(place)/x", body, as: admin, headers: ["Idempotency-Key": key].merging(headers) { $1 })
            }
            for (key, body, headers, status) in [
                ("a", #"{"last_name":"A"}"#, [:], 201), ("b", #"{"title":"t"}"#, ["If-Match": "\"1\""], 200),
                ("c", #"{"title":"t"}"#, [:], 200), ("d", "{}", ["If-Match": "*"], 200),
            ] {
                let first = try await put(key, body, headers)
                let again = try await put(key, body, headers)
                #expect(first.status == status && again.status == status, "\(first.text)")
                #expect(first.header("idempotent-replayed") == nil && again.header("idempotent-replayed") == "true")
                #expect(again.body == first.body && again.header("etag") == first.header("etag"))
                #expect(again.header("location") == first.header("location"))
            }
            #expect(try await put("a", #"{"last_name":"B"}"#).code == "idempotency_key_reused")
            #expect(try await api.events() == ["lead.created", "lead.updated"])
        }
    }

    /// Goal: one record, however many come at once, and each is told what it did.
    @Test(arguments: [true, false])
    func upsertsOfOneExternalIDAtOnceMakeOneRecord(withKeys: Bool) async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        try await api.send(
                            .put, "\(place)/x", #"{"last_name":"A","title":"\#(number)"}"#, as: admin,
                            headers: withKeys ? ["Idempotency-Key": "\(number)"] : [:])
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(replies.filter { $0.status == 201 }.count == 1)
            #expect(replies.filter { $0.status == 200 }.count == 49, "\(replies.map(\.status))")
            #expect(Set(try replies.map { try $0.json.id }).count == 1)
            #expect(try replies.compactMap { try $0.json["version"]?.integer }.sorted() == Array(1...50))
            #expect(Set(try replies.map { try $0.json["title"]?.string }).count == 50)
            #expect(try await api.events() == ["lead.created"] + Array(repeating: "lead.updated", count: 49))
        }
    }

    /// Creations and upserts of one external id, together: whoever creates second is told of the first.
    @Test func creationsAndUpsertsAtOnceMakeOneRecord() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let replies = try await withThrowingTaskGroup(of: (isUpsert: Bool, Reply).self) { group in
                for number in 0..<40 {
                    group.addTask {
                        number % 2 == 0
                            ? (true, try await api.send(.put, "\(place)/x", #"{"last_name":"L\#(number)"}"#, as: admin))
                            : (false, try await api.send(.post, "/v1/leads", #"{"last_name":"L\#(number)","external_id":"x"}"#, as: admin))
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(replies.filter { $0.1.status == 201 }.count == 1)
            for (isUpsert, reply) in replies where reply.status != 201 { #expect(reply.status == (isUpsert ? 200 : 409), "\(reply.text)") }
            #expect(Set(try replies.map { try $0.1.json.id }).count == 1)
        }
    }

    @Test func anUpsertThatChangesTakesNoPlaceOfThePlan() async throws {
        try await ResourceAPI.leads { api async throws in
            let free = api.member(limits: ["leads": 1])
            #expect(try await api.send(.put, "\(place)/x", #"{"last_name":"A"}"#, as: free).status == 201)
            #expect(try await api.send(.put, "\(place)/x", #"{"last_name":"B"}"#, as: free).status == 200)
            #expect(try await api.send(.put, "\(place)/y", #"{"last_name":"C"}"#, as: free).code == "plan_limit_reached")
            #expect(try await api.send(.delete, "\(place)/x", as: free).status == 204)
            #expect(try await api.send(.put, "\(place)/y", #"{"last_name":"C"}"#, as: free).status == 201)
        }
    }

    @Test func anUpsertThatChangesTakesNoNumber() async throws {
        try await ResourceAPI.tickets { api async throws in
            let admin = api.member()
            for (id, number, status) in [("x", 1, 201), ("x", 1, 200), ("x", 1, 200), ("y", 2, 201)] {
                let reply = try await api.send(
                    .put, "/v1/tickets/by-external-id/\(id)", #"{"subject":"\#(RecordID())"}"#, as: admin)
                #expect(try reply.status == status && reply.json["number"] == .number(number), "\(reply.text)")
            }
            // Whoever may only create, and reads what is there.
            let sales = api.member(.sales)
            #expect(try await api.send(.put, "/v1/tickets/by-external-id/x", #"{"subject":"S"}"#, as: sales).code == "forbidden")
            #expect(try await api.send(.put, "/v1/tickets/by-external-id/z", #"{"subject":"S"}"#, as: sales).json["number"] == 3)
        }
    }

    @Test func anUpsertsReferencesAreConfirmed() async throws {
        try await ResourceAPI.leads { api async throws in
            let admin = api.member()
            let refused = try await api.send(.put, "\(place)/x", #"{"last_name":"A","owner_id":"\#(UserID())"}"#, as: admin)
            #expect(try refused.code == "reference_not_found" && refused.faults == ["/owner_id reference_not_found"])
            let made = try await api.send(.put, "\(place)/x", #"{"last_name":"A","owner_id":"\#(api.colleague)"}"#, as: admin)
            #expect(made.status == 201)
        }
    }

    /// What references hold a write to they hold it to by any key, and also each half of an upsert.
    @Test func referencesHoldByExternalIDsToo() async throws {
        try await Fleet.run { api async throws in
            let admin = api.member()
            let (fleetPath, shipPath) = ("/v1/fleets/by-external-id/f", "/v1/ships/by-external-id/s")
            let fleet = try await api.send(.put, fleetPath, #"{"name":"F"}"#, as: admin).json
            func put(_ fleet: String) async throws -> Reply {
                try await api.send(.put, shipPath, #"{"name":"S","fleet_id":"\#(fleet)"}"#, as: admin)
            }
            let never = RecordID().description
            #expect(try await put(never).faults == ["/fleet_id reference_not_found"])
            #expect(try await put(fleet.id).status == 201)
            #expect(try await put(never).faults == ["/fleet_id reference_not_found"])
            for isAtomic in [true, false] {
                for id in ["s", "t"] {
                    let batch = try await api.send(
                        .post, "/v1/ships/batch",
                        #"{"atomic":\#(isAtomic),"operations":[{"op":"upsert","external_id":"\#(id)","body":{"name":"S","fleet_id":"\#(never)"}}]}"#,
                        as: admin)
                    let problem = isAtomic ? try batch.json : try batch.json["results"]?[0]?["body"]
                    #expect(problem?["errors"]?[0]?["pointer"] == "/operations/0/body/fleet_id", "\(batch.text)")
                }
            }
            let refused = try await api.send(.delete, fleetPath, as: admin)
            #expect(try refused.code == "conflict" && refused.json["referring"]?[0]?["count"] == 1, "\(refused.text)")
            let lent = try await api.send(.put, shipPath, #"{"fleet_id":null,"lent_to_id":"\#(fleet.id)"}"#, as: admin)
            #expect(lent.status == 200, "\(lent.text)")
            #expect(try await api.send(.delete, fleetPath, as: admin).status == 204)
            #expect(try await api.send(.get, shipPath, as: admin).json["lent_to_id"] == .null)
        }
    }
}
