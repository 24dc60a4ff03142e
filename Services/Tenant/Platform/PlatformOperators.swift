import Contracts
import Core
import Postgres

/// Makes people operators: super_admins of the platform's own tenant, which is made with the first of them.
struct PlatformOperators: Sendable {
    let tenants: TenantStore
    let announcer: EpochAnnouncer

    /// Idempotent: one who is an operator stays as he is.
    func appoint(_ person: Person, as context: SystemContext) async throws -> TenantID {
        let tenant = try await platformTenant(owner: person, as: context)
        let acting = RequestContext(tenant: tenant, user: person.id, edge: context.edge)
        let member = try await tenants.postgres.transaction(as: acting) { transaction -> Member? in
            let joined = try await transaction.query(
                MemberStore.joining(person, role: BuiltInRole.superAdmin.rawValue, invitedBy: person.id, as: acting))
            if let row = joined.first { return try Member(row: row) }
            let changed = try await transaction.query(
                """
                update member set role = \(BuiltInRole.superAdmin.rawValue), status = 'active', epoch = epoch + 1,
                       epoch_changed_at = now(), version = version + 1, updated_at = now(), updated_by = \(person.id)
                where tenant_id = \(tenant) and user_id = \(person.id)
                  and (role <> \(BuiltInRole.superAdmin.rawValue) or status <> 'active')
                returning \(Member.columns)
                """)
            return try changed.first.map { try Member(row: $0) }
        }
        if let member, member.epoch > 1 { announcer.announce(member) }
        return tenant
    }

    private func platformTenant(owner: Person, as context: SystemContext) async throws -> TenantID {
        if let tenant = try await tenants.find(slug: Slug.platform, as: context) { return tenant.id }
        let id = TenantID()
        do {
            try await tenants.create(
                name: "Platform", slug: Slug.platform, plan: PlanCatalogue.platformPlan, owner: owner, role: .superAdmin,
                as: RequestContext(tenant: id, user: owner.id, edge: context.edge))
            return id
        } catch let problem as Problem where problem.code == .alreadyExists {
            // Another call has made it meanwhile.
            guard let tenant = try await tenants.find(slug: Slug.platform, as: context) else { throw problem }
            return tenant.id
        }
    }
}
