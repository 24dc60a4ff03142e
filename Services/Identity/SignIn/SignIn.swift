import Contracts
import Core
import Postgres

/// What every way of signing in ends with: a session, its tokens, and the answer.
struct SignIn: Sendable {
    let sessions: SessionStore
    let tenants: TenantDirectory
    let tokens: AccessTokenIssuer

    /// Begins a session for the membership.
    ///
    /// - Parameter further: statements that take effect in the same transaction.
    /// - Throws: the ground's ``SessionGround/refusal`` when it holds no longer.
    func begin(
        _ user: User, _ membership: Membership, on ground: SessionGround, from client: Client, with further: [SQL] = [],
        as context: SystemContext
    ) async throws -> TokenAnswer {
        let session = SessionID()
        let refresh = OpaqueToken(prefix: OpaqueToken.refreshPrefix)
        let access = try await tokens.token(user: user.id, session: session, membership: membership)
        let results = try await sessions.postgres.batch(
            as: context,
            further
                + sessions.beginning(session, of: user.id, in: membership.tenant.id, on: ground, from: client, token: refresh))
        guard results.last?.affectedRows == 1 else { throw ground.refusal }
        return TokenAnswer(accessToken: access, refreshToken: refresh.text, user: user, membership: membership)
    }

    /// The membership to sign in to: of the tenant named, or else the one used last, or else the oldest.
    ///
    /// - Throws: ``Problem`` `forbidden` when there is none, `tenant_suspended`.
    func membership(of user: UserID, slug: String?, as context: SystemContext) async throws -> Membership {
        let all = try await tenants.memberships(of: user, as: context)
        if let slug {
            guard let membership = all.first(where: { $0.tenant.slug == slug }) else {
                throw Problem(.forbidden, "You are not a member of the tenant '\(slug)'.")
            }
            return try Self.active(membership)
        }
        guard let oldest = all.first else { throw Problem(.forbidden, "You are not a member of any tenant.") }
        guard all.count > 1 else { return try Self.active(oldest) }
        let last = try await sessions.lastTenant(of: user, as: context)
        let active = all.filter(\.tenant.isActive)
        return try Self.active(active.first { $0.tenant.id == last } ?? active.first ?? oldest)
    }

    /// The present membership of a session's tenant.
    ///
    /// - Throws: ``Problem`` `forbidden` when it has ended, `tenant_suspended`.
    func membership(of user: UserID, in tenant: TenantID, as context: SystemContext) async throws -> Membership {
        guard let membership = try await tenants.memberships(of: user, as: context).first(where: { $0.tenant.id == tenant }) else {
            throw Problem(.forbidden, "You are no longer a member of this tenant.")
        }
        return try Self.active(membership)
    }

    /// Refuses tokens for a tenant other than the one that the request names: with them it would be refused from then on.
    ///
    /// - Throws: ``Problem`` `tenant_mismatch`.
    static func require(_ slug: String, asNamedBy call: Call) throws(Problem) {
        guard let named = call.namedTenant, named != slug else { return }
        throw Problem(.tenantMismatch, "The request names the tenant '\(named)', and this is for '\(slug)'.")
    }

    private static func active(_ membership: Membership) throws(Problem) -> Membership {
        guard membership.tenant.isActive else {
            throw Problem(.tenantSuspended, "The tenant '\(membership.tenant.slug)' is suspended.")
        }
        return membership
    }
}

extension SignIn {
    /// What the descriptions of ways to sign in say of the tenant.
    static let namedTenant = "A host or an X-Tenant that names another tenant is refused with tenant_mismatch."
}

extension Call {
    /// The service's own context for what this call needs of others.
    var systemContext: SystemContext { SystemContext(service: "identity", edge: caller.edge) }
}
