import Contracts
import Core
import Postgres

/// All roles of a tenant, as they are at one moment.
struct TenantRoles: Sendable {
    let custom: [CustomRole]
    /// What it takes to run the tenant: all that tenant_admin has; in the platform's own tenant, where the operators are, all that
    /// super_admin has.
    private let administration: Rights

    /// Reads the tenant's own roles, for ``init(_:)``: a hundred at most.
    static func query(as context: RequestContext) -> SQL {
        """
        select \(CustomRole.columns) from custom_role where tenant_id = \(context.tenant) and deleted_at is null order by name
        """
    }

    /// - Parameter tenant: a row with its slug, where it matters who is an administrator.
    init(_ result: PostgresResult, of tenant: PostgresResult? = nil) throws {
        custom = try result.map { try CustomRole(row: $0) }
        let isPlatform = try tenant?.first?.decode("slug", as: String.self) == Slug.platform
        administration = (isPlatform ? BuiltInRole.superAdmin : .tenantAdmin).rights
    }

    var all: [Role] { BuiltInRole.allCases.map { .builtIn($0) } + custom.map { .custom($0) } }

    subscript(name: String) -> Role? {
        BuiltInRole(rawValue: name).map { .builtIn($0) } ?? custom.first { $0.name == name }.map { .custom($0) }
    }

    /// What a member with the role may do: nothing when only a newer release knows the role.
    func rights(of name: String) -> Rights { self[name]?.rights ?? Rights() }

    /// Whether a member with them can run the tenant: one must always be left.
    func areAdministrators(_ rights: Rights) -> Bool { rights.include(administration) }

    /// The names of the roles whose members can run the tenant.
    var administrators: [String] { all.filter { areAdministrators($0.rights) }.map(\.name) }

    /// What to tell who names a role that is not there.
    func detail(ofUnknown name: String) -> String {
        "There is no such role.\(Suggestion.hint(for: name, among: all.map(\.name)))"
    }

    /// - Throws: ``Problem`` `validation_failed` at `/role`, with the nearest name.
    func require(_ name: String) throws(Problem) -> Role {
        if let role = self[name] { return role }
        throw .invalid([.init(pointer: "/role", code: .notAllowed, detail: detail(ofUnknown: name))])
    }

    /// Holds a change to the rule that a tenant always has an active member who can run it. For a transaction that holds the tenant's
    /// row, so that of two changes at once the second sees the first.
    ///
    /// - Parameters:
    ///   - administrators: the roles that count once the change is made.
    ///   - member: one who will be no administrator any longer, whatever his role is now.
    /// - Throws: ``Problem`` `conflict`.
    static func requireAdministrator(
        among administrators: [String], besides member: UserID? = nil, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws {
        let others = try await transaction.query(
            """
            select from member
            where tenant_id = \(context.tenant) and user_id is distinct from \(member.sqlValue)::uuid and status = 'active' and deleted_at is null
              and role = any (\(administrators)) limit 1
            """)
        guard others.isEmpty else { return }
        throw Problem(
            .conflict, "A tenant's last administrator cannot be removed, disabled or left with less: somebody must be able to run it.")
    }
}
