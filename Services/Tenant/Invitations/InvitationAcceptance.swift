import Contracts
import Core
import Postgres
import Resources

/// Turns an invitation into a membership, once.
struct InvitationAcceptance: Sendable {
    let postgres: PostgresClient
    let plans: PlanCatalogue
    let announcer: EpochAnnouncer

    /// Makes the person a member of the tenant that the token names. Who accepted it already gets the same answer again.
    ///
    /// An invitation is worth what its inviter may do now: once he is no longer an active member, or may no longer grant its role,
    /// it opens nothing.
    ///
    /// - Parameter named: the slug that the tenant must have, if any.
    /// - Throws: ``Problem`` `not_found` for a token that is unknown, withdrawn, expired, used by another or beyond its inviter's
    ///   rights; `forbidden` when it is for another address; `tenant_mismatch`, `tenant_suspended`, `already_exists` for a member,
    ///   `plan_limit_reached`.
    func accept(_ text: String, person: Person, named: String? = nil, edge: EdgeContext) async throws -> Member {
        guard let token = InvitationToken(text) else { throw Problem.notFound }
        return try await accept(token, person, named: named, key: nil, as: Self.context(of: person, in: token.tenant, edge))
    }

    /// As ``accept(_:person:named:edge:)``, for a request with or without an `Idempotency-Key`. The key belongs to the tenant of the token:
    /// its row is written where the membership is.
    func reply(to text: String, person: Person, key: IdempotencyKey?, edge: EdgeContext) async throws -> Reply {
        guard let token = InvitationToken(text) else { throw Problem.notFound }
        let context = Self.context(of: person, in: token.tenant, edge)
        return try await IdempotencyKey.guarding(key, as: context, on: postgres) {
            .json(try await accept(token, person, named: nil, key: key, as: context).json)
        }
    }

    /// The token is what lets the person act in this tenant, for one transaction.
    private static func context(of person: Person, in tenant: TenantID, _ edge: EdgeContext) -> RequestContext {
        RequestContext(tenant: tenant, user: person.id, edge: edge)
    }

    private func accept(
        _ token: InvitationToken, _ person: Person, named: String?, key: IdempotencyKey?, as context: RequestContext
    ) async throws -> Member {
        guard let email = EmailAddress(person.email) else { throw Problem.notFound }
        do {
            let (member, isNew) = try await postgres.transaction(as: context) { transaction in
                let accepted = try await accept(token, person, email, named: named, in: transaction, as: context)
                if let key {
                    try await transaction.query(key.insertion(as: context, status: 200, body: accepted.member.json.bytes))
                }
                return accepted
            }
            // A member who was removed and is back has tokens of an older epoch.
            if isNew, member.epoch > 1 { announcer.announce(member) }
            return member
        } catch let error as PostgresError where error.constraint == "plan_limit_users" {
            throw Problem(.planLimitReached, "The tenant's plan has no room for another member.", underlying: error)
        }
    }

    private func accept(
        _ token: InvitationToken, _ person: Person, _ email: EmailAddress, named: String?, in transaction: PostgresTransaction,
        as context: RequestContext
    ) async throws -> (member: Member, isNew: Bool) {
        let found = try await transaction.batch([
            """
            select \(Invitation.columns) from invitation
            where tenant_id = \(context.tenant) and token_hash = \(token.hash) and deleted_at is null for update
            """,
            "select \(Tenant.columns) from tenant where tenant_id = \(context.tenant)",
            // The lock lets a change of the inviter that is under way go first, and those to come wait: either it is seen here, or
            // it finds the new member.
            """
            select inviter.role from invitation
            join member as inviter on inviter.tenant_id = invitation.tenant_id and inviter.user_id = invitation.created_by
            where invitation.tenant_id = \(context.tenant) and invitation.token_hash = \(token.hash)
              and invitation.deleted_at is null and inviter.status = 'active' and inviter.deleted_at is null
            for share of inviter
            """,
            // So does this one for the role: it is deleted before, or finds that it is needed.
            """
            select from custom_role
            where tenant_id = \(context.tenant) and deleted_at is null
              and name = (select role from invitation where tenant_id = \(context.tenant) and token_hash = \(token.hash))
            for share
            """,
            TenantRoles.query(as: context),
        ])
        guard let invitationRow = found[0].first, let tenantRow = found[1].first else { throw Problem.notFound }
        let invitation = try Invitation(row: invitationRow)
        let tenant = try Tenant(row: tenantRow)
        if let accepter = invitation.acceptedBy {
            guard accepter == person.id, let member = try await self.member(person.id, in: transaction, as: context) else {
                throw Problem.notFound
            }
            return (member, isNew: false)
        }
        let roles = try TenantRoles(found[4])
        guard invitation.expiresAt > .now, let inviter = try found[2].first.map({ roles.rights(of: try $0.decode("role")) }),
            let role = roles[invitation.role], invitation.isWithinRights(inviter, granting: role.rights)
        else { throw Problem.notFound }
        guard invitation.emailKey == email.key else { throw Problem(.forbidden, "The invitation is for another e-mail address.") }
        if let named, named != tenant.slug {
            throw Problem(.tenantMismatch, "The request names the tenant '\(named)', and the invitation is to another one.")
        }
        guard tenant.isActive else { throw Problem(.tenantSuspended, "The tenant '\(tenant.slug)' is suspended.") }
        if let seats = try plans.plan(of: tenant).limits(with: tenant.overrides)["users"] {
            // The person's own context carries the limits of another tenant, or none.
            try await transaction.query("select set_config('app.limits', \("users=\(seats)"), true)")
        }
        let joined = try await transaction.query(
            MemberStore.joining(person, role: invitation.role, invitedBy: invitation.createdBy, as: context))
        guard let row = joined.first else {
            throw Problem.alreadyExists("You are a member of this tenant already.", id: person.id, isRestorable: false)
        }
        try await transaction.query(
            """
            update invitation set accepted_at = now(), accepted_by = \(person.id), updated_at = now(), updated_by = \(person.id),
                   version = version + 1
            where tenant_id = \(context.tenant) and id = \(invitation.id)
            """)
        return (try Member(row: row), isNew: true)
    }

    private func member(_ id: UserID, in transaction: PostgresTransaction, as context: RequestContext) async throws -> Member? {
        let rows = try await transaction.query(
            "select \(Member.columns) from member where tenant_id = \(context.tenant) and user_id = \(id) and deleted_at is null")
        return try rows.first.map { try Member(row: $0) }
    }
}
