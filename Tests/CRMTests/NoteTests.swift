import CRM
import Core
import TestSupport
import Testing

/// What is special about notes; what every resource has is tested with the engine.
@Suite struct NoteTests {
    @Test func aNoteIsAboutALeadAContactAnAccountOrADeal() async throws {
        try await AccountTests.run { service, member in
            let body = "# Call\n\n* asked for **40 seats**\n* `budget < 10k`, see <https://kestrel.example/?a=1&b=2>"
            for (path, type, record) in [
                ("/v1/leads", "lead", ["last_name": "Okafor"] as JSON), ("/v1/contacts", "contact", ["last_name": "Okafor"]),
                ("/v1/accounts", "account", ["name": "Kestrel"]), ("/v1/deals", "deal", ["name": "40 seats"]),
            ] {
                let about = try await service.send(.post, path, record, as: member, expecting: 201).json
                let id = about["id"] ?? .null
                let related: JSON = ["type": .string(type), "id": id]
                let note = try await service.send(
                    .post, "/v1/notes", ["body": .string(body), "related": related, "pinned": true], as: member, expecting: 201)
                #expect(note.json["body"]?.string == body)
                #expect(note.json["related"] == related)
                let list = try await service.send(
                    .get, "/v1/notes?related=\(type):\(id.string ?? "")&expand=related&pinned=true&q=seats", as: member, expecting: 200)
                #expect(list.json["data"]?.array?.count == 1)
                #expect(list.json["data"]?[0]?["related_record"] == about)
            }
            let unpinned = try await service.send(.post, "/v1/notes", ["body": "x"], as: member, expecting: 201)
            #expect(unpinned.json["pinned"] == false && unpinned.json["related"] == .null)
            let loose = try await service.send(.get, "/v1/notes?related%5Bnull%5D=true&pinned=false", as: member, expecting: 200)
            #expect(loose.json["data"]?.array?.count == 1)
            let other = try await service.send(
                .post, "/v1/notes", ["body": "x", "related": ["type": "ticket", "id": .string(RecordID().description)]], as: member,
                expecting: 422)
            #expect(other.json["errors"]?[0]?["pointer"] == "/related/type")
        }
    }

    /// Sales reach what they wrote themselves.
    @Test func aNoteIsItsWriters() async throws {
        let tenant = TenantID()
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                let (writer, other) = (AccountTests.member(.sales, tenant: tenant), AccountTests.member(.sales, tenant: tenant))
                let note = try await service.send(.post, "/v1/notes", ["body": "Mine"], as: writer, expecting: 201)
                let path = "/v1/notes/\(note.json["id"]?.string ?? "")"
                try await service.send(.get, path, as: other, expecting: 404)
                try await service.send(.patch, path, ["pinned": true], as: other, expecting: 404)
                #expect(try await service.send(.get, "/v1/notes", as: other, expecting: 200).json["data"]?.array?.isEmpty == true)
                try await service.send(.get, path, as: AccountTests.member(.manager, tenant: tenant), expecting: 200)
                try await service.send(.patch, path, ["pinned": true], as: AccountTests.member(.readOnly, tenant: tenant), expecting: 403)
                try await service.send(.delete, path, as: writer, expecting: 204)
                try await service.send(.get, path, as: AccountTests.member(.readOnly), expecting: 404)
            }
        }
    }
}
