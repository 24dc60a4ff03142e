import Contracts
import Core
import Postgres
import Resources

/// The table of invitations.
struct InvitationStore: Sendable {
    let postgres: PostgresClient

    /// Writes an invitation; an expired one to the same address makes room.
    ///
    /// - Throws: ``Problem`` `already_exists` at `/email`, with the id, when the address is a member's or has an open invitation;
    ///   `conflict` when what was in the way has gone meanwhile, or the role has.
    func create(_ email: EmailAddress, role: Role, token: InvitationToken, as context: RequestContext) async throws -> Invitation {
        let expiry = Timestamp.now.advanced(by: Invitation.lifetime)
        let (hold, isThere) = Self.hold(role, as: context)
        let results = try await postgres.batch(
            as: context,
            [
                hold,
                """
                update invitation set deleted_at = now(), updated_at = now(), updated_by = \(context.user), version = version + 1
                where tenant_id = \(context.tenant) and email_key = \(email.key) and deleted_at is null and accepted_at is null
                  and (expires_at <= now() or not exists (
                      select from member where tenant_id = \(context.tenant) and user_id = invitation.created_by
                          and status = 'active' and deleted_at is null))
                """,
                """
                insert into invitation (tenant_id, email, email_key, role, token_hash, expires_at, created_by, updated_by)
                select \(context.tenant)::uuid, \(email.text), \(email.key), \(role.name), \(token.hash), \(expiry)::timestamptz,
                       \(context.user)::uuid, \(context.user)::uuid
                where not exists (
                    select from member where tenant_id = \(context.tenant)::uuid and lower(email) = \(email.key) and deleted_at is null)
                  and \(isThere)
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
            ])
        if let row = results[2].first { return try Invitation(row: row) }
        guard let present = results[3].first else {
            throw Problem(.conflict, "Who has this address, or the role, has changed at the same moment. Try again.")
        }
        let detail =
            try present.decode("is_member") ? "There is a member with this address." : "There is an open invitation to this address."
        throw Problem.alreadyExists(
            detail, id: try present.decode("id", as: RecordID.self), isRestorable: false,
            faults: [.init(pointer: "/email", code: .alreadyExists, detail: detail)])
    }

    /// What keeps a role of the tenant's own from being deleted before the invitation is there, and the condition that it was not deleted
    /// already. The insert sees what the hold has waited for.
    private static func hold(_ role: Role, as context: RequestContext) -> (hold: SQL, isThere: SQL) {
        guard case .custom(let custom) = role else { return ("select", "true") }
        let row: SQL = "from custom_role where tenant_id = \(context.tenant) and name = \(custom.name) and deleted_at is null"
        return ("select \(row) for share", "exists (select \(row))")
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
    /// - Throws: ``Problem`` `not_found`, `version_mismatch`, `conflict` when it was accepted.
    func delete(_ id: RecordID, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext) async throws {
        try await postgres.transaction(as: context) { transaction in
            let rows = try await transaction.query(
                """
                select \(Invitation.columns) from invitation
                where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null for update
                """)
            guard let row = rows.first else { throw Problem.notFound }
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
