import Contracts
import Core
import Postgres
import Resources

/// The table of roles that tenants have made. Changes take their ``TenantTurn``: what a role allows, who has it and who is an administrator
/// change one after another.
struct RoleStore: Sendable {
    let postgres: PostgresClient
    /// As the role that may look across tenants.
    let system: PostgresClient

    func all(as context: RequestContext) async throws -> TenantRoles {
        try TenantRoles(try await postgres.batch(as: context, [TenantRoles.query(as: context)])[0])
    }

    /// The role of the name, where one of those that every tenant has is known without asking.
    func find(_ name: String, as context: RequestContext) async throws -> Role? {
        if let role = BuiltInRole(rawValue: name) { return .builtIn(role) }
        return try await all(as: context)[name]
    }

    /// Writes a new role; one of the same name that was deleted is there again, with what is new.
    ///
    /// - Throws: ``Problem`` `token_stale`; `forbidden` when it allows more than the caller may; `already_exists` at `/name`; `conflict` when the
    ///   tenant has as many roles as it can.
    func create(
        _ name: String, _ description: String?, _ rights: Rights, key: IdempotencyKey?, as context: RequestContext
    ) async throws -> CustomRole {
        try await postgres.transaction(as: context) { transaction in
            let roles = try await TenantTurn(in: transaction, as: context).roles
            try context.requireCanGrant(name, rights)
            if roles[name] != nil {
                throw Problem.alreadyExists("There is a role of this name.", at: "/name", id: name)
            }
            guard roles.custom.count < CustomRole.maximumCount else {
                throw Problem(.conflict, "A tenant has at most \(CustomRole.maximumCount) roles of its own.")
            }
            let rows = try await transaction.query(
                """
                insert into custom_role (tenant_id, name, description, permissions, scopes, fields, created_by, updated_by)
                values (\(context.tenant), \(name), \(description.sqlValue), \(rights.permissionNames), \(rights.scopesJSON), \(rights.fields.json),
                        \(context.user), \(context.user))
                on conflict on constraint custom_role_pkey do update
                set description = excluded.description, permissions = excluded.permissions, scopes = excluded.scopes,
                    fields = excluded.fields,
                    epoch = custom_role.epoch + 1, epoch_changed_at = now(), version = custom_role.version + 1, deleted_at = null,
                    created_at = now(), created_by = excluded.created_by, updated_at = now(), updated_by = excluded.updated_by
                returning \(CustomRole.columns)
                """)
            let role = try Self.role(rows)
            try await Self.record(role, status: 201, with: key, in: transaction, as: context)
            return role
        }
    }

    /// Changes a role.
    ///
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`, `forbidden` when it allows more than the caller may, before or after;
    ///   `conflict` when no administrator would be left; what ``RoleChange/applied(to:)`` throws.
    func update(
        _ name: String, _ change: RoleChange, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext
    ) async throws -> (role: CustomRole, isOtherRights: Bool) {
        try await postgres.transaction(as: context) { transaction in
            let roles = try await TenantTurn(in: transaction, as: context).roles
            guard case .custom(var role) = roles[name] else { throw Problem.notFound }
            try precondition.check(role.version)
            let before = role.rights
            if !change.isEmpty {
                let after = try change.applied(to: before)
                try context.requireCanGrant(name, before)
                try context.requireCanGrant(name, after)
                if roles.areAdministrators(before), !roles.areAdministrators(after) {
                    try await TenantRoles.requireAdministrator(
                        among: roles.administrators.filter { $0 != name }, in: transaction, as: context)
                }
                role = try await Self.write(change, after, to: role, in: transaction, as: context)
            }
            try await Self.record(role, status: 200, with: key, in: transaction, as: context)
            return (role, isOtherRights: role.rights != before)
        }
    }

    private static func write(
        _ change: RoleChange, _ rights: Rights, to role: CustomRole, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws -> CustomRole {
        let description = change.description.map(\.text) ?? role.description
        let epoch: SQL = rights == role.rights ? "" : "epoch = epoch + 1, epoch_changed_at = now(),"
        return try Self.role(
            try await transaction.query(
                """
                update custom_role set description = \(description.sqlValue), permissions = \(rights.permissionNames), scopes = \(rights.scopesJSON),
                       fields = \(rights.fields.json), \(epoch) version = version + 1, updated_at = now(), updated_by = \(context.user)
                where tenant_id = \(context.tenant) and name = \(role.name) returning \(CustomRole.columns)
                """))
    }

    /// Deletes a role that nobody has.
    ///
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`, `forbidden` when it allows more than the caller may; `conflict`, with
    ///   how many members and open invitations have it.
    func delete(_ name: String, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext) async throws {
        try await postgres.transaction(as: context) { transaction in
            let found = try await TenantTurn(
                in: transaction, as: context,
                [
                    // Who accepts an invitation shares this row: one under way is waited for, and seen by the count.
                    """
                    select \(CustomRole.columns) from custom_role
                    where tenant_id = \(context.tenant) and name = \(name) and deleted_at is null for no key update
                    """,
                    """
                    select
                        (select count(*) from member where tenant_id = \(context.tenant) and role = \(name) and deleted_at is null) as members,
                        (select count(*) from invitation
                         where tenant_id = \(context.tenant) and role = \(name) and deleted_at is null and accepted_at is null
                           and expires_at > now()) as invitations
                    """,
                ]
            ).found
            guard let row = found[0].first, let holders = found[1].first else { throw Problem.notFound }
            let role = try CustomRole(row: row)
            try precondition.check(role.version)
            try context.requireCanGrant(.custom(role))
            try Self.requireUnused(name, members: holders.decode("members"), invitations: holders.decode("invitations"))
            try await transaction.query(
                """
                update custom_role set deleted_at = now(), version = version + 1, updated_at = now(), updated_by = \(context.user)
                where tenant_id = \(context.tenant) and name = \(name)
                """)
            if let key { try await transaction.query(key.insertion(as: context, status: 204, body: [])) }
        }
    }

    private static func requireUnused(_ name: String, members: Int, invitations: Int) throws(Problem) {
        guard members + invitations > 0 else { return }
        throw Problem(
            .conflict,
            "The role \(name) is still needed: members who have it: \(members), open invitations to it: \(invitations).",
            members: [("members", .number(members)), ("invitations", .number(invitations))])
    }

    private static func role(_ rows: PostgresResult) throws -> CustomRole {
        guard let row = rows.first else { throw Problem.internal("a role that is locked is not there") }
        return try CustomRole(row: row)
    }

    private static func record(
        _ role: CustomRole, status: Int, with key: IdempotencyKey?, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws {
        guard let key else { return }
        try await transaction.query(
            key.insertion(as: context, status: status, body: Role.custom(role).json.bytes, etag: EntityTag.of(role.version)))
    }

    // Across tenants.

    /// The epochs of roles changed while a token made before may live.
    func epochs(changedWithin period: Duration, as context: SystemContext) async throws -> [(tenant: TenantID, name: String, epoch: Int64)]
    {
        let rows = try await system.batch(
            as: context,
            [
                """
                select tenant_id, name, epoch from custom_role
                where epoch > 1 and epoch_changed_at > \(Timestamp.now.advanced(by: .zero - period))
                """
            ])[0]
        return try rows.map { (try $0.decode("tenant_id"), try $0.decode("name"), try $0.decode("epoch")) }
    }
}
