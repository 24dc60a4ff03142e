import CRM
import Core
import Crypto
import Foundation
import Postgres
import Resources
import Support
import TestSupport
import Testing

/// The routes of resources on a schema of their own, called as the service's server would call them.
struct ResourceAPI: Sendable {
    private(set) var resources: [Resource]
    /// The one that the test is about: the first.
    var resource: Resource { resources[0] }
    let postgres: PostgresClient
    let database: TestPostgres
    let tenant = TenantID()
    /// Members besides the caller, as the service of members would know them.
    let colleague = UserID()

    static func leads<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(
            Lead.definition, Account.definition, Contact.definition, Deal.definition, Pipeline.definition, service: "CRM", body)
    }

    static func tickets<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(Ticket.definition, service: "Support", body)
    }

    static func accounts<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(Account.definition, service: "CRM", body)
    }

    static func contacts<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(Contact.definition, Account.definition, service: "CRM", body)
    }

    static func notes<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(
            Note.definition, Lead.definition, Contact.definition, Account.definition, Deal.definition, Pipeline.definition, service: "CRM",
            body)
    }

    static func products<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(Product.definition, service: "CRM", body)
    }

    static func tasks<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(
            MemberTask.definition, Lead.definition, Contact.definition, Account.definition, Deal.definition, Pipeline.definition,
            service: "CRM", body)
    }

    /// Records with a field of every kind that a list can be filtered by.
    static func samples<T>(_ body: (ResourceAPI) async throws -> T) async throws -> T {
        try await run(Sample.definition, tables: Sample.table, body)
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .path(percentEncoded: false)

    /// - Parameters:
    ///   - tables: what the migrations do not have.
    ///   - migrations: a folder of further ones.
    static func run<T>(
        _ definitions: ResourceDefinition..., service: String = "CRM", tables: [SQL] = [], migrations: String? = nil,
        _ body: (ResourceAPI) async throws -> T
    ) async throws -> T {
        try await TestPostgres.run { database in
            let sets =
                [
                    try MigrationSet.load("foundation", from: "\(root)/Shared/ServiceRuntime/Foundation"),
                    try MigrationSet.load("service", from: "\(root)/Services/\(service)/Migrations"),
                ] + (try migrations.map { [try MigrationSet.load("test", from: $0)] } ?? [])
            try await Migrator(configuration: database.owner, schema: database.schema).apply(sets, logger: TestPostgres.logger)
            if !tables.isEmpty { try await database.asOwner(tables) }
            var configuration = database.runtime
            // Writers that wait for each other's locks hold the connection, so they need several.
            configuration.fastConnections = 4
            // A tenant has half of them: one that holds a lock in a test, one that waits for it.
            configuration.bulkConnections = 4
            configuration.lockTimeout = .milliseconds(500)
            return try await TestPostgres.withClient(configuration) { postgres in
                try await body(try ResourceAPI(definitions, postgres: postgres, database: database))
            }
        }
    }

    private init(_ definitions: [ResourceDefinition], postgres: PostgresClient, database: TestPostgres) throws {
        let colleague = colleague
        self.postgres = postgres
        self.database = database
        resources = try Self.resources(definitions, postgres: postgres) { $0 == colleague }
    }

    private static func resources(
        _ definitions: [ResourceDefinition], postgres: PostgresClient, isMember: @escaping @Sendable (UserID) -> Bool
    ) throws -> [Resource] {
        let copies = [TicketCopy.tickets].filter { copied in !definitions.contains { $0.singular == copied.singular } }
        let catalogue = try ResourceCatalogue(definitions, copies: copies)
        let references = ReferenceResolvers(members: { _, users in users.filter(isMember) }, copies: { _, _, _ in false })
        let cursors = CursorSigner(keys: TestContextKeys.keys(of: "crm"))
        return definitions.map { definition in
            Resource(definition, among: catalogue, postgres: postgres, references: references, cursors: cursors)
        }
    }

    /// The same, when the colleague has left.
    var withoutColleague: ResourceAPI {
        get throws {
            var api = self
            api.resources = try Self.resources(resources.map(\.definition), postgres: postgres) { _ in false }
            return api
        }
    }

    // MARK: Callers

    func member(
        _ role: BuiltInRole = .tenantAdmin, tenant: TenantID? = nil, user: UserID = UserID(), limits: [String: Int] = [:],
        fields: [String: [String: FieldRule]] = [:]
    ) -> RequestContext {
        RequestContext(
            tenant: tenant ?? self.tenant, user: user, role: role.rawValue, permissions: role.permissions, scopes: role.scopes,
            fields: FieldRules(fields), plan: "free", limits: limits,
            edge: EdgeContext(requestID: "test", deadline: Timestamp.now.advanced(by: .seconds(30))))
    }

    // MARK: Calls

    /// Calls the route of the target; a problem becomes its answer.
    func send(
        _ method: Core.Method, _ target: String, _ body: String? = nil, as context: RequestContext, headers: [String: String] = [:],
        further routes: [Route] = []
    ) async throws -> Reply {
        let parts = target.split(separator: "?", maxSplits: 1)
        let path = String(parts[0])
        let segments = path.split(separator: "/")
        for route in routes + resources.flatMap(\.routes) where route.method == method {
            let template = route.path.split(separator: "/")
            guard template.count == segments.count else { continue }
            var parameters: [String: String] = [:]
            let matches = zip(template, segments).allSatisfy { part, segment in
                guard part.hasPrefix("{") else { return part == segment }
                parameters[String(part.dropFirst().dropLast())] = String(segment)
                return true
            }
            // A literal segment goes before a parameter, as in the server's router.
            guard matches, !(parameters["id"] == "batch") else { continue }
            do {
                let call = Call(
                    method: method, route: route.path, path: path, parameters: parameters,
                    query: try Query(parts.count > 1 ? String(parts[1]) : ""),
                    headers: headers.map { ($0.key.lowercased(), $0.value) } + (body == nil ? [] : [("content-type", "application/json")]),
                    body: Array((body ?? "").utf8), caller: .member(context))
                return try await route.handler(call)
            } catch let problem as Problem {
                if problem.code == .internal { Issue.record("\(problem.context ?? "") \(String(reflecting: problem.underlying))") }
                return Reply(
                    status: problem.code.status, headers: [("content-type", "application/problem+json")],
                    body: problem.body(requestID: context.requestID))
            }
        }
        throw NoRoute(target: "\(method.rawValue) \(target)")
    }

    struct NoRoute: Error { var target: String }

    /// Creates a record and gives its object.
    ///
    /// - Parameter path: of another resource than the first.
    func create(_ body: String, at path: String? = nil, as context: RequestContext, headers: [String: String] = [:]) async throws -> JSON {
        let reply = try await send(.post, path ?? resource.definition.path, body, as: context, headers: headers)
        try #require(reply.status == 201, "\(reply.text)")
        return try reply.json
    }

    /// The outbox's types of events, in order.
    func events() async throws -> [String] {
        try await TestPostgres.withClient(database.system) { client in
            try await client.batch(as: SystemContext(service: "test"), ["select type from outbox order by id"])[0].map { try $0.decode(0) }
        }
    }
}

extension Reply {
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON { get throws { try JSONParser.parse(body) } }
    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    var code: String? { get throws { try json["code"]?.string } }
    /// Pointer and code of each fault, sorted.
    var faults: [String] {
        get throws { (try json["errors"]?.array ?? []).map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" }.sorted() }
    }
    /// A list's records, by one member.
    func column(_ name: String) throws -> [JSON] { try json["data"]?.array?.map { $0[name] ?? .null } ?? [] }
    var next: String? { get throws { try json["page"]?["next"]?.string } }
}

extension JSON {
    var id: String { self["id"]?.string ?? "" }
}

extension ResourceAPI {
    func asSuperuser<T>(_ body: (PostgresClient) async throws -> T) async throws -> T {
        var configuration = try TestPostgres.superuser()
        configuration.fastStatementTimeout = .seconds(60)
        return try await TestPostgres.withClient(configuration, body)
    }

    /// Runs statements past the API and past the triggers: the outbox is of no interest then.
    func write(_ statements: [SQL]) async throws {
        try await asSuperuser { client in
            _ = try await client.batch(
                as: SystemContext(service: "test", timeout: .seconds(60)),
                [
                    "select set_config('search_path', \(database.schema + ", extensions"), true)",
                    "set local session_replication_role = replica",
                ] + statements)
        }
    }

    /// Fills the table of leads past the API: so many of the tenant, and as many again of 200 tenants.
    func fill(ofTenant count: Int) async throws {
        try await write([
            """
            insert into lead (tenant_id, id, external_id, phone, phone_e164, last_name, company, score, status, source, tags, custom, owner_id, description, \
                created_at, updated_at, created_by, updated_by) \
            select \(tenant)::uuid, gen_random_uuid(), 'other' || n, '040 5' || n, '+49405' || n, 'name' || lpad(n::text, 7, '0'), case when n % 3 > 0 then 'company' || n % 50 end, \
                case when n % 4 > 0 then n % 100 end, case when n % 70 = 0 then 'new' else 'contacted' end, \
                case when n % 1000 = 0 then 'rare' when n > \(count)::int - 20 then 'last' end, \
                case when n % 2 = 0 then '{even,many}' else '{many}' end::text[], jsonb_build_object('n', n), \
                case when n % 1000 = 2 then \(colleague)::uuid else \(TenantID())::uuid end, \
                case when n % 1000 = 0 then 'a rareword and a commonword' else 'a commonword' end, \
                timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second', timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second', \
                gen_random_uuid(), gen_random_uuid() \
            from generate_series(1, \(count)::int) as n
            """,
            """
            insert into lead (tenant_id, id, last_name, company, score, status, source, created_by, updated_by) \
            select md5((n % 200)::text)::uuid, gen_random_uuid(), 'name' || lpad(n::text, 7, '0'), 'company' || n, n % 97, 'new', 'never', gen_random_uuid(), \
                gen_random_uuid() \
            from generate_series(1, \(count)::int) as n
            """,
            "analyze lead",
        ])
    }
}

extension ResourceAPI {
    /// Makes fleets, and deletes each while a record that refers to it is made at the same moment: one of the two may be refused for the other.
    ///
    /// - Parameter body: of the record that refers to a fleet, by its number and its id.
    func deleteFleets(
        _ count: Int, whileMaking path: String, as admin: RequestContext, _ body: (_ index: Int, _ fleet: String) -> String
    ) async throws {
        var fleets: [String] = []
        for _ in 0..<count { fleets.append(try await create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id) }
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for (index, fleet) in fleets.enumerated() {
                let body = body(index, fleet)
                group.addTask { try await send(.post, path, body, as: admin).status }
                group.addTask { try await send(.delete, "/v1/fleets/\(fleet)", as: admin).status }
            }
            return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(Set(statuses.keys).isSubset(of: [201, 204, 409, 422]), "\(statuses)")
    }
}
