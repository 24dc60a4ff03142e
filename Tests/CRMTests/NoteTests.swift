import CRM
import Core
import Operations
import Postgres
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
                .post, "/v1/notes", ["body": "x", "related": ["type": "product", "id": .string(RecordID().description)]], as: member,
                expecting: 422)
            #expect(other.json["errors"]?[0]?["pointer"] == "/related/type")
        }
    }

    @Test func aNoteMentionsMembersAndIsFoundByThem() async throws {
        try await TaskTests.run { bench in
            let (anna, ben) = (UserID(), UserID())
            for member in [anna, ben] {
                try await bench.database.query(
                    in: .crm,
                    [
                        """
                        insert into member_copy (tenant_id, user_id, email, name, role, status, version)
                        values (\(bench.context.tenant), \(member), 'a@kestrel.example', 'A', 'sales', 'active', 1)
                        """
                    ])
            }
            func ids(_ members: UserID...) -> JSON { .array(members.map { .string($0.description) }) }
            func found(_ query: String) async throws -> [JSON] {
                try await bench.service.send(.get, "/v1/notes?\(query)", as: bench.member, expecting: 200).json["data"]?.array?.compactMap {
                    $0["body"]
                } ?? []
            }
            let note = try await bench.service.send(
                .post, "/v1/notes", ["body": "@Anna, call them", "mention_ids": ids(anna, bench.context.user, anna)], as: bench.member,
                expecting: 201
            ).json
            #expect(note["mention_ids"] == ids(anna, bench.context.user), "\(note)")
            try await bench.service.send(.post, "/v1/notes", ["body": "Nobody"], as: bench.member, expecting: 201)
            #expect(try await found("mention=\(anna)") == ["@Anna, call them"])
            #expect(try await found("mention=\(anna),\(ben)&q=call").count == 1)
            #expect(try await found("mention=\(ben)").isEmpty)
            let path = "/v1/notes/\(note["id"]?.string ?? "")"
            let changed = try await bench.service.send(.patch, path, ["mention_ids": ids(ben)], as: bench.member, expecting: 200).json
            #expect(changed["mention_ids"] == ids(ben) && changed["version"] == 2)
            #expect(try await found("mention=\(anna)").isEmpty)
            #expect(try await found("mention=\(ben)").count == 1)
            #expect(
                try await bench.service.send(.patch, path, ["mention_ids": nil], as: bench.member, expecting: 200).json["mention_ids"] == []
            )
            let refused = try await bench.service.send(.patch, path, ["mention_ids": ["x"]], as: bench.member, expecting: 422)
            #expect(refused.json["errors"]?[0]?["pointer"] == "/mention_ids/0")
            let many = JSON.array((0..<51).map { _ in .string(bench.context.user.description) })
            try await bench.service.send(.patch, path, ["mention_ids": many], as: bench.member, expecting: 422)
            try await bench.service.send(.get, "/v1/notes?mention=x", as: bench.member, expecting: 400)
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
