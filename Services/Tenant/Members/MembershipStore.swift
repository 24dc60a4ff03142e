import Contracts
import Core
import Postgres

/// What a user may do in each of his tenants, put together for tokens.
struct MembershipStore: Sendable {
    /// As the role that may look across tenants.
    let system: PostgresClient
    let plans: PlanCatalogue

    /// The memberships with which the user can act, the oldest first; those of suspended tenants too, which say so.
    func list(of user: UserID, as context: SystemContext) async throws -> [Membership] {
        let rows = try await system.batch(
            as: context,
            [
                """
                select tenant.id, tenant.slug, tenant.name, tenant.status, tenant.plan, tenant.overrides, tenant.epoch as tenant_epoch,
                       member.role, member.epoch as member_epoch
                from member join tenant on tenant.tenant_id = member.tenant_id
                where member.user_id = \(user) and member.status = 'active' and member.deleted_at is null
                order by member.created_at, member.tenant_id
                """
            ])[0]
        return try rows.map(membership)
    }

    /// - Throws: ``Problem`` `conflict` when the user cannot act in the tenant.
    func require(_ user: UserID, in tenant: TenantID, as context: SystemContext) async throws -> Membership {
        guard let membership = try await list(of: user, as: context).first(where: { $0.tenant.id == tenant }) else {
            throw Problem(.conflict, "The user is not an active member of the tenant.")
        }
        return membership
    }

    private func membership(_ row: PostgresRow) throws -> Membership {
        let planName = try row.decode("plan", as: String.self)
        let roleName = try row.decode("role", as: String.self)
        guard let plan = plans.find(planName) else { throw Problem.internal("no plan \(planName) in the file of plans") }
        // A role that only a newer release knows gives no rights here, and refuses nobody.
        let role = BuiltInRole(rawValue: roleName)
        let overrides = PlanOverrides(json: try row.decode("overrides", as: JSON.self))
        return Membership(
            tenant: Membership.Tenant(
                id: try row.decode("id"), slug: try row.decode("slug"), name: try row.decode("name"),
                isActive: try row.decode("status", as: String.self) == "active", plan: planName, epoch: try row.decode("tenant_epoch")),
            role: roleName, permissions: role?.permissions ?? PermissionSet(), scopes: role?.scopes ?? RowScopes(),
            limits: plan.limits(with: overrides), rate: plan.rate(with: overrides), epoch: try row.decode("member_epoch"))
    }
}
