import Core
import Postgres
import Resources
import TestSupport
import Testing

/// References to a record of one of several resources: `related{type,id}`.
@Suite struct RelatedTests {
    func related(_ type: String, _ id: String) -> String { #"{"type":"\#(type)","id":"\#(id)"}"# }
    func entry(_ type: String, _ id: String, as field: String = "related") -> String {
        #"{"body":"E","\#(field)":\#(related(type, id))}"#
    }

    @Test func aRecordOfEitherResourceIsNamedByTypeAndId() async throws {
        try await Logbook.run { api in
            #expect(
                try await SchemaCheck.faults(of: Logbook.definition, beside: [Fleet.ship, Fleet.definition], on: api.postgres) == [])
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let ship = try await api.create(#"{"name":"S"}"#, at: "/v1/ships", as: admin).id
            for (type, id) in [("fleet", fleet), ("ship", ship)] {
                let made = try await api.send(.post, "/v1/entries", entry(type, id), as: admin, headers: ["Idempotency-Key": type])
                #expect(made.status == 201, "\(made.text)")
                #expect(made.text.contains(#""related":{"type":"\#(type)","id":"\#(id)"},"held":null"#), "\(made.text)")
                let path = "/v1/entries/\(try made.json.id)"
                #expect(try await api.send(.get, path, as: admin).body == made.body)
                let again = try await api.send(.post, "/v1/entries", entry(type, id), as: admin, headers: ["Idempotency-Key": type])
                #expect(again.status == 201 && again.body == made.body)
                #expect(again.header("idempotent-replayed") == "true")
                #expect(try await api.send(.get, "\(path)?fields=related", as: admin).text == #"{"related":\#(related(type, id))}"#)
                let list = try await api.send(.get, "/v1/entries?limit=1", as: admin)
                #expect(list.text.hasPrefix(#"{"data":["# + made.text), "\(list.text)")
            }
            let none = try await api.create(#"{"body":"E"}"#, as: admin)
            #expect(none["related"] == .null)
            // The trail has it as the API has, and nothing else of it.
            let payload = try await api.lastPayload()
            #expect(payload["after"]?["related"] == .null && payload["after"]?["related_ship_id"] == nil)
            _ = try await api.send(.patch, "/v1/entries/\(none.id)", #"{"related":\#(related("ship", ship))}"#, as: admin)
            let after = try await api.lastPayload()["after"]?["related"]
            #expect(after?["type"] == "ship" && after?["id"]?.string == ship && after?.object?.names.count == 2)
        }
    }

    /// One that never was, of another tenant, deleted, of the other type, of another owner, and one of a resource that the caller may not read.
    @Test func itLeadsToWhatTheCallerMayRead() async throws {
        try await Logbook.run { api in
            let admin = api.member()
            var sales = api.member(.sales)
            sales.permissions.insert(Permission(.accounts, .delete))
            var blind = admin
            blind.permissions = PermissionSet(admin.permissions.permissions.filter { $0.resource != .accounts })
            let path = "/v1/fleets"
            let own = try await api.create(#"{"name":"F"}"#, at: path, as: sales).id
            let foreign = try await api.create(#"{"name":"F"}"#, at: path, as: api.member(tenant: TenantID())).id
            let deleted = try await api.create(#"{"name":"F"}"#, at: path, as: sales).id
            #expect(try await api.send(.delete, "\(path)/\(deleted)", as: sales).status == 204)
            let others = try await api.create(#"{"name":"F"}"#, at: path, as: admin).id
            let ship = try await api.create(#"{"name":"S"}"#, at: "/v1/ships", as: sales).id

            let free = try await api.create(#"{"body":"E","external_id":"free"}"#, as: sales)
            let adminsFree = try await api.create(#"{"body":"E","external_id":"blind"}"#, as: admin)
            for (id, caller, record) in [
                (RecordID().description, sales, free), (foreign, sales, free), (deleted, sales, free), (ship, sales, free),
                (others, sales, free), (own, blind, adminsFree),
            ] {
                let body = entry("fleet", id)
                let externalID = record["external_id"]?.string ?? ""
                for reply in [
                    try await api.send(.post, "/v1/entries", body, as: caller),
                    try await api.send(.patch, "/v1/entries/\(record.id)", body, as: caller),
                    try await api.send(.put, "/v1/entries/by-external-id/\(externalID)", body, as: caller),
                    try await api.send(.put, "/v1/entries/by-external-id/\(RecordID())", body, as: caller),
                ] {
                    #expect(reply.status == 422, "\(reply.text)")
                    #expect(try reply.code == "reference_not_found")
                    #expect(try reply.json["detail"] == "There is no such fleet.")
                    #expect(try reply.faults == ["/related/id reference_not_found"])
                }
                for isAtomic in [true, false] {
                    let operations = """
                        {"op":"create","body":\(body)},{"op":"update","id":"\(record.id)","body":\(body)},\
                        {"op":"upsert","external_id":"\(externalID)","body":\(body)}
                        """
                    let reply = try await api.send(
                        .post, "/v1/entries/batch", #"{"atomic":\#(isAtomic),"operations":[\#(operations)]}"#, as: caller)
                    if isAtomic {
                        #expect(reply.status == 422, "\(reply.text)")
                        #expect(try reply.faults.first?.hasSuffix("/body/related/id reference_not_found") == true, "\(reply.text)")
                    } else {
                        let results = try reply.json["results"]?.array ?? []
                        #expect(results.map { $0["status"]?.integer } == [422, 422, 422], "\(reply.text)")
                        #expect(results.last?["body"]?["errors"]?[0]?["pointer"] == "/operations/2/body/related/id")
                    }
                }
                #expect(try await api.send(.get, "/v1/entries/\(record.id)", as: caller).json["version"] == 1)
            }
            #expect(try await api.send(.patch, "/v1/entries/\(free.id)", entry("fleet", own), as: sales).status == 200)
            // Another tenant's caller, a stale version and who may not are told before what else is wrong.
            let wrong = entry("fleet", foreign)
            #expect(try await api.send(.patch, "/v1/entries/\(free.id)", wrong, as: api.member(tenant: TenantID())).status == 404)
            #expect(
                try await api.send(.patch, "/v1/entries/\(free.id)", wrong, as: sales, headers: ["If-Match": "\"7\""]).code
                    == "version_mismatch")
            #expect(try await api.send(.patch, "/v1/entries/\(free.id)", wrong, as: api.member(.readOnly)).status == 403)
            #expect(try await api.send(.post, "/v1/entries", wrong, as: api.member(.readOnly)).status == 403)
        }
    }

    @Test(arguments: [
        (#"{"type":"boat","id":"\#(RecordID())"}"#, ["/related/type not_allowed"]),
        (#"{"type":"ships","id":"\#(RecordID())"}"#, ["/related/type not_allowed"]),
        (#"{"type":"ship"}"#, ["/related/id required"]), (#"{"id":"\#(RecordID())"}"#, ["/related/type required"]),
        ("{}", ["/related/id required", "/related/type required"]),
        (#"{"type":null,"id":null}"#, ["/related/id invalid_type", "/related/type invalid_type"]),
        (#"{"type":"ship","id":"x"}"#, ["/related/id invalid_format"]),
        (#"{"type":1,"id":1}"#, ["/related/id invalid_type", "/related/type invalid_type"]),
        (#""ship""#, ["/related invalid_type"]), ("[]", ["/related invalid_type"]),
        (#"{"type":"ship","id":"\#(RecordID())","name":"S"}"#, ["/related/name unknown_member"]),
    ])
    func whatIsNoneIsRefusedByItsMembers(value: String, faults: [String]) async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let made = try await api.create(#"{"body":"E"}"#, as: admin).id
            for reply in [
                try await api.send(.post, "/v1/entries", #"{"body":"E","related":\#(value)}"#, as: admin),
                try await api.send(.patch, "/v1/entries/\(made)", #"{"related":\#(value)}"#, as: admin),
            ] {
                #expect(reply.status == (faults[0].hasSuffix("unknown_member") ? 400 : 422), "\(reply.text)")
                #expect(try reply.faults == faults)
                if value.contains("boat") { #expect(reply.text.contains("Expected one of ship, fleet.")) }
            }
        }
    }

    /// A patch names both members or none, so that an id is never read with the type of another; what stays as it is, is not looked at again.
    @Test func aPatchReplacesItWholeAndLeavesWhatStays() async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let ship = try await api.create(#"{"name":"S"}"#, at: "/v1/ships", as: admin).id
            let path = "/v1/entries/\(try await api.create(entry("fleet", fleet), as: admin).id)"
            let half = try await api.send(.patch, path, #"{"related":{"id":"\#(ship)"}}"#, as: admin)
            #expect(try half.faults == ["/related/type required"])
            #expect(try await api.send(.patch, path, #"{"body":"F"}"#, as: admin).json["related"]?["id"]?.string == fleet)
            #expect(try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin).status == 204)
            let same = #"{"body":"G","related":\#(related("fleet", fleet))}"#
            #expect(try await api.send(.patch, path, same, as: admin).json["version"] == 3)
            #expect(try await api.send(.patch, path, same, as: admin).json["version"] == 3)
            #expect(try await api.send(.patch, path, #"{"related":null}"#, as: admin).json["related"] == .null)
            #expect(try await api.send(.patch, path, same, as: admin).status == 422)
            let moved = try await api.send(.patch, path, #"{"related":\#(related("ship", ship))}"#, as: admin)
            #expect(try moved.json["related"] == JSONParser.parse(Array(related("ship", ship).utf8)))
        }
    }

    // MARK: Lists

    @Test func aListIsFilteredByWhatItsRecordsAreAbout() async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let ship = try await api.create(#"{"name":"S"}"#, at: "/v1/ships", as: admin).id
            let stranger = api.member(tenant: TenantID())
            var ids: [String: [String]] = [:]
            for (type, id) in [("fleet", fleet), ("ship", ship), ("fleet", fleet)] {
                ids[type, default: []].insert(try await api.create(entry(type, id), as: admin).id, at: 0)
            }
            let none = try await api.create(#"{"body":"E"}"#, as: admin).id
            func list(_ query: String, as caller: RequestContext? = nil) async throws -> [String] {
                let reply = try await api.send(.get, "/v1/entries?\(query)", as: caller ?? admin)
                try #require(reply.status == 200, "\(reply.text)")
                return try reply.column("id").compactMap(\.string)
            }
            let (fleets, ships) = (ids["fleet"] ?? [], ids["ship"] ?? [])
            #expect(try await list("related=fleet:\(fleet)") == fleets)
            #expect(try await list("related=ship:\(ship)") == ships)
            // The id of a fleet is no ship's.
            #expect(try await list("related=ship:\(fleet)") == [])
            #expect(try await list("related=ship:\(fleet),fleet:\(ship)") == [])
            #expect(try await list("related=ship:\(ship),fleet:\(fleet)") == [fleets[0], ships[0], fleets[1]])
            #expect(try await list("related[null]=true") == [none])
            #expect(try await list("related[null]=false") == [fleets[0], ships[0], fleets[1]])
            #expect(try await list("related=fleet:\(fleet)&sort=created_at&count=exact&deleted=include") == fleets.reversed())
            #expect(try await list("related=fleet:\(fleet)", as: stranger) == [])
            let first = try await api.send(.get, "/v1/entries?related=fleet:\(fleet)&limit=1", as: admin)
            let next = try #require(try first.next)
            #expect(try await list("related=fleet:\(fleet)&limit=1&after=\(next)") == [fleets[1]])
            for (query, part) in [
                ("related=\(fleet)", "Expected one of ship, fleet."), ("related=flet:\(fleet)", "Did you mean 'fleet'?"),
                ("related=fleet:", "Expected a record such as ship:"), ("related=fleet", "Expected a record such as ship:"),
                ("related=", "Expected one of ship, fleet."), ("related=fleet:\(fleet),,", "Expected one of"),
                ("related[null]=maybe", "true or false"), ("related[not]=fleet:\(fleet)", "It takes related, related[null]."),
                ("related[gt]=1", "It takes related, related[null]."), ("relatd=fleet:\(fleet)", "Did you mean 'related'?"),
                ("sort=related", "Expected one of created_at"), ("held=ship:\(ship)", "no parameter 'held'"),
            ] {
                let reply = try await api.send(.get, "/v1/entries?\(query)", as: admin)
                #expect(reply.status == 400, "\(query)")
                #expect(reply.text.contains(part), "\(query): \(reply.text)")
            }
        }
    }

    @Test func theFilterIsAnsweredByItsIndex() async throws {
        try await Logbook.run { api in
            try await api.write([
                """
                insert into entry (tenant_id, id, external_id, body, related, created_at, updated_at, created_by, updated_by) \
                select case when n % 10 > 0 then \(api.tenant)::uuid else gen_random_uuid() end, gen_random_uuid(), 'other' || n, 'E', \
                    case when n % 50 > 0 then row(case n % 2 when 0 then 'ship' else 'fleet' end, md5((n % 700)::text)::uuid)::record_reference end, \
                    timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', \
                    gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 20000) as n
                """,
                "analyze entry",
            ])
            let late = "2026-01-01T05:30:00Z"
            let values = ["created_at[gt]": late, "created_at[gte]": late, "updated_at[gt]": late, "updated_at[gte]": late]
            let faults = try await SchemaCheck.planFaults(of: Logbook.definition, values: values, on: api.postgres, as: api.member())
            #expect(faults == [], "\(faults.joined(separator: "\n\n"))")
        }
    }

    @Test func whatItIsAboutStandsBesideIt() async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin)
            let ship = try await api.create(#"{"name":"S"}"#, at: "/v1/ships", as: admin)
            let ofShip = try await api.create(
                #"{"body":"A","related":\#(related("ship", ship.id)),"held":\#(related("fleet", fleet.id))}"#, as: admin
            ).id
            let ofFleet = try await api.create(entry("fleet", fleet.id), as: admin).id
            let none = try await api.create(#"{"body":"E"}"#, as: admin).id
            for (id, record) in [(ofShip, ship), (ofFleet, fleet), (none, .null)] {
                let one = try await api.send(.get, "/v1/entries/\(id)?expand=related", as: admin)
                #expect(try one.json["related_record"] == record, "\(one.text)")
                let names = try one.json.object?.names ?? []
                #expect(names.firstIndex(of: "related_record") == names.firstIndex(of: "related").map { $0 + 1 })
            }
            let list = try await api.send(.get, "/v1/entries?expand=related,held&sort=created_at&fields=body", as: admin)
            #expect(try list.json["data"]?[0] == ["body": "A", "related_record": ship, "held_record": fleet], "\(list.text)")
            #expect(try list.json["data"]?[1] == ["body": "E", "related_record": fleet, "held_record": .null])
            #expect(try list.json["data"]?[2] == ["body": "E", "related_record": .null, "held_record": .null])

            // Of another owner, and of a resource that one may not read.
            var own = admin
            own.scopes[.accounts] = .own
            own.user = UserID()
            var blind = admin
            blind.permissions = PermissionSet(admin.permissions.permissions.filter { $0.resource != .accounts })
            for caller in [own, blind] {
                let shown = try await api.send(.get, "/v1/entries?expand=related&sort=created_at", as: caller)
                #expect(try shown.column("related_record") == [ship, .null, .null])
                #expect(try shown.column("related")[1]["id"]?.string == fleet.id)
            }
            let target = "/v1/entries/\(ofFleet)?expand=related"
            let tag = try #require(try await api.send(.get, target, as: admin).header("etag"))
            #expect(try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag]).status == 304)
            _ = try await api.send(.patch, "/v1/fleets/\(fleet.id)", #"{"name":"G"}"#, as: admin)
            #expect(try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag]).json["related_record"]?["name"] == "G")
            _ = try await api.send(.delete, "/v1/entries/\(ofShip)", as: admin)
            #expect(try await api.send(.delete, "/v1/fleets/\(fleet.id)", as: admin).status == 204)
            #expect(try await api.send(.get, target, as: admin).json["related_record"] == .null)
        }
    }

    // MARK: The table

    /// Whoever writes, and by whatever path: a link leads to a record of its tenant and of its type, or it is not there.
    @Test func theTableItselfHasNoLinkToNowhere() async throws {
        try await Logbook.run { api in
            let (admin, stranger) = (api.member(), api.member(tenant: TenantID()))
            let foreign = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: stranger).id
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            for (type, id, state) in [
                ("fleet", foreign, "23503"), ("fleet", RecordID().description, "23503"), ("ship", fleet, "23503"), ("boat", fleet, "23514"),
                ("", fleet, "23514"), ("fleet", "", "23514"), ("", "", "23514"), ("fleet", fleet, nil),
            ] as [(String, String, String?)] {
                do {
                    _ = try await api.postgres.batch(
                        as: admin,
                        [
                            """
                            insert into entry (tenant_id, id, body, related, created_by, updated_by) values \
                            (\(api.tenant), \(RecordID()), 'E', \("(\(type),\(id))")::record_reference, \(admin.user), \(admin.user))
                            """
                        ])
                    #expect(state == nil, "\(type) \(id)")
                } catch let error as PostgresError {
                    #expect(error.sqlState == state, "\(type) \(id): \(error)")
                }
            }
        }
    }

    @Test(arguments: [
        ("alter table entry drop constraint entry_related_ship_fkey", "entry_related_ship_fkey is missing"),
        (
            """
            alter table entry drop constraint entry_related_ship_fkey, add constraint entry_related_ship_fkey
            foreign key (tenant_id, related_ship_id) references fleet (tenant_id, id)
            """, "REFERENCES fleet(tenant_id, id), not"
        ),
        (
            """
            alter table entry drop column related_ship_id, add column related_ship_id uuid, add constraint entry_related_ship_fkey
            foreign key (tenant_id, related_ship_id) references ship (tenant_id, id)
            """, "The column related_ship_id is computed by nothing"
        ),
        ("drop index entry_related", "No index on (tenant_id, ((related).id), created_at, id)"),
        (
            """
            alter domain entry_related drop constraint entry_related_check;
            alter domain entry_related add constraint entry_related_check check ((value).type in ('ship', 'boat'))
            """, "entry_related_check allows"
        ),
    ])
    func whatTheTableLacksIsTold(change: String, fault: String) async throws {
        try await Logbook.run { api in
            try await api.database.asOwner(change.split(separator: ";").map { "\(unescaped: String($0))" })
            let faults = try await SchemaCheck.faults(of: Logbook.definition, beside: [Fleet.ship, Fleet.definition], on: api.postgres)
            #expect(faults.contains { $0.contains(fault) }, "\(faults)")
        }
    }

    @Test func aTypeThatIsNoResourceOfTheServiceStopsTheStart() {
        let fault = #expect(throws: DeclarationFault.self) { try ResourceCatalogue([Logbook.definition, Fleet.definition]) }
        #expect(fault?.description == "The field related of entries refers to ship, which is not among the resources.")
    }

    @Test func theDocumentDescribesIt() async throws {
        try await Logbook.run { api in
            let document = OpenAPI.document(routes: api.resources.flatMap(\.routes), schemas: api.resources.flatMap(\.schemas))
            let schemas = try #require(document["components"]?["schemas"])
            let field = schemas["EntryCreate"]?["properties"]?["related"]
            #expect(field?["type"] == ["object", "null"])
            #expect(field?["required"] == ["type", "id"])
            #expect(field?["properties"]?["type"]?["enum"] == ["ship", "fleet"])
            #expect(field?["description"] == "What it is about. Kept when that is deleted.")
            #expect(field?["examples"]?[0]?["type"] == "ship")
            #expect(
                schemas["Entry"]?["properties"]?["related_record"]?["anyOf"] == [
                    ["$ref": "#/components/schemas/Ship"], ["$ref": "#/components/schemas/Fleet"], ["type": "null"],
                ])
            let parameters = document["paths"]?["/v1/entries"]?["get"]?["parameters"]?.array ?? []
            let filter = parameters.first { $0["name"] == "related" }
            #expect(filter?["description"]?.string?.contains("as in related=ship:01a") == true, "\(filter ?? .null)")
            let removal = document["paths"]?["/v1/ships/{id}"]?["delete"]
            #expect(removal?["description"]?.string?.contains("refused as long as entries refer to it by held") == true)
            #expect(removal?["responses"]?["409"] != nil)
        }
    }
}

extension ResourceAPI {
    /// What the last event of the outbox says.
    fileprivate func lastPayload() async throws -> JSON {
        try await TestPostgres.withClient(database.system) { client in
            let text = try await client.batch(
                as: SystemContext(service: "test"), ["select payload from outbox order by id desc limit 1"])[0][0].decode(
                    0, as: String.self)
            return try JSONParser.parse(Array(text.utf8))
        }
    }
}
