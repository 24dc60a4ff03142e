import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What comes of each route for each role: a table that a person can read, and that is a promise.
    @Suite struct Outcomes {
        private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "outcomes.golden.txt")
        private static let renewal = "MARTLET_TEST_RENEW_GOLDEN"

        /// Goal: who may do what, and what becomes of it with a record of one's own, of a colleague's and of another tenant's.
        /// Method: each operation of the platform's document, with a body that is right, by somebody of each role; what came of it is held
        /// against the file.
        @Test(.timeLimit(.minutes(5))) func eachRoleIsAnsweredAsTheGoldenFileSays() async throws {
            let world = try World.get()
            let operations = try await DocumentedOperation.all(of: world)
            let callers = try await OutcomeCaller.all(world)
            // Side by side, as each has records of its own.
            let columns = try await withThrowingTaskGroup(of: (Int, [String]).self) { group in
                for (place, caller) in callers.enumerated() {
                    group.addTask { (place, try await Self.outcomes(operations, for: caller)) }
                }
                return try await group.reduce(into: Array(repeating: [], count: callers.count)) { $0[$1.0] = $1.1 }
            }
            let labels = operations.flatMap { operation in Whose.all(of: operation).map { (operation.description, $0.rawValue) } }
            let found = Self.table(labels, callers.map(\.role), columns)
            if ProcessInfo.processInfo.environment[Self.renewal] != nil {
                try found.write(to: Self.file, atomically: true, encoding: .utf8)
                return
            }
            let expected = try String(contentsOf: Self.file, encoding: .utf8)
            if found == expected { return }
            let (before, after) = (expected.split(separator: "\n"), found.split(separator: "\n"))
            let (gone, new) = (
                before.filter { !after.contains($0) }.map { "- \($0)" }, after.filter { !before.contains($0) }.map { "+ \($0)" }
            )
            Issue.record(
                """
                outcomes.golden.txt says something else. If it is meant, renew it and read the difference: \
                \(Self.renewal)=1 Tests/run --filter Outcomes && git diff Tests/SystemTests/outcomes.golden.txt
                \((before.prefix(1).map { "  \($0)" } + gone + new).joined(separator: "\n"))
                """)
        }

        private static func outcomes(_ operations: [DocumentedOperation], for caller: OutcomeCaller) async throws -> [String] {
            var outcomes: [String] = []
            for operation in operations {
                for whose in Whose.all(of: operation) { outcomes.append(try await caller.outcome(of: operation, whose)) }
            }
            return outcomes
        }

        private static func table(_ labels: [(String, String)], _ roles: [String], _ columns: [[String]]) -> String {
            let width = (labels.map(\.0.count).max() ?? 0) + 2
            func line(_ first: String, _ second: String, _ cells: [String]) -> String {
                let padded = zip(cells, roles).map { cell, role in cell + String(repeating: " ", count: max(9, role.count + 2) - cell.count)
                }
                let start = first + String(repeating: " ", count: width - first.count) + second
                let text = start + String(repeating: " ", count: max(0, width + 13 - start.count)) + padded.joined()
                return String(text.reversed().drop { $0 == " " }.reversed()) + "\n"
            }
            let lines = labels.enumerated().map { place, label in
                line(place > 0 && labels[place - 1].0 == label.0 ? "" : label.0, label.1, columns.map { $0[place] })
            }
            return line("", "whose", roles) + lines.joined()
        }
    }
}

/// Whose record it is that a path with an id names.
private enum Whose: String {
    case nobodys = ""
    case own = "own"
    case colleagues = "colleague's"
    case foreign = "foreign"

    static func all(of operation: DocumentedOperation) -> [Whose] {
        if !operation.path.contains("{") { return [.nobodys] }
        if operation.path.hasPrefix("/v1/platform") { return [.foreign] }
        // A member is nobody's; removing oneself would end the test.
        return operation.sample != nil || operation.path.hasPrefix("/v1/sessions")
            ? [.own, .colleagues, .foreign] : [.colleagues, .foreign]
    }
}

/// Somebody of a role, with a colleague in the same tenant who may make what there is to be found.
private struct OutcomeCaller: Sendable {
    let role: String
    let client: APIClient
    let email: String
    /// `nil` for who has not signed in.
    let id: String?
    let tenant: Organization
    let foreign: Organization
    /// A tenant that nobody works in.
    let spare: Organization
    let platform: Platform
    let kept = KeptRecords()

    static func all(_ world: World) async throws -> [OutcomeCaller] {
        func organization(_ name: String) async throws -> Organization {
            try await Organization(name: name, plan: "enterprise", platform: world.platform, operatorClient: world.operatorClient)
        }
        let (tenant, spare) = (try await organization("outcomes"), try await organization("spare"))
        func caller(_ role: String, _ client: APIClient, _ email: String, in tenant: Organization) async throws -> OutcomeCaller {
            let id = try await client.send(.get, "/v1/me", expecting: 200).json["user"]?["id"]?.string
            return OutcomeCaller(
                role: role, client: client, email: email, id: id, tenant: tenant, foreign: world.globex, spare: spare,
                platform: world.platform)
        }
        let email = "operator@\(tenant.slug).test"
        try await world.platform.run(
            "identity", ["operator", "create", "--email", email, "--name", "Operator"], input: World.password + "\n")
        var all = [
            try await caller(
                "super_admin", try await World.signIn(email, world.platform.api), email,
                in: try await Organization(of: world.operatorClient))
        ]
        for (role, permissions) in [("lead_reader", ["leads.read"] as JSON), ("nothing", [])] {
            let scopes: JSON = role == "lead_reader" ? ["leads": "own"] : .object(JSONObject())
            try await tenant.admin.send(
                .post, "/v1/roles", ["name": .string(role), "permissions": permissions, "scopes": scopes], expecting: 201)
        }
        for role in ["tenant_admin", "manager", "sales", "support", "read_only", "lead_reader", "nothing"] {
            let email = "\(role)@\(tenant.slug).test"
            all.append(try await caller(role, try await tenant.invite(email, role: role), email, in: tenant))
        }
        let nobody = OutcomeCaller(
            role: "no token", client: world.platform.api, email: "nobody@\(tenant.slug).test", id: nil, tenant: tenant,
            foreign: world.globex,
            spare: spare, platform: world.platform)
        return all + [nobody]
    }

    /// The status, and of a batch of one operation that operation's.
    func outcome(of operation: DocumentedOperation, _ whose: Whose) async throws -> String {
        let id = whose == .nobodys ? "" : try await record(for: operation, whose)
        let (client, body) = try await request(operation)
        let answer = try await client.send(operation.method, try await target(of: operation, id, whose), body)
        let result = answer.json["results"]?[0]?["status"]?.integer.map { "/\($0)" } ?? ""
        return "\(answer.status)\(result)"
    }

    /// The path with the record's id, and that of one of its contacts.
    private func target(of operation: DocumentedOperation, _ record: String, _ whose: Whose) async throws -> String {
        guard operation.path.contains("{contact_id}") else { return operation.target(id: record) }
        var body = JSONObject()
        body["last_name"] = "Sample"
        if let id { body["owner_id"] = .string(id) }
        let contact = try await tenant.create("/v1/contacts", .object(body))
        if whose != .foreign { try await tenant.admin.send(.put, "/v1/deals/\(record)/contacts/\(contact)", ["role": nil], expecting: 201) }
        return operation.path.replacing("{id}", with: record).replacing("{contact_id}", with: contact)
    }

    /// A body that is right and leaves the caller as he is, and who sends it.
    private func request(_ operation: DocumentedOperation) async throws -> (APIClient, JSON?) {
        if let sample = operation.sample, operation.path.hasSuffix("/merge") {
            return (client, ["from": [.string(try await tenant.create(sample.path, sample.body))]])
        }
        // What is done with a record, or below it, has a body of its own.
        if operation.method == .post && operation.path.contains("{id}") || operation.path.contains("{contact_id}") {
            return (client, operation.body)
        }
        if let sample = operation.sample, operation.hasBody {
            if operation.path.hasSuffix("/bulk") { return (client, operation.body) }
            return (client, operation.path.hasSuffix("/batch") ? ["operations": [["op": "create", "body": sample.body]]] : sample.body)
        }
        let unique = UUID().uuidString.prefix(8).lowercased()
        switch operation.description {
        case "POST /v1/auth/register":
            return (
                client,
                [
                    "email": .string("new-\(unique)@\(tenant.slug).test"), "password": .string(World.password), "name": "New",
                    "organization": ["name": "New", "slug": .string("new-\(unique)")],
                ]
            )
        case "POST /v1/auth/login":
            return (client, ["email": .string(id == nil ? "admin@\(tenant.slug).test" : email), "password": .string(World.password)])
        case "POST /v1/auth/refresh": return (client, ["refresh_token": .string(try await furtherSession().refresh)])
        case "POST /v1/auth/logout":
            return (id == nil ? client : client.signedIn(try await furtherSession().access), .object(JSONObject()))
        case "POST /v1/auth/switch": return (client, ["tenant": .string(tenant.slug)])
        // The one fault there is: a password that was changed would end the caller's session, and take its time.
        case "POST /v1/auth/password/change":
            return (client, ["current_password": .string(World.password), "new_password": .string(World.password)])
        case "PATCH /v1/me": return (client, ["name": "Person"])
        case "PATCH /v1/tenant": return (client, ["time_zone": "Europe/Vienna"])
        case "PATCH /v1/members/{id}": return (client, ["status": "active"])
        case "POST /v1/invitations": return (client, ["email": .string("new-\(unique)@\(tenant.slug).test"), "role": "read_only"])
        case "POST /v1/roles": return (client, ["name": .string("new_\(unique)"), "permissions": ["leads.read"]])
        case "PATCH /v1/roles/{name}": return (client, ["description": "New"])
        case "POST /v1/teams", "PATCH /v1/teams/{id}": return (client, ["name": .string("New \(unique)")])
        default: return (client, operation.body)
        }
    }

    /// Signing in takes its time, as it should.
    private func session() async throws -> JSON {
        let email = id == nil ? "admin@\(tenant.slug).test" : email
        return try await client.signedIn(nil).send(
            .post, "/v1/auth/login", ["email": .string(email), "password": .string(World.password)], expecting: 200
        ).json
    }

    /// A session of the caller's beside the one that he uses, first refreshed and then ended.
    private func furtherSession() async throws -> (access: String, refresh: String) {
        let tokens = try await kept.record("a further session") {
            let session = try await session()
            return "\(session["access_token"]?.string ?? "") \(session["refresh_token"]?.string ?? "")"
        }.split(separator: " ").map(String.init)
        try #require(tokens.count == 2)
        return (tokens[0], tokens[1])
    }

    // MARK: Records

    /// A record for the path's id: of what stays as it is one for all operations.
    private func record(for operation: DocumentedOperation, _ whose: Whose) async throws -> String {
        let isGone =
            operation.method == .delete || operation.path.hasSuffix("/restore") || operation.path.hasSuffix("/convert")
            || operation.method == .put && whose == .foreign
        let place = isGone ? nil : "\(operation.sample?.path ?? operation.path) \(whose) \(operation.path.contains("{external_id}"))"
        return try await kept.record(place) { try await newRecord(for: operation, whose) }
    }

    private func newRecord(for operation: DocumentedOperation, _ whose: Whose) async throws -> String {
        let maker = whose == .foreign ? foreign : tenant
        if let sample = operation.sample { return try await record(sample, for: operation, whose, by: maker) }
        let unique = UUID().uuidString.prefix(8).lowercased()
        switch operation.path.split(separator: "/")[1] {
        case "members": return try await member(of: maker, unique)
        case "invitations":
            return try await maker.create("/v1/invitations", ["email": .string("new-\(unique)@kestrel.example"), "role": "read_only"])
        case "teams": return try await maker.create("/v1/teams", ["name": .string("Team \(unique)")])
        case "roles":
            try await maker.admin.send(
                .post, "/v1/roles", ["name": .string("role_\(unique)"), "permissions": ["leads.read"]], expecting: 201)
            return "role_\(unique)"
        case "sessions":
            guard whose == .own else { return try Self.sessionID(maker.admin.token) }
            return id == nil ? RecordID().description : try Self.sessionID(try await session()["access_token"]?.string)
        case "platform": return spare.id
        default:
            Issue.record("no record for \(operation): add one")
            return RecordID().description
        }
    }

    private func record(
        _ sample: SampleRecord, for operation: DocumentedOperation, _ whose: Whose, by maker: Organization
    ) async throws -> String {
        let external = "outcome-\(UUID().uuidString)"
        var members: [(String, JSON)] = [("external_id", .string(external))]
        if whose == .own, let id, let owner = sample.owner { members.append((owner, .string(id))) }
        let record = try await maker.create(sample.path, sample.body(with: members))
        if whose == .own, let id, sample.owner == nil {
            try await platform.psql(
                "set search_path = crm, extensions", "select set_config('app.tenant', '\(maker.id)', false)",
                "update \(sample.path.dropFirst("/v1/".count).dropLast().replacing("-", with: "_")) set created_by = '\(id)' where id = '\(record)'"
            )
        }
        if operation.path.hasSuffix("/restore") { try await maker.admin.send(.delete, "\(sample.path)/\(record)", expecting: 204) }
        return operation.path.contains("{external_id}") ? external : record
    }

    /// Somebody who has never signed in.
    private func member(of organization: Organization, _ unique: String) async throws -> String {
        let (tenant, user) = (organization.id, UserID())
        try await platform.psql(
            "set search_path = tenant, extensions", "select set_config('app.tenant', '\(tenant)', false)",
            """
            insert into member (tenant_id, user_id, email, name, role, created_by, updated_by)
            values ('\(tenant)', '\(user)', 'member-\(unique)@kestrel.example', 'Member', 'read_only', '\(user)', '\(user)')
            """)
        return user.description
    }

    /// From the claims of an access token.
    private static func sessionID(_ token: String?) throws -> String {
        var claims = String(try #require(token?.split(separator: ".").dropFirst().first)).replacing("-", with: "+").replacing(
            "_", with: "/")
        claims += String(repeating: "=", count: (4 - claims.count % 4) % 4)
        let bytes = try #require(Data(base64Encoded: claims))
        return try #require(try JSONParser.parse(Array(bytes))["sid"]?.string)
    }
}

private actor KeptRecords {
    private var records: [String: String] = [:]

    /// - Parameter place: `nil` for a record that is not kept.
    func record(_ place: String?, _ make: () async throws -> String) async throws -> String {
        if let place, let known = records[place] { return known }
        let made = try await make()
        if let place { records[place] = made }
        return made
    }
}
