import CRM
import Core
import Foundation
import Operations
import Postgres
import Resources
import ServiceRuntime
import TestSupport
import Testing

/// What a new resource takes: one declaration, one migration, one element where the service is put together.
@Suite struct SubscriptionTests {
    private static let folder = "\(ResourceAPI.root)/Tests/ResourcesTests/Subscription"

    @Test func aNewResourceIsShort() throws {
        let text = try String(contentsOfFile: "\(Self.folder)/Subscription.swift", encoding: .utf8)
        #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count < 30)
    }

    /// The CRM service as it would be with the resource: its migrations and one more, its resources and one more.
    private static func run(_ body: @escaping @Sendable (RunningService, TestDatabase) async throws -> Void) async throws {
        let files = FileManager.default
        let migrations = files.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)")
        defer { try? files.removeItem(at: migrations) }
        try files.copyItem(at: CRM.definition.migrations, to: migrations)
        let count = try files.contentsOfDirectory(atPath: migrations.path).count { $0.hasSuffix(".sql") }
        let number = String(repeating: "0", count: 4 - "\(count + 1)".count) + "\(count + 1)"
        try files.copyItem(
            at: URL(fileURLWithPath: "\(folder)/0001_create_subscription.sql"),
            to: migrations.appendingPathComponent("\(number)_create_subscription.sql"))
        let service = ServiceDefinition(name: .crm, migrations: migrations) { dependencies in
            ServiceParts(
                try dependencies.resources(
                    Lead.definition, Account.definition, Contact.definition, Deal.definition, Pipeline.definition, Subscription.definition))
        }
        try await TestDatabase.run([service]) { database in
            try await RunningService.run(service, on: database) { try await body($0, database) }
        }
    }

    private static func member(_ role: BuiltInRole, tenant: TenantID) -> Caller {
        .member(
            RequestContext(
                tenant: tenant, user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes, plan: "pro",
                edge: .test()))
    }

    @Test func itLivesThroughTheAPIAsAnyOther() async throws {
        try await Self.run { service, database in
            let tenant = TenantID()
            let (manager, viewer, stranger) = (
                Self.member(.manager, tenant: tenant), Self.member(.readOnly, tenant: tenant), Self.member(.manager, tenant: TenantID())
            )
            let path = "/v1/subscriptions"
            func id(_ answer: APIAnswer) -> String { answer.json["id"]?.string ?? "" }
            let account = id(try await service.send(.post, "/v1/accounts", ["name": "Kestrel Freight"], as: manager, expecting: 201))
            let contact = id(try await service.send(.post, "/v1/contacts", ["last_name": "Okafor"], as: manager, expecting: 201))
            func body(_ more: [String: JSON] = [:]) -> JSON {
                let members =
                    ["contract": "K-1", "account_id": .string(account), "contact_id": .string(contact), "price_minor": 500]
                    .merging(more) { $1 } as [String: JSON]
                return .object(members.reduce(into: JSONObject()) { $0[$1.key] = $1.value })
            }

            // Made, once.
            let key = [("Idempotency-Key", "k")]
            let made = try await service.send(.post, path, body(), as: manager, headers: key, expecting: 201)
            #expect(made.json["status"] == "trial" && made.json["ended_at"] == .null && made.json["version"] == 1)
            let again = try await service.send(.post, path, body(), as: manager, headers: key, expecting: 201)
            #expect(again.json == made.json)
            let taken = try await service.send(.post, path, body(), as: manager, expecting: 409)
            #expect(taken.code == "already_exists" && taken.json["id"]?.string == id(made))
            for (more, code) in [
                (["account_id": .string(RecordID().description)] as [String: JSON], "reference_not_found"),
                (["contact_id": .string(account)], "reference_not_found"), (["status": "paused"], "validation_failed"),
                (["ended_at": "2026-01-31T09:30:00.000Z"], "validation_failed"),
            ] {
                let answer = try await service.send(
                    .post, path, body(more.merging(["contract": "K-2"]) { $1 }), as: manager, expecting: 422)
                #expect(answer.code == code, "\(answer.text)")
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/\(more.keys.first ?? "")")
            }

            // Read and found.
            let one = "\(path)/\(id(made))"
            try await service.send(.get, one, as: viewer, expecting: 200)
            try await service.send(.get, one, as: stranger, expecting: 404)
            try await service.send(.patch, one, ["price_minor": 600], as: viewer, expecting: 403)
            try await service.send(.patch, one, ["price_minor": 600], as: stranger, expecting: 404)
            let list = try await service.send(
                .get, "\(path)?status=trial&account_id=\(account)&ended_at%5Bnull%5D=true&expand=account,contact&sort=price_minor",
                as: viewer, expecting: 200)
            #expect(list.json["data"]?[0]?["account"]?["name"] == "Kestrel Freight")
            #expect(list.json["data"]?[0]?["contact"]?["last_name"] == "Okafor")

            // Changed as its states and rules allow.
            let wrong = try await service.send(.patch, one, ["status": "paused"], as: manager, expecting: 409)
            #expect(wrong.json["allowed"] == ["active", "ended"])
            try await service.send(.patch, one, ["status": "active"], as: manager, headers: [("If-Match", "\"1\"")], expecting: 200)
            try await service.send(.patch, one, ["price_minor": 600], as: manager, headers: [("If-Match", "\"1\"")], expecting: 412)
            let lowered = try await service.send(.patch, one, ["price_minor": 400], as: manager, expecting: 422)
            #expect(lowered.json["errors"]?[0]?["pointer"] == "/price_minor", "\(lowered.text)")
            #expect(lowered.json["errors"]?[0]?["detail"] == "It is lowered only while the subscription is paused.")
            let silent = try await service.send(.patch, one, ["status": "ended"], as: manager, expecting: 422)
            #expect(
                silent.json["errors"]?[0] == ["pointer": "/reason", "code": "required", "detail": "What has ended says why."],
                "\(silent.text)")
            let ended = try await service.send(.patch, one, ["status": "ended", "reason": "Moved"], as: manager, expecting: 200)
            #expect(ended.json["version"] == 3 && ended.json["ended_at"] == ended.json["updated_at"])
            try await service.send(.patch, one, ["reason": "Price"], as: manager, expecting: 409)
            let put = try await service.send(
                .put, "\(path)/by-external-id/x", body(["contract": "K-3", "status": "active"]), as: manager, expecting: 201)
            #expect(put.json["ended_at"] == .null)

            // What it refers to, and back.
            try await service.send(.delete, "/v1/accounts/\(account)", as: manager, expecting: 409)
            try await service.send(.delete, "/v1/contacts/\(contact)", as: manager, expecting: 204)
            #expect(try await service.send(.get, one, as: manager, expecting: 200).json["contact_id"] == .null)
            try await service.send(.delete, one, as: manager, expecting: 204)
            let restored = try await service.send(.post, "\(one)/restore", as: manager, expecting: 200)
            #expect(restored.json["ended_at"] == ended.json["ended_at"])

            // In the trail the instant stands in the entry of the change that it came with.
            let events = try await database.query(
                in: .crm,
                [
                    """
                    select type, payload -> 'after' -> 'ended_at' is not null and payload -> 'after' ? 'status' from outbox \
                    where aggregateid = \(id(made)) order by id
                    """
                ])[0]
            let kinds = try events.map { try $0.decode(0, as: String.self) }
            #expect(
                kinds == [
                    "subscription.created", "subscription.updated", "subscription.updated", "subscription.updated", "subscription.deleted",
                    "subscription.restored",
                ])
            #expect(try events[2].decode(1, as: Bool.self))
        }
    }

    /// A contact is not deleted when a subscription would lose what it must have: it is told as what refers to it, like one that is referred to.
    @Test func aDeletionBreaksNoRuleOfWhatRefersToTheRecord() async throws {
        let kept = "An active subscription has a contact."
        let definition = ResourceDefinition(
            "subscriptions", singular: "subscription", permissions: .deals, owner: "owner_id", rules: ["contact_id_kept": kept],
            fields: Subscription.definition.fields)
        try await ResourceAPI.run(Contact.definition, definition, Account.definition, migrations: Self.folder) { api in
            try await api.database.asOwner([
                "alter table subscription add constraint subscription_contact_id_kept check (status <> 'active' or contact_id is not null)"
            ])
            let admin = api.member()
            let account = try await api.create(#"{"name":"Kestrel Freight"}"#, at: "/v1/accounts", as: admin).id
            let contact = try await api.create(#"{"last_name":"Okafor"}"#, as: admin).id
            let path = "/v1/subscriptions"
            func body(_ contract: String) -> String {
                #"{"contract":"\#(contract)","account_id":"\#(account)","contact_id":"\#(contact)"}"#
            }
            let one = try await api.create(body("K-1"), at: path, as: admin).id
            _ = try await api.create(body("K-2"), at: path, as: admin)
            #expect(try await api.send(.patch, "\(path)/\(one)", #"{"status":"active"}"#, as: admin).status == 200)
            let silent = try await api.send(.patch, "\(path)/\(one)", #"{"contact_id":null}"#, as: admin)
            #expect(
                try silent.status == 422 && silent.faults == ["/contact_id not_allowed"] && silent.text.contains(kept), "\(silent.text)")

            let delete = #"{"operations":[{"op":"delete","id":"\#(contact)"}],"atomic":"#
            for headers in [[:], ["Idempotency-Key": "k"], ["Idempotency-Key": "k"]] {
                let refused = try await api.send(.delete, "/v1/contacts/\(contact)", as: admin, headers: headers)
                #expect(try refused.status == 409 && refused.code == "conflict", "\(refused.text)")
                #expect(try refused.json["detail"]?.string == "One of the subscriptions that refer to it would break a rule: \(kept)")
                #expect(try refused.json["referring"] == [["resource": "subscriptions", "field": "contact_id"]])
            }
            #expect(try await api.send(.post, "/v1/contacts/batch", delete + "true}", as: admin).json["operation"] == 0)
            let results = try await api.send(.post, "/v1/contacts/batch", delete + "false}", as: admin).json["results"]
            #expect(results?[0]?["status"] == 409 && results?[0]?["body"]?["referring"]?[0]?["resource"] == "subscriptions")
            #expect(try await api.send(.get, "/v1/contacts/\(contact)", as: admin).json["version"] == 1)

            // What has ended loses its reference as any other.
            let end = try await api.send(.patch, "\(path)/\(one)", #"{"status":"ended","reason":"Moved"}"#, as: admin)
            #expect(end.status == 200)
            #expect(try await api.send(.delete, "/v1/contacts/\(contact)", as: admin).status == 204)
            #expect(try await api.send(.get, path, as: admin).column("contact_id") == [.null, .null])
        }
    }

    @Test func itsDeclarationIsHeldAgainstItsTable() async throws {
        try await ResourceAPI.run(Subscription.definition, Account.definition, Contact.definition, migrations: Self.folder) { api in
            let others = [Account.definition, Contact.definition]
            #expect(try await SchemaCheck.faults(of: Subscription.definition, beside: others, on: api.postgres) == [])
            try await api.database.asOwner([
                "drop trigger hold_price on subscription", "alter table subscription drop constraint subscription_reason_required",
                "alter domain subscription_status drop constraint subscription_status_check",
                "alter domain subscription_status add constraint subscription_status_check check (value in ('trial', 'active'))",
            ])
            let faults = try await SchemaCheck.faults(of: Subscription.definition, beside: others, on: api.postgres).joined(separator: "\n")
            for part in [
                "rule subscription_price_minor_not_lowered", "rule subscription_reason_required", "subscription_status_check allows",
            ] {
                #expect(faults.contains(part), "\(faults)")
            }
            let document = OpenAPI.document(routes: api.resources.flatMap(\.routes), schemas: api.resources.flatMap(\.schemas))
            let schema = document["components"]?["schemas"]?["Subscription"]?["properties"]
            #expect(schema?["ended_at"]?["readOnly"] == true)
            #expect(schema?["ended_at"]?["description"] == "When status came to be ended; null while it is anything else.")
            #expect(document["paths"]?["/v1/subscriptions"]?["post"]?["description"]?.string?.contains("What has ended says why.") == true)
        }
    }
}
