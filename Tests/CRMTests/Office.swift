import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// The service with somebody who may do everything in a tenant.
struct Office: Sendable {
    let service: RunningService
    let database: TestDatabase
    let tenant: TenantID
    let admin: Caller

    static func run(_ body: @escaping @Sendable (Office) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                let tenant = TenantID()
                try await body(
                    Office(
                        service: service, database: database, tenant: tenant,
                        admin: AccountTests.member(.tenantAdmin, tenant: tenant)))
            }
        }
    }

    @discardableResult
    func send(
        _ method: Core.Method, _ path: String, _ body: JSON? = nil, as caller: Caller? = nil, headers: [(String, String)] = [],
        expecting: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> APIAnswer {
        try await service.send(
            method, path, body, as: caller ?? admin, headers: headers, expecting: expecting, sourceLocation: sourceLocation)
    }

    func make(_ path: String, _ body: JSON, as caller: Caller? = nil) async throws -> String {
        try await send(.post, path, body, as: caller, expecting: 201).json["id"]?.string ?? ""
    }

    func count(_ path: String) async throws -> Int {
        try await send(.get, "\(path)?limit=200", expecting: 200).json["data"]?.array?.count ?? -1
    }

    /// Types of events of the outbox, from a place on.
    func events(from first: Int = 0) async throws -> [String] {
        Array(try await database.query(in: .crm, ["select type from outbox order by id"])[0].map { try $0.decode(0) }.dropFirst(first))
    }

    /// A caller with other rights in the same tenant.
    func caller(_ role: BuiltInRole, limits: [String: Int] = [:], _ change: (inout RequestContext) -> Void = { _ in }) -> Caller {
        var context = RequestContext(
            tenant: tenant, user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes, plan: "pro",
            limits: limits, edge: .test())
        change(&context)
        return .member(context)
    }
}
