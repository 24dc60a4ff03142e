import CRM
import Core
import Operations
import Postgres
import Resources
import TestSupport
import Testing

/// What a change of a row leaves in the outbox, on the table of leads.
@Suite struct AuditTriggerTests {
    private static let tenant = TenantID()
    private static let id = RecordID()
    private static let user = UserID()

    private static func creation(custom: String = "{}") -> SQL {
        """
        insert into crm.lead (tenant_id, id, last_name, tags, address, custom, created_by, updated_by)
        values (\(tenant), \(id), 'Okafor', '{a,"b \\" c"}', '{"city":"Kiel","street":"Main 1"}', \(custom)::jsonb, \(user), \(user))
        """
    }

    private static func update(_ assignments: String) -> SQL { "update crm.lead set \(unescaped: assignments) where id = \(id)" }

    private struct Entry: Equatable {
        var kind: String
        var payload: JSON
    }

    /// The entries that the statements leave, each statement in a transaction of its own.
    private static func entries(in service: ServiceName? = .crm, _ statements: [SQL]) async throws -> [Entry] {
        try await TestDatabase.run([CRM.definition]) { database in
            for statement in statements { try await database.query(in: service, [statement]) }
            return try await database.query(["select type, payload from crm.outbox order by id"])[0].map {
                Entry(kind: try $0.decode(0), payload: try $0.decode(1))
            }
        }
    }

    @Test func aCreationShowsTheObjectAsTheAPIDoes() async throws {
        let entry = try #require(try await Self.entries([Self.creation(custom: #"{"n":1.50}"#)]).first)
        #expect(entry.kind == "lead.created")
        #expect(entry.payload["before"] == .null)
        let after = try #require(entry.payload["after"]?.object)
        #expect(
            Set(after.names)
                == Set(Lead.definition.fields.map(\.name) + ["id", "version", "created_at", "updated_at", "created_by", "updated_by"]))
        #expect(after["tags"] == ["a", "b \" c"])
        #expect(after["address"]?["city"] == "Kiel")
        #expect(after["custom"]?["n"] == .number("1.50"))
        #expect(after["score"] == .null)
        #expect(after["created_by"] == .string(Self.user.description))
        let created = try #require(after["created_at"]?.string)
        #expect(Timestamp(created)?.description == created)
    }

    @Test func anUpdateShowsTheChangedMembersBeforeAndAfter() async throws {
        let entries = try await Self.entries([
            Self.creation(custom: #"{"kept":1,"gone":2,"other":{"x":1,"y":2}}"#),
            Self.update(#"score = 5, custom = '{"kept":1,"new":3,"other":{"x":1,"y":4}}', address = null, version = version + 1"#),
        ])
        #expect(entries.map(\.kind) == ["lead.created", "lead.updated"])
        // In the order in which jsonb keeps members: by the length of their names.
        #expect(
            entries.last?.payload == [
                "after": ["score": 5, "custom": ["new": 3, "gone": nil, "other": ["y": 4]], "address": nil, "version": 2],
                "before": [
                    "score": nil, "custom": ["new": nil, "gone": 2, "other": ["y": 2]],
                    "address": ["city": "Kiel", "street": "Main 1"], "version": 1,
                ],
            ])
    }

    @Test func whatChangesNothingLeavesNothing() async throws {
        let entries = try await Self.entries([
            Self.creation(), Self.update("last_name = last_name, version = version + 1, updated_at = now() + interval '1 s'"),
        ])
        #expect(entries.map(\.kind) == ["lead.created"])
    }

    @Test func deletingRestoringAndErasingAreActions() async throws {
        let entries = try await Self.entries([
            Self.creation(), Self.update("deleted_at = now(), version = 2"), Self.update("deleted_at = null, version = 3"),
            "delete from crm.lead where id = \(Self.id)",
        ])
        #expect(entries.map(\.kind) == ["lead.created", "lead.deleted", "lead.restored", "lead.erased"])
        #expect(entries[1].payload == ["after": ["version": 2], "before": ["version": 1]])
        #expect(entries[2].payload == ["after": ["version": 3], "before": ["version": 2]])
        #expect(entries[3].payload["after"] == .null)
        #expect(entries[3].payload["before"]?["last_name"] == "Okafor")
    }

    /// A repair by hand, with another schema in front or none.
    @Test func aChangeIsFiledAtHomeWhateverTheSearchPath() async throws {
        #expect(try await Self.entries(in: nil, [Self.creation(), Self.update("score = 1")]).count == 2)
        #expect(try await Self.entries(in: .support, [Self.creation(), Self.update("score = 1")]).count == 2)
    }

    @Test func noRecordedTableCanBeTruncated() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            for table in ["lead", "outbox", "outbox_dead_letter"] {
                await #expect(throws: PostgresError.self, "\(table)") {
                    try await database.query(in: .crm, ["truncate \(unescaped: table)"])
                }
            }
        }
    }

    /// E2: a batch of 200 updates of one member, on a lead with 50 custom texts of 1,000 characters, of which one takes up to four bytes.
    @Test func smallUpdatesOfALargeRecordStaySmall() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await database.query(
                in: .crm,
                [
                    Self.creation(),
                    Self.update(
                        "custom = (select jsonb_object_agg('k' || n, repeat('\u{1F426}', 1000) || n) from generate_series(1, 50) as n)"),
                    "delete from outbox",
                ])
            try await database.query(
                in: .crm, (1...200).map { Self.update("score = \($0 % 100), version = version + 1, updated_at = now()") })
            let row = try await database.query(
                in: .crm,
                [
                    "select count(*), sum(octet_length(payload::text)), (select octet_length(custom::text) from lead) from outbox"
                ])[0][0]
            #expect(try row.decode(0, as: Int.self) == 200)
            #expect(try row.decode(1, as: Int.self) < 100_000)
            #expect(try row.decode(2, as: Int.self) > 200_000)
        }
    }
}
