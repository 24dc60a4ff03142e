import Core
import Postgres
import Resources
import TestSupport
import Testing

/// `?expand=owner` and the like: the members who stand in a record, from the service's own copy.
@Suite struct ExpandMemberTests {
    private static let anna: JSON = ["name": "Anna \"Ann\" Kowalska", "email": "anna@kestrel.example", "status": "active"]

    private func shown(_ user: UserID, _ member: JSON = anna) -> JSON {
        var object = JSONObject()
        object["id"] = .string(user.description)
        for part in member.object?.members ?? [] { object[part.name] = part.value }
        return .object(object)
    }

    @Test func theOwnerStandsBesideTheId() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.copy(admin.user, Self.anna)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let colleagues = try await api.create(#"{"last_name":"B","owner_id":"\#(api.colleague)"}"#, as: admin)
            let none = try await api.create(#"{"last_name":"C","owner_id":null}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            let one = try await api.send(.get, "\(path)?expand=owner", as: admin)
            #expect(one.status == 200, "\(one.text)")
            #expect(try one.json["owner"] == shown(admin.user))
            let names = try #require(try one.json.object?.names)
            #expect(names.firstIndex(of: "owner") == names.firstIndex(of: "owner_id").map { $0 + 1 })
            // Who is in no copy yet is not to be seen; what nobody owns has none.
            let list = try await api.send(.get, "/v1/leads?expand=owner&sort=last_name", as: admin)
            #expect(try list.column("owner") == [shown(admin.user), .null, .null])
            #expect(try list.column("owner_id")[1].string == api.colleague.description)
            #expect(try await api.send(.get, "/v1/leads/\(colleagues.id)?expand=owner", as: admin).json["owner"] == .null)
            #expect(try await api.send(.get, "/v1/leads/\(none.id)?expand=owner", as: admin).json["owner"] == .null)

            let all = try await api.send(.get, "\(path)?expand=updated_by,owner,created_by&fields=last_name,created_by", as: admin)
            #expect(try all.json.object?.names == ["last_name", "owner", "created_by", "created_by_member", "updated_by_member"])
            for member in ["owner", "created_by_member", "updated_by_member"] {
                #expect(try all.json[member] == shown(admin.user), "\(member)")
            }
            #expect(try all.json["created_by"]?.string == admin.user.description)
            let found = try await api.send(.get, "/v1/leads?q=a&expand=created_by&fields=id&limit=1", as: admin)
            #expect(try found.json["data"] == [["id": .string(lead.id), "created_by_member": shown(admin.user)]])
        }
    }

    @Test func accountAndOwnerStandBesideEachOther() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            try await api.copy(admin.user, Self.anna)
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin)
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account.id)"}"#, as: admin)
            for target in ["/v1/contacts/\(contact.id)?expand=account,owner", "/v1/contacts?expand=owner,account"] {
                let json = try await api.send(.get, target, as: admin).json
                let record = json["data"]?[0] ?? json
                #expect(record["account"] == account)
                #expect(record["owner"] == shown(admin.user))
            }
        }
    }

    @Test func theAssigneeOfATicketIsShown() async throws {
        try await ResourceAPI.tickets { api in
            let admin = api.member()
            try await api.copy(api.colleague, Self.anna)
            let ticket = try await api.create(#"{"subject":"A","assignee_id":"\#(api.colleague)"}"#, as: admin)
            let shown = try await api.send(.get, "/v1/tickets/\(ticket.id)?expand=assignee", as: admin)
            #expect(try shown.json["assignee"] == self.shown(api.colleague))
        }
    }

    /// Whoever reads a record knows the people in it by name; how to write to them is for those who may read members.
    @Test func theAddressIsForThoseWhoMayReadMembers() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.copy(admin.user, Self.anna)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            var blind = admin
            blind.permissions = PermissionSet([Permission(.leads, .read)])
            let expected: JSON = ["name": Self.anna["name"] ?? .null, "email": .null, "status": "active"]
            for target in ["/v1/leads/\(lead.id)?expand=owner", "/v1/leads?expand=owner"] {
                let reply = try await api.send(.get, target, as: blind)
                let json = try reply.json
                #expect((json["data"]?[0] ?? json)["owner"] == shown(admin.user, expected))
                #expect(!reply.text.contains("kestrel.example"))
            }
        }
    }

    /// Their records stay, and so does whose they are.
    @Test func whoHasLeftIsShownAsThat() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            try await api.copy(admin.user, Self.anna)
            for (change, status) in [
                ("status = 'disabled'", "disabled"), ("is_removed = true", "removed"), ("status = 'active'", "removed"),
            ] {
                try await api.asSystem("update member_copy set \(unescaped: change), version = version + 1 where user_id = \(admin.user)")
                var expected = Self.anna.object ?? JSONObject()
                expected["status"] = .string(status)
                #expect(
                    try await api.send(.get, "/v1/leads/\(lead.id)?expand=owner", as: admin).json["owner"]
                        == shown(admin.user, .object(expected)))
            }
        }
    }

    /// The same person in two organisations is two members.
    @Test func whatAnotherOrganisationKnowsOfSomebodyIsNotShown() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.copy(admin.user, Self.anna, of: TenantID())
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let reply = try await api.send(.get, "/v1/leads/\(lead.id)?expand=owner,created_by,updated_by", as: admin)
            for member in ["owner", "created_by_member", "updated_by_member"] { #expect(try reply.json[member] == .null) }
        }
    }

    @Test func theTagChangesWithTheName() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.copy(admin.user, Self.anna)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let target = "/v1/leads/\(lead.id)?expand=owner"
            let tag = try #require(try await api.send(.get, target, as: admin).header("etag"))
            #expect(try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag]).status == 304)
            try await api.asSystem("update member_copy set name = 'Anna Nowak', version = version + 1 where user_id = \(admin.user)")
            let renamed = try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag])
            #expect(renamed.status == 200)
            #expect(try renamed.json["owner"]?["name"] == "Anna Nowak")
            let path = "/v1/leads/\(lead.id)"
            #expect(try await api.send(.patch, path, #"{"title":"x"}"#, as: admin, headers: ["If-Match": tag]).status == 200)
            #expect(try await api.send(.patch, path, #"{"title":"y"}"#, as: admin, headers: ["If-Match": tag]).status == 412)
        }
    }

    /// What is written is answered as it is, with nothing beside it that the writer might not read.
    @Test func whatIsWrittenIsAnsweredWithoutExpansions() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            for (method, path) in [
                (Core.Method.post, "/v1/leads"), (.patch, "/v1/leads/\(lead.id)"), (.put, "/v1/leads/by-external-id/a"),
                (.post, "/v1/leads/batch"), (.post, "/v1/leads/\(lead.id)/restore"),
            ] {
                let reply = try await api.send(method, "\(path)?expand=owner", #"{"last_name":"B"}"#, as: admin)
                #expect(reply.status == 400, "\(method) \(path)")
                #expect(try reply.code == "unknown_parameter")
            }
        }
    }

    @Test func theDocumentSaysWhatIsShown() async throws {
        try await ResourceAPI.leads { api in
            let document = OpenAPI.document(routes: api.resource.routes, schemas: api.resource.schemas)
            let schemas = document["components"]?["schemas"]
            #expect(
                schemas?["Lead"]?["properties"]?["owner"]?["anyOf"] == [["$ref": "#/components/schemas/MemberSummary"], ["type": "null"]])
            #expect(schemas?["Lead"]?["properties"]?["created_by_member"]?["description"]?.string?.contains("expand=created_by") == true)
            #expect(schemas?["Lead"]?["required"]?.array?.contains("owner") == false)
            let expand = document["paths"]?["/v1/leads"]?["get"]?["parameters"]?.array?.first { $0["name"] == "expand" }
            for name in ["owner", "created_by", "updated_by"] { #expect(expand?["description"]?.string?.contains(name) == true) }
            let published = JSONSchema()
            let admin = api.member()
            try await api.copy(admin.user, Self.anna)
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let owner = try #require(try await api.send(.get, "/v1/leads/\(lead.id)?expand=owner", as: admin).json["owner"])
            #expect(try published.accepts(owner, try #require(schemas?["MemberSummary"])))
        }
    }
}

extension ResourceAPI {
    /// Puts a member into the service's copy, as the log would.
    func copy(_ user: UserID, _ member: JSON, of tenant: TenantID? = nil) async throws {
        let (name, email, status) = (member["name"]?.string ?? "", member["email"]?.string ?? "", member["status"]?.string ?? "")
        try await asSystem(
            """
            insert into member_copy (tenant_id, user_id, email, name, role, status, version)
            values (\(tenant ?? self.tenant), \(user), \(email), \(name), 'sales', \(status), 1)
            """)
    }

    func asSystem(_ statement: SQL) async throws {
        try await TestPostgres.withClient(database.system) { client in
            _ = try await client.batch(as: SystemContext(service: "test"), [statement])
        }
    }
}
