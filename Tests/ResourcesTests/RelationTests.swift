import CRM
import Core
import Postgres
import Resources
import TestSupport
import Testing

/// References between records: what they may lead to, and what deleting means to those that refer to it.
@Suite struct RelationTests {
    @Test func aDeclarationOfTwoReferencesIsAllThatAResourceTakes() async throws {
        try await Fleet.run { api in
            #expect(try await SchemaCheck.faults(of: Fleet.definition, on: api.postgres) == [])
            #expect(try await SchemaCheck.faults(of: Fleet.ship, beside: [Fleet.definition], on: api.postgres) == [])
            let document = OpenAPI.document(routes: api.resources.flatMap(\.routes), schemas: api.resources.flatMap(\.schemas))
            let removal = try #require(document["paths"]?["/v1/fleets/{id}"]?["delete"])
            #expect(removal["description"]?.string?.contains("refused as long as ships refer to it by fleet_id") == true)
            #expect(removal["responses"]?["409"] != nil)
            let field = document["components"]?["schemas"]?["Ship"]?["properties"]?["lent_to_id"]?["description"]?.string
            #expect(field?.contains("Null once that is deleted") == true)
        }
    }

    @Test func aReferenceToAResourceThatIsNotThereStopsTheStart() throws {
        let fault = #expect(throws: DeclarationFault.self) { try ResourceCatalogue([Contact.definition, Lead.definition]) }
        #expect(fault?.description == "The field account_id of contacts refers to accounts, which is not among the resources.")
        #expect(throws: DeclarationFault.self) { try ResourceCatalogue([Lead.definition, Lead.definition]) }
    }

    /// One that never was, of another tenant, deleted, of another owner, and one whose kind the caller may not read at all.
    @Test func aReferenceLeadsToWhatTheCallerMayRead() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let sales = api.member(.sales)
            let blind = RequestContext(
                tenant: api.tenant, user: admin.user, role: "x",
                permissions: PermissionSet(BuiltInRole.tenantAdmin.permissions.permissions.filter { $0.resource != .accounts }),
                scopes: BuiltInRole.tenantAdmin.scopes, plan: "free", edge: admin.edge)
            let path = "/v1/accounts"
            let own = try await api.create(#"{"name":"Own"}"#, at: path, as: sales).id
            let foreign = try await api.create(#"{"name":"A"}"#, at: path, as: api.member(tenant: TenantID())).id
            let deleted = try await api.create(#"{"name":"A"}"#, at: path, as: sales).id
            #expect(try await api.send(.delete, "\(path)/\(deleted)", as: admin).status == 204)
            let others = try await api.create(#"{"name":"A"}"#, at: path, as: admin).id

            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(own)"}"#, as: sales)
            #expect(contact["account_id"]?.string == own)
            let free = try await api.create(#"{"last_name":"A"}"#, as: sales)
            for (id, caller) in [(RecordID().description, sales), (foreign, sales), (deleted, sales), (others, sales), (own, blind)] {
                let body = #"{"last_name":"A","account_id":"\#(id)"}"#
                for reply in [
                    try await api.send(.post, "/v1/contacts", body, as: caller),
                    try await api.send(.patch, "/v1/contacts/\(free.id)", body, as: caller),
                ] {
                    #expect(reply.status == 422, "\(reply.text)")
                    #expect(try reply.code == "reference_not_found")
                    #expect(try reply.json["detail"] == "There is no such account.")
                    #expect(try reply.faults == ["/account_id reference_not_found"])
                }
            }
            #expect(try await api.send(.get, "/v1/contacts/\(free.id)", as: sales).json["version"] == 1)
            // Another tenant's caller, a stale version and a deleted contact are told before what else is wrong.
            let wrong = #"{"account_id":"\#(foreign)"}"#
            #expect(try await api.send(.patch, "/v1/contacts/\(free.id)", wrong, as: api.member(tenant: TenantID())).status == 404)
            let stale = try await api.send(.patch, "/v1/contacts/\(free.id)", wrong, as: sales, headers: ["If-Match": "\"7\""])
            #expect(stale.status == 412)
            #expect(try await api.send(.get, "\(path)?limit=1", as: blind).status == 403)
            let list = try await api.send(.get, "/v1/contacts?account_id=\(own)", as: sales)
            #expect(try list.column("id") == [.string(contact.id)])
        }
    }

    /// A contact whose account was deleted goes on as it is, also when it is sent back whole.
    @Test func whatIsReferredToAndDeletedStaysAndIsNotLookedAtAgain() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin).id
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account)"}"#, as: admin).id
            #expect(try await api.send(.delete, "/v1/accounts/\(account)", as: admin).status == 204)
            let path = "/v1/contacts/\(contact)"
            #expect(try await api.send(.patch, path, #"{"title":"x"}"#, as: admin).status == 200)
            let same = try await api.send(.patch, path, #"{"title":"y","account_id":"\#(account)"}"#, as: admin)
            #expect(same.status == 200)
            #expect(try same.json["account_id"]?.string == account)
            #expect(try await api.send(.patch, path, #"{"account_id":"\#(account)"}"#, as: admin).json["version"] == 3)
            #expect(try await api.send(.patch, path, #"{"account_id":null}"#, as: admin).status == 200)
            #expect(try await api.send(.patch, path, #"{"account_id":"\#(account)"}"#, as: admin).status == 422)
            #expect(try await api.send(.post, "/v1/accounts/\(account)/restore", as: admin).status == 200)
            #expect(try await api.send(.patch, path, #"{"account_id":"\#(account)"}"#, as: admin).status == 200)
        }
    }

    @Test(arguments: [true, false])
    func aBatchIsHeldToItsReferences(isAtomic: Bool) async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin).id
            let contact = try await api.create(#"{"last_name":"A"}"#, as: admin).id
            let never = RecordID()
            let reply = try await api.send(
                .post, "/v1/contacts/batch",
                #"""
                {"atomic":\#(isAtomic),"operations":[{"op":"create","body":{"last_name":"B","account_id":"\#(account)"}},
                {"op":"update","id":"\#(contact)","body":{"account_id":"\#(account)"}},
                {"op":"create","body":{"last_name":"B","account_id":"\#(never)"}},{"op":"update","id":"\#(contact)","body":{"account_id":"\#(never)"}}]}
                """#, as: admin)
            let contacts = try await api.send(.get, "/v1/contacts", as: admin).column("account_id")
            if isAtomic {
                #expect(reply.status == 422, "\(reply.text)")
                #expect(try reply.code == "reference_not_found")
                #expect(try reply.faults.count == 1 && reply.faults[0].hasSuffix("/body/account_id reference_not_found"))
                #expect(contacts == [.null])
            } else {
                #expect(try reply.json["results"]?.array?.compactMap { $0["status"]?.integer } == [201, 200, 422, 422])
                #expect(try reply.json["results"]?[2]?["body"]?["errors"]?[0]?["pointer"] == "/operations/2/body/account_id")
                #expect(contacts == [.string(account), .string(account)])
            }
        }
    }

    @Test func aRepeatedCreateIsAnsweredThoughItsReferenceIsGone() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin).id
            let body = #"{"last_name":"A","account_id":"\#(account)"}"#
            let first = try await api.send(.post, "/v1/contacts", body, as: admin, headers: ["Idempotency-Key": "k"])
            #expect(first.status == 201)
            #expect(try await api.send(.delete, "/v1/accounts/\(account)", as: admin).status == 204)
            let again = try await api.send(.post, "/v1/contacts", body, as: admin, headers: ["Idempotency-Key": "k"])
            #expect(again.status == 201 && again.body == first.body)
            #expect(again.header("idempotent-replayed") == "true")
        }
    }

    // MARK: Deleting

    @Test(arguments: [nil, "k"])
    func whatIsReferredToIsNotDeletedWhereThatIsRefused(key: String?) async throws {
        try await Fleet.run { api in
            let admin = api.member()
            let headers = key.map { ["Idempotency-Key": $0] } ?? [:]
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let ship = try await api.create(#"{"name":"S","fleet_id":"\#(fleet)"}"#, as: admin).id
            _ = try await api.create(#"{"name":"S","fleet_id":"\#(fleet)"}"#, as: admin)
            let refused = try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin, headers: headers)
            #expect(refused.status == 409, "\(refused.text)")
            #expect(try refused.code == "conflict")
            #expect(try refused.json["detail"] == "It is still referred to: 2 ships by fleet_id.")
            #expect(try refused.json["referring"] == [["resource": "ships", "field": "fleet_id", "count": 2, "others": false]])
            // Of those that he may not read the caller is told that there are some, and neither how many nor which.
            let harbour = RequestContext(
                tenant: api.tenant, user: admin.user, role: "x",
                permissions: PermissionSet(BuiltInRole.tenantAdmin.permissions.permissions.filter { $0.resource != .contacts }),
                scopes: BuiltInRole.tenantAdmin.scopes, plan: "free", edge: admin.edge)
            let told = try await api.send(.delete, "/v1/fleets/\(fleet)", as: harbour)
            #expect(told.status == 409, "\(told.text)")
            #expect(try told.json["detail"] == "It is still referred to: 0 ships by fleet_id and others that you may not see.")
            #expect(try told.json["referring"] == [["resource": "ships", "field": "fleet_id", "count": 0, "others": true]])
            let stale = try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin, headers: ["If-Match": "\"7\""])
            #expect(stale.status == 412)
            let batch = #"{"atomic":true,"operations":[{"op":"delete","id":"\#(fleet)"}]}"#
            #expect(try await api.send(.post, "/v1/fleets/batch", batch, as: admin).code == "conflict")

            for row in try await api.send(.get, "/v1/ships", as: admin).column("id") {
                #expect(try await api.send(.delete, "/v1/ships/\(row.string ?? "")", as: admin).status == 204)
            }
            #expect(try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin, headers: headers).status == 204)
            #expect(try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin).status == 404)
            // Nor does a ship come back without its fleet.
            let restored = try await api.send(.post, "/v1/ships/\(ship)/restore", as: admin)
            #expect(restored.status == 422, "\(restored.text)")
            #expect(try restored.faults == ["/fleet_id reference_not_found"])
            #expect(try await api.send(.post, "/v1/fleets/\(fleet)/restore", as: admin).status == 200)
            #expect(try await api.send(.post, "/v1/ships/\(ship)/restore", as: admin).status == 200)
        }
    }

    @Test(arguments: [nil, "k"])
    func whatRefersLosesItWhereThatIsCleared(key: String?) async throws {
        try await Fleet.run { api in
            let admin = api.member()
            let headers = key.map { ["Idempotency-Key": $0] } ?? [:]
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let ship = try await api.create(#"{"name":"S","lent_to_id":"\#(fleet)"}"#, as: api.member(user: api.colleague)).id
            let gone = try await api.create(#"{"name":"S","lent_to_id":"\#(fleet)"}"#, as: admin).id
            #expect(try await api.send(.delete, "/v1/ships/\(gone)", as: admin).status == 204)
            let stale = try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin, headers: ["If-Match": "\"7\""])
            #expect(stale.status == 412)
            #expect(try await api.send(.get, "/v1/ships/\(ship)", as: admin).json["version"] == 1)
            #expect(try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin, headers: headers).status == 204)
            let cleared = try await api.send(.get, "/v1/ships/\(ship)", as: admin).json
            #expect(cleared["lent_to_id"] == .null && cleared["version"] == 2)
            #expect(cleared["updated_by"]?.string == admin.user.description)
            #expect(try await api.events().suffix(2).sorted() == ["fleet.deleted", "ship.updated"])
            #expect(try await api.send(.post, "/v1/ships/\(gone)/restore", as: admin).json["lent_to_id"] == .null)
        }
    }

    @Test func aDeletionThatWouldChangeTooManyRecordsIsRefused() async throws {
        try await Fleet.run { api in
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            try await api.write([
                """
                insert into ship (tenant_id, id, name, lent_to_id, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'S', \(fleet)::uuid, gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 1001)
                """
            ])
            let refused = try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin)
            #expect(try refused.code == "conflict")
            #expect(try refused.json["referring"]?[0]?["count"] == 1001)
        }
    }

    /// Goal: a record and the deletion of what it refers to, at the same moment: one of them is refused, or the reference is cleared.
    /// Method: 40 fleets, each deleted while a ship joins it and one is lent to it; then no live ship has a deleted fleet.
    @Test func aDeletionAndANewReferenceAtTheSameMomentAgree() async throws {
        try await Fleet.run { api in
            let admin = api.member()
            try await api.deleteFleets(40, whileMaking: "/v1/ships", as: admin) { index, fleet in
                #"{"name":"S","\#(index % 2 == 0 ? "fleet_id" : "lent_to_id")":"\#(fleet)"}"#
            }
            let lost = try await api.postgres.batch(
                as: admin,
                [
                    """
                    select count(*) from ship join fleet on fleet.id in (ship.fleet_id, ship.lent_to_id) \
                    where ship.deleted_at is null and fleet.deleted_at is not null
                    """
                ])[0][0].decode(0, as: Int.self)
            #expect(lost == 0)
        }
    }

    /// The deletion waits for a transaction that has referred to its record and is not over.
    @Test func aDeletionSeesWhatWasCommittedWhileItWaited() async throws {
        try await Fleet.run { api in
            let admin = api.member()
            let fleet = try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id
            let deletion = try await api.postgres.transaction(as: admin) { transaction in
                try await transaction.batch([
                    "select from fleet where id = \(fleet) for share",
                    """
                    insert into ship (tenant_id, id, name, fleet_id, created_by, updated_by) \
                    values (\(api.tenant), \(RecordID()), 'S', \(fleet), \(admin.user), \(admin.user))
                    """,
                ])
                let deletion = Task { try await api.send(.delete, "/v1/fleets/\(fleet)", as: admin) }
                try await eventually("the deletion waits") { try await api.isWaitingForALock() }
                return deletion
            }
            let refused = try await deletion.value
            #expect(refused.status == 409, "\(refused.text)")
        }
    }
}

extension ResourceAPI {
    /// Whether a request waits for a lock that another has.
    fileprivate func isWaitingForALock() async throws -> Bool {
        let name = "martlet_" + database.schema
        return try await asSuperuser { client in
            try await client.batch(
                as: SystemContext(service: "test"),
                ["select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and usename = \(name)"])[0][0].decode(0)
        }
    }
}
