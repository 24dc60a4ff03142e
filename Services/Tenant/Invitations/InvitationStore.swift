import Contracts
import Core
import Postgres
import Resources

/// The table of invitations.
struct InvitationStore: Sendable {
    let postgres: PostgresClient

    /// Writes an invitation; an expired one to the same address makes room.
    ///
    /// - Parameter role: its name. It cannot be deleted meanwhile, as that takes its ``TenantTurn`` too.
    /// - Throws: ``Problem`` `token_stale`; `validation_failed` for a role that is not there, `forbidden` for one beyond the caller's;
    ///   `already_exists` at `/email`, with the id for those who may read it, when the address is a member's or has an open invitation;
    ///   `conflict` when what was in the way has gone meanwhile.
    func create(_ email: EmailAddress, role: String, token: InvitationToken, as context: RequestContext) async throws -> Invitation {
        try await postgres.transaction(as: context) { transaction in
            let turn = try await TenantTurn(in: transaction, as: context)
            try context.requireCanGrant(turn.roles.require(role))
            let results = try await transaction.batch(Self.creation(email, role: role, token: token, as: context))
            if let row = results[1].first { return try Invitation(row: row) }
            guard let present = results[2].first else {
                throw Problem(.conflict, "Who has this address has changed at the same moment. Try again.")
            }
            let isMember = try present.decode("is_member", as: Bool.self)
            let isShown = context.permissions.contains(Permission(.members, .read))
            throw Problem.alreadyExists(
                isMember ? "There is a member with this address." : "There is an open invitation to this address.", at: "/email",
                id: isShown ? try present.decode("id", as: RecordID.self) : nil)
        }
    }

    private static func creation(_ email: EmailAddress, role: String, token: InvitationToken, as context: RequestContext) -> [SQL] {
        let expiry = Timestamp.now.advanced(by: Invitation.lifetime)
        return [
            """
            update invitation set deleted_at = now(), updated_at = now(), updated_by = \(context.user), version = version + 1
            where tenant_id = \(context.tenant) and email_key = \(email.key) and deleted_at is null and accepted_at is null
              and (expires_at <= now() or not exists (
                  select from member where tenant_id = \(context.tenant) and user_id = invitation.created_by
                      and status = 'active' and deleted_at is null))
            """,
            """
            insert into invitation (tenant_id, email, email_key, role, token_hash, expires_at, created_by, updated_by)
            select \(context.tenant)::uuid, \(email.text), \(email.key), \(role), \(token.hash), \(expiry)::timestamptz,
                   \(context.user)::uuid, \(context.user)::uuid
            where not exists (
                select from member where tenant_id = \(context.tenant)::uuid and lower(email) = \(email.key) and deleted_at is null)
            on conflict (tenant_id, email_key) where deleted_at is null and accepted_at is null do nothing
            returning \(Invitation.columns)
            """,
            // What was in the way. A statement of its own, so that it sees what the one above has waited for.
            """
            select id, true as is_member from member
            where tenant_id = \(context.tenant) and lower(email) = \(email.key) and deleted_at is null
            union all
            select id, false from invitation
            where tenant_id = \(context.tenant) and email_key = \(email.key) and deleted_at is null and accepted_at is null
            order by is_member desc limit 1
            """,
        ]
    }

    func find(_ id: RecordID, as context: RequestContext) async throws -> Invitation? {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Invitation.columns) from invitation
                where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null
                """
            ])[0]
        return try rows.first.map { try Invitation(row: $0) }
    }

    /// Invitations that were not withdrawn, the newest first, those before the cursor.
    func list(before cursor: RecordID?, limit: Int, as context: RequestContext) async throws -> [Invitation] {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Invitation.columns) from invitation
                where tenant_id = \(context.tenant) and deleted_at is null
                  and (\(cursor.map(\.sqlValue) ?? .null)::uuid is null or id < \(cursor.map(\.sqlValue) ?? .null)::uuid)
                order by id desc limit \(limit)
                """
            ])[0]
        return try rows.map { try Invitation(row: $0) }
    }

    /// Withdraws an invitation that was not accepted.
    ///
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`, `conflict` when it was accepted.
    func delete(_ id: RecordID, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext) async throws {
        try await postgres.transaction(as: context) { transaction in
            let turn = try await TenantTurn(
                in: transaction, as: context,
                [
                    """
                    select \(Invitation.columns) from invitation
                    where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null for update
                    """
                ])
            guard let row = turn.found[0].first else { throw Problem.notFound }
            let invitation = try Invitation(row: row)
            try precondition.check(invitation.version)
            guard invitation.acceptedAt == nil else { throw Problem(.conflict, "The invitation was accepted. Remove the member instead.") }
            try await transaction.query(
                """
                update invitation set deleted_at = now(), updated_at = now(), updated_by = \(context.user), version = version + 1
                where tenant_id = \(context.tenant) and id = \(id)
                """)
            if let key { try await transaction.query(key.insertion(as: context, status: 204, body: [])) }
        }
    }
}
