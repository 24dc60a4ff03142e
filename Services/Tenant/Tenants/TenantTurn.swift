import Core
import Postgres

/// The turn to change who may do what in a tenant: its members, roles, teams, invitations, and the tenant itself. Each holds the tenant's row to
/// its commit, so each finds what the one before has left: two administrators cannot remove each other.
///
/// A request may wait for its turn while its caller loses the rights that his token still tells, or while the tenant is suspended. So both are looked
/// at again once it has come.
struct TenantTurn: Sendable {
    /// As they are now.
    let roles: TenantRoles
    /// What the further statements gave, in their order.
    let found: [PostgresResult]

    /// Waits for the turn, then runs the further statements in the same round trip.
    ///
    /// - Throws: ``Problem`` `tenant_suspended`; `token_stale` when the caller is no longer what his token says.
    init(in transaction: PostgresTransaction, as context: RequestContext, _ further: [SQL] = []) async throws {
        let results = try await transaction.batch(
            ["select slug, status from tenant where tenant_id = \(context.tenant) for no key update"] + Self.standing(of: context) + further
        )
        if let tenant = results[0].first, try tenant.decode("status") == "suspended" {
            throw Problem(.tenantSuspended, "The tenant is suspended.")
        }
        roles = try TenantRoles(results[2], of: results[0])
        try Self.confirm(results[1], roles, as: context)
        found = Array(results.dropFirst(3))
    }

    /// What ``confirm(_:_:as:)`` looks at: the caller's place in his tenant, and what its own roles allow.
    static func standing(of context: RequestContext) -> [SQL] {
        [
            """
            select role from member
            where tenant_id = \(context.tenant) and user_id = \(context.user) and status = 'active' and deleted_at is null
            """,
            TenantRoles.query(as: context),
        ]
    }

    /// Holds the caller to what he is now. A role that every tenant has allows the same as ever, and its name is enough: of two releases that
    /// serve side by side one may allow it more.
    ///
    /// - Throws: ``Problem`` `token_stale`.
    static func confirm(_ member: PostgresResult, _ roles: TenantRoles, as context: RequestContext) throws {
        if let row = member.first, try row.decode("role") == context.role,
            BuiltInRole(rawValue: context.role) != nil || roles.rights(of: context.role).include(context.rights)
        {
            return
        }
        throw Problem(.tokenStale, "Your rights have changed since this request was sent. Sign in or refresh.")
    }
}
