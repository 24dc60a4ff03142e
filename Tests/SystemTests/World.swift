import Core
import Foundation
import Synchronization
import TestSupport
import Testing

/// Two organisations on one platform, with people of every role in the first, made through the public API.
struct World: Sendable {
    @TaskLocal static var current: World?

    /// The world of the suite that runs.
    static func get() throws -> World { try #require(current) }

    let platform: Platform
    let operatorClient: APIClient
    let acme: Organization
    let globex: Organization
    /// Members of acme by role.
    let people: [String: APIClient]

    static let password = "a long enough password"
    /// Its subdomains name tenants.
    static let domain = "crm.test"

    init(platform: Platform) async throws {
        self.platform = platform
        try await platform.run(
            "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"], input: Self.password + "\n")
        operatorClient = try await Self.signIn("operator@platform.test", platform.api)
        acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        globex = try await Organization(name: "globex", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        var people = ["tenant_admin": acme.admin]
        // One of acme's own: who has it reads his own leads and nothing else.
        try await acme.admin.send(
            .post, "/v1/roles", ["name": "lead_reader", "permissions": ["leads.read"], "scopes": ["leads": "own"]], expecting: 201)
        for role in ["manager", "sales", "support", "read_only", "lead_reader"] {
            people[role] = try await acme.invite("\(role)@acme.test", role: role)
        }
        self.people = people
    }

    static func signIn(_ email: String, _ api: APIClient) async throws -> APIClient {
        let answer = try await api.send(
            .post, "/v1/auth/login", ["email": .string(email), "password": .string(password)], expecting: 200)
        return api.signedIn(answer.json["access_token"]?.string)
    }
}

/// An operation as `/openapi.json` describes it: a new one is in every test that goes through them.
struct DocumentedOperation: CustomStringConvertible {
    let method: Core.Method
    let path: String
    private let document: JSON

    var description: String { "\(method.rawValue) \(path)" }
    var body: JSON? { document["requestBody"]?["content"]?["application/json"]?["example"] }
    var hasBody: Bool { document["requestBody"] != nil }
    /// The names of its parameters.
    var parameters: [String] { document["parameters"]?.array?.compactMap { $0["name"]?.string } ?? [] }
    var queryParameters: [JSON] { document["parameters"]?.array?.filter { $0["in"] == "query" } ?? [] }
    /// The schema of the answer 200.
    var answerSchema: JSON? { document["responses"]?["200"]?["content"]?["application/json"]?["schema"] }
    /// `anybody`, `a member`, or the permission.
    var access: String {
        document["x-permission"]?.string ?? (document["security"]?.array?.isEmpty == true ? "anybody" : "a member")
    }

    /// The record that a path with an id leads to; `nil` for what is no resource of the engine.
    var sample: SampleRecord? { SampleRecord.all.first { path.hasPrefix($0.path + "/") || path == $0.path } }

    /// The path with an id, a name that is one, or that of another system in its place; one that never was, unless given.
    func target(id: String = RecordID().description) -> String { path.replacing(/\{[a-z_]+\}/) { _ in id } }

    static func all(of world: World) async throws -> [DocumentedOperation] {
        let document = try await world.platform.api.send(.get, "/openapi.json", expecting: 200).json
        return try #require(document["paths"]?.object).members.flatMap { path in
            (path.value.object?.members ?? []).compactMap { operation in
                Core.Method(rawValue: operation.name.uppercased()).map { .init(method: $0, path: path.name, document: operation.value) }
            }
        }
    }
}

/// A record of a resource with the least that it needs; a new resource needs one here.
struct SampleRecord {
    let path: String
    private let makeBody: @Sendable () -> JSON
    var body: JSON { makeBody() }
    /// A member of the body that is text.
    let text: String
    /// The member who says whose record it is; `nil` where it is its maker's.
    let owner: String?

    /// - Parameter body: made anew for each record.
    init(path: String, body: @autoclosure @escaping @Sendable () -> JSON, text: String, owner: String?) {
        self.path = path
        makeBody = body
        self.text = text
        self.owner = owner
    }

    private static let days = Atomic(0)
    /// Another day each time.
    private static func day() -> JSON {
        let number = days.add(1, ordering: .relaxed).newValue
        return .string(String(Timestamp(milliseconds: Int64(number) * 86_400_000).description.prefix(10)))
    }

    static let all = [
        SampleRecord(path: "/v1/leads", body: ["last_name": "Sample"], text: "last_name", owner: "owner_id"),
        SampleRecord(path: "/v1/accounts", body: ["name": "Sample"], text: "name", owner: "owner_id"),
        SampleRecord(path: "/v1/contacts", body: ["last_name": "Sample"], text: "last_name", owner: "owner_id"),
        SampleRecord(path: "/v1/pipelines", body: ["name": "Sample"], text: "name", owner: nil),
        SampleRecord(path: "/v1/deals", body: ["name": "Sample"], text: "name", owner: "owner_id"),
        SampleRecord(path: "/v1/notes", body: ["body": "Sample"], text: "body", owner: nil),
        SampleRecord(path: "/v1/products", body: ["name": "Sample"], text: "name", owner: nil),
        SampleRecord(
            path: "/v1/exchange-rates", body: ["currency": "EUR", "rate": "1.0842", "valid_from": day()], text: "source", owner: nil),
        SampleRecord(path: "/v1/tasks", body: ["subject": "Sample"], text: "subject", owner: "assignee_id"),
        SampleRecord(path: "/v1/tickets", body: ["subject": "Sample"], text: "subject", owner: "assignee_id"),
    ]

    func body(with members: [(String, JSON)]) -> JSON {
        var body = self.body.object ?? JSONObject()
        for (name, value) in members { body[name] = value }
        return .object(body)
    }
}

/// A tenant with its first administrator.
struct Organization: Sendable {
    let id: String
    let slug: String
    let admin: APIClient

    /// The tenant that a client is signed in to.
    init(of admin: APIClient) async throws {
        let tenant = try await admin.send(.get, "/v1/me", expecting: 200).json["tenant"]
        id = try #require(tenant?["id"]?.string)
        slug = try #require(tenant?["slug"]?.string)
        self.admin = admin
    }

    /// Registers the tenant, puts it on the plan, and signs in again, since a change of plan makes tokens stale.
    init(name: String, plan: String, platform: Platform, operatorClient: APIClient) async throws {
        slug = "\(name)-\(UUID().uuidString.prefix(6).lowercased())"
        let email = "admin@\(slug).test"
        let registered = try await platform.api.send(
            .post, "/v1/auth/register",
            [
                "email": .string(email), "password": .string(World.password), "name": "Admin",
                "organization": ["name": .string(name), "slug": .string(slug)],
            ], expecting: 201)
        id = try #require(registered.json["tenant"]?["id"]?.string)
        if plan != "free" {
            try await operatorClient.send(.patch, "/v1/platform/tenants/\(id)", ["plan": .string(plan)], expecting: 200)
        }
        admin = try await World.signIn(email, platform.api)
    }

    /// Adds a person by invitation and registration.
    func invite(_ email: String, role: String) async throws -> APIClient {
        let invitation = try await admin.send(.post, "/v1/invitations", ["email": .string(email), "role": .string(role)], expecting: 201)
        let token = try #require(invitation.json["token"])
        let registered = try await admin.signedIn(nil).send(
            .post, "/v1/auth/register",
            ["email": .string(email), "password": .string(World.password), "name": "Person", "invitation_token": token], expecting: 201)
        return admin.signedIn(registered.json["access_token"]?.string)
    }

    /// Creates a record and gives its id.
    func create(_ path: String, _ body: JSON) async throws -> String {
        let answer = try await admin.send(.post, path, body, expecting: 201)
        return try #require(answer.json["id"]?.string)
    }
}
