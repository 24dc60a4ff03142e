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
                select tenant.id, tenant.slug, tenant.name, tenant.status, tenant.plan, tenant.overrides, tenant.country, tenant.locale,
                       tenant.currency, tenant.time_zone, tenant.fiscal_year_starts, tenant.epoch as tenant_epoch,
                       member.role, member.epoch as member_epoch, custom_role.permissions, custom_role.scopes,
                       custom_role.fields, custom_role.epoch as role_epoch,
                       array(select team.id from team where team.tenant_id = member.tenant_id and team.id = any (member.teams)
                             order by team.name, team.id) as team_ids,
                       array(select team.name from team where team.tenant_id = member.tenant_id and team.id = any (member.teams)
                             order by team.name, team.id) as team_names
                from member join tenant on tenant.tenant_id = member.tenant_id
                left join custom_role
                    on custom_role.tenant_id = member.tenant_id and custom_role.name = member.role and custom_role.deleted_at is null
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
        let (rights, roleEpoch) = try Self.rights(of: roleName, row)
        let overrides = PlanOverrides(json: try row.decode("overrides", as: JSON.self))
        return Membership(
            tenant: Membership.Tenant(
                id: try row.decode("id"), slug: try row.decode("slug"), name: try row.decode("name"),
                isActive: try row.decode("status", as: String.self) == "active", plan: planName,
                country: Country.of(try row.decode("country"), locale: try row.decode("locale")), currency: try row.decode("currency"),
                timeZone: try row.decode("time_zone"), fiscalYearStarts: try row.decode("fiscal_year_starts"),
                epoch: try row.decode("tenant_epoch")),
            role: roleName, permissions: rights.permissions, scopes: rights.scopes, fields: rights.fields,
            teams: zip(try row.decode("team_ids", as: [RecordID].self), try row.decode("team_names", as: [String].self)).map {
                Membership.Team(id: $0, name: $1)
            },
            limits: plan.limits(with: overrides), rate: plan.rate(with: overrides), epoch: try row.decode("member_epoch"),
            roleEpoch: roleEpoch)
    }

    private static func rights(of role: String, _ row: PostgresRow) throws -> (Rights, epoch: Int64?) {
        if let role = BuiltInRole(rawValue: role) { return (role.rights, nil) }
        guard let permissions = try row.decode("permissions", as: [String]?.self), let scopes = try row.decode("scopes", as: JSON?.self),
            let fields = try row.decode("fields", as: JSON?.self)
        else {
            // A role that only a newer release knows gives no rights here, and refuses nobody.
            return (Rights(), nil)
        }
        return (Rights(permissionNames: permissions, scopes: scopes, fields: fields), try row.decode("role_epoch"))
    }
}
