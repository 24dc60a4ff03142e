import Contracts
import Core
import Postgres
import Resources
import ServiceRuntime

/// The table of members.
struct MemberStore: Sendable {
    let postgres: PostgresClient
    /// As the role that may look across tenants.
    let system: PostgresClient

    func find(_ id: UserID, as context: RequestContext) async throws -> Member? {
        let rows = try await postgres.batch(
            as: context,
            ["select \(Member.columns) from member where tenant_id = \(context.tenant) and user_id = \(id) and deleted_at is null"])[0]
        return try rows.first.map { try Member(row: $0) }
    }

    /// Seats taken: of all who were not removed.
    func count(as context: RequestContext) async throws -> Int {
        let rows = try await postgres.batch(
            as: context,
            ["select count(*) as members from member where tenant_id = \(context.tenant) and deleted_at is null"])[0]
        return try rows.first?.decode("members") ?? 0
    }

    /// Which members, and in what order.
    struct Filter: Sendable {
        /// A role's name.
        var role: String?
        var isActive: Bool?
        var isDescending = false
    }

    /// Members by the time they joined, from behind the cursor.
    func list(
        _ filter: Filter, after cursor: (createdAt: Timestamp, id: UserID)?, limit: Int, as context: RequestContext
    ) async throws -> [Member] {
        var conditions: [SQL] = ["tenant_id = \(context.tenant)", "deleted_at is null"]
        if let role = filter.role { conditions.append("role = \(role)") }
        if let isActive = filter.isActive { conditions.append("status = \(isActive ? "active" : "disabled")") }
        if let cursor {
            let order = filter.isDescending ? "<" : ">"
            conditions.append(
                "(created_at, user_id) \(unescaped: order) (\(cursor.createdAt)::timestamptz, \(cursor.id)::uuid)")
        }
        let direction = filter.isDescending ? "desc" : "asc"
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Member.columns) from member where \(SQL.joined(conditions, separator: " and "))
                order by created_at \(unescaped: direction), user_id \(unescaped: direction) limit \(limit)
                """
            ])[0]
        return try rows.map { try Member(row: $0) }
    }

    /// What is done to a member.
    struct Change: Sendable {
        /// The name of another role.
        var role: String?
        var isActive: Bool?
        /// The ids of all teams that he is to be in.
        var teams: [RecordID]?
        var isRemoval = false

        var isEmpty: Bool { !makesTokensStale && teams == nil }

        /// Teams are in no token: whose records they open is looked up where the records are.
        var makesTokensStale: Bool { role != nil || isActive != nil || isRemoval }
    }

    /// Changes or removes a member; who is removed leaves all teams.
    ///
    /// - Returns: the member as he is then, and how many teams he has entered or left.
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`, `forbidden` when a role beyond the caller's is involved, `conflict`
    ///   when no administrator would be left, `validation_failed` for a role that is not there, and what ``TeamPlaces`` throws.
    func change(
        _ id: UserID, _ change: Change, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext
    ) async throws -> (member: Member, moved: Int) {
        try await postgres.transaction(as: context) { transaction in
            let turn = try await TenantTurn(
                in: transaction, as: context,
                [
                    """
                    select \(Member.columns) from member
                    where tenant_id = \(context.tenant) and user_id = \(id) and deleted_at is null for no key update
                    """
                ])
            guard let row = turn.found[0].first else { throw Problem.notFound }
            var member = try Member(row: row)
            let teams = Set(member.teams)
            try precondition.check(member.version)
            if !change.isEmpty {
                try Self.requireCanGrant(change, to: member, turn.roles, as: context)
                try await Self.requireAdministrator(besides: member, after: change, turn.roles, in: transaction, as: context)
                member = try await Self.apply(change, to: member, in: transaction, as: context)
            }
            if let key {
                let answer =
                    change.isRemoval
                    ? key.insertion(as: context, status: 204, body: [])
                    : key.insertion(as: context, status: 200, body: member.json.bytes, etag: EntityTag.of(member.version))
                try await transaction.query(answer)
            }
            return (member, moved: teams.symmetricDifference(member.teams).count)
        }
    }

    private static func requireCanGrant(
        _ change: Change, to member: Member, _ roles: TenantRoles, as context: RequestContext
    ) throws(Problem) {
        let role = try change.role.map { name throws(Problem) in try roles.require(name) }
        if change.makesTokensStale { try context.requireCanGrant(member.role, roles.rights(of: member.role)) }
        if let role { try context.requireCanGrant(role) }
    }

    private static func requireAdministrator(
        besides member: Member, after change: Change, _ roles: TenantRoles, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws {
        let administrators = roles.administrators
        let stays = !change.isRemoval && change.isActive ?? member.isActive && administrators.contains(change.role ?? member.role)
        guard member.isActive, administrators.contains(member.role), !stays else { return }
        try await TenantRoles.requireAdministrator(among: administrators, besides: member.id, in: transaction, as: context)
    }

    private static func apply(
        _ change: Change, to member: Member, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws -> Member {
        let status = (change.isActive ?? member.isActive) ? "active" : "disabled"
        let removal: SQL = change.isRemoval ? ", deleted_at = now()" : ""
        let epoch: SQL = change.makesTokensStale ? "epoch = epoch + 1, epoch_changed_at = now()," : ""
        var teams = member.teams
        if let wanted = change.isRemoval ? [] : change.teams {
            teams = Set(wanted).sorted()
            try await TeamPlaces.move(member, to: wanted, in: transaction, as: context)
        }
        let rows = try await transaction.query(
            """
            update member set role = \(change.role ?? member.role), status = \(status), teams = \(teams)\(removal),
                   \(epoch) version = version + 1, updated_at = now(), updated_by = \(context.user)
            where tenant_id = \(context.tenant) and user_id = \(member.id) returning \(Member.columns)
            """)
        guard let row = rows.first else { throw Problem.notFound }
        return try Member(row: row)
    }

    /// The statement that makes a person a member, or one again who was removed. It returns no row for one who is a member.
    static func joining(_ person: Person, role: String, invitedBy inviter: UserID, as context: RequestContext) -> SQL {
        """
        insert into member (tenant_id, user_id, email, name, role, created_by, updated_by)
        values (\(context.tenant), \(person.id), \(person.email), \(person.name), \(role), \(inviter), \(inviter))
        on conflict on constraint member_pkey do update
        set email = excluded.email, name = excluded.name, role = excluded.role, status = 'active', deleted_at = null,
            epoch = member.epoch + 1, epoch_changed_at = now(), version = member.version + 1, updated_at = now(),
            updated_by = excluded.updated_by
        where member.deleted_at is not null
        returning \(Member.columns)
        """
    }

    // Across tenants.

    /// The epochs of members changed while a token made before may live.
    func epochs(changedWithin period: Duration, as context: SystemContext) async throws -> [(tenant: TenantID, user: UserID, epoch: Int64)]
    {
        let rows = try await system.batch(
            as: context,
            [
                """
                select tenant_id, user_id, epoch from member
                where epoch > 1 and epoch_changed_at > \(Timestamp.now.advanced(by: .zero - period))
                """
            ])[0]
        return try rows.map { (try $0.decode("tenant_id"), try $0.decode("user_id"), try $0.decode("epoch")) }
    }

    /// What other services keep of those of the users who are or were members of the tenant.
    func known(among users: [UserID], of tenant: TenantID, as context: SystemContext) async throws -> [JSON] {
        let rows = try await system.batch(
            as: context,
            [
                "select \(Self.toldColumns) from member where tenant_id = \(tenant) and user_id = any (\(users)::uuid[])"
            ])[0]
        return try rows.map(Self.told)
    }

    /// The same of everybody, and one more than the page has if more follow.
    func all(_ page: CopyPage, as context: SystemContext) async throws -> [JSON] {
        try await system.batch(as: context, ["select \(Self.toldColumns) from member " + page.clause(by: "user_id")])[0].map(Self.told)
    }

    private static let toldColumns: SQL =
        "tenant_id, user_id, email, name, role, teams, status, deleted_at is not null as is_removed, version"

    private static func told(_ row: PostgresRow) throws -> JSON {
        [
            "tenant": .string(try row.decode("tenant_id")), "id": .string(try row.decode("user_id")),
            "email": .string(try row.decode("email")), "name": .string(try row.decode("name")), "role": .string(try row.decode("role")),
            "teams": .array(try row.decode("teams", as: [String].self).map { .string($0) }), "status": .string(try row.decode("status")),
            "is_removed": .bool(try row.decode("is_removed")), "version": .number(try row.decode("version", as: Int64.self)),
        ]
    }
}
