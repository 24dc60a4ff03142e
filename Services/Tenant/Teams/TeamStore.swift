import Core
import Postgres
import Resources

/// The table of teams. Changes take their ``TenantTurn``, so that both sides of who is in a team agree.
struct TeamStore: Sendable {
    let postgres: PostgresClient

    func find(_ id: RecordID, as context: RequestContext) async throws -> Team? {
        let rows = try await postgres.batch(
            as: context,
            ["select \(Team.columns) from team where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null"])[0]
        return try rows.first.map { try Team(row: $0) }
    }

    /// Teams, the oldest first, from behind the cursor.
    func list(after cursor: RecordID?, limit: Int, as context: RequestContext) async throws -> [Team] {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Team.columns) from team
                where tenant_id = \(context.tenant) and deleted_at is null and (\(cursor.sqlValue)::uuid is null or id > \(cursor.sqlValue)::uuid)
                order by id limit \(limit)
                """
            ])[0]
        return try rows.map { try Team(row: $0) }
    }

    /// - Throws: ``Problem`` `token_stale`, `already_exists` at `/name`; `conflict` when the tenant has as many teams as it can; what
    ///   ``TeamPlaces/check(_:joining:_:)`` throws.
    func create(_ name: String, members: [UserID], key: IdempotencyKey?, as context: RequestContext) async throws -> Team {
        try await postgres.transaction(as: context) { transaction in
            let joining = Set(members).sorted()
            let found = try await TenantTurn(
                in: transaction, as: context,
                [
                    Self.namesake(of: name, besides: nil, as: context), TeamPlaces.members(among: joining, as: context),
                    "select count(*) as teams from team where tenant_id = \(context.tenant) and deleted_at is null",
                ]
            ).found
            try Self.refuse(namesake: found[0], as: context)
            try TeamPlaces.check(members, joining: joining, found[1])
            guard try found[2].first?.decode("teams", as: Int.self) ?? 0 < Team.maximumCount else {
                throw Problem(.conflict, "A tenant has at most \(Team.maximumCount) teams.")
            }
            let id = RecordID()
            let written = try await transaction.batch(
                [
                    """
                    insert into team (tenant_id, id, name, name_key, member_ids, created_by, updated_by)
                    values (\(context.tenant), \(id), \(name), \(Team.key(of: name)), \(joining), \(context.user), \(context.user))
                    returning \(Team.columns)
                    """
                ] + TeamPlaces.changes(of: id, joining: joining, leaving: [], as: context))
            let team = try Self.team(written[0])
            try await Self.record(team, status: 201, with: key, in: transaction, as: context)
            return team
        }
    }

    /// What a change sets; `nil` leaves it as it is.
    struct Change: Sendable {
        var name: String?
        /// All members, as a body gives them.
        var members: [UserID]?

        var isEmpty: Bool { name == nil && members == nil }
    }

    /// Changes a team, and the members who join or leave it.
    ///
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`, `already_exists` at `/name`; what ``TeamPlaces/check(_:joining:_:)`` throws.
    func update(
        _ id: RecordID, _ change: Change, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext
    ) async throws -> (team: Team, moved: Int) {
        try await postgres.transaction(as: context) { transaction in
            let found = try await TenantTurn(
                in: transaction, as: context,
                [
                    Self.locking(id, as: context), Self.namesake(of: change.name ?? "", besides: id, as: context),
                    TeamPlaces.members(among: change.members ?? [], as: context),
                ]
            ).found
            guard let row = found[0].first else { throw Problem.notFound }
            var team = try Team(row: row)
            try precondition.check(team.version)
            var moved = 0
            if !change.isEmpty {
                try Self.refuse(namesake: found[1], as: context)
                let members = Set(change.members ?? team.memberIDs)
                let joining = members.subtracting(team.memberIDs).sorted()
                let leaving = Set(team.memberIDs).subtracting(members).sorted()
                try TeamPlaces.check(change.members ?? [], joining: joining, found[2])
                let name = change.name ?? team.name
                let written = try await transaction.batch(
                    [
                        """
                        update team set name = \(name), name_key = \(Team.key(of: name)), member_ids = \(members.sorted()),
                               version = version + 1, updated_at = now(), updated_by = \(context.user)
                        where tenant_id = \(context.tenant) and id = \(id) returning \(Team.columns)
                        """
                    ] + TeamPlaces.changes(of: id, joining: joining, leaving: leaving, as: context))
                team = try Self.team(written[0])
                moved = joining.count + leaving.count
            }
            try await Self.record(team, status: 200, with: key, in: transaction, as: context)
            return (team, moved)
        }
    }

    /// Deletes a team; its members leave it.
    ///
    /// - Returns: how many did.
    /// - Throws: ``Problem`` `token_stale`, `not_found`, `version_mismatch`.
    func delete(_ id: RecordID, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext) async throws -> Int {
        try await postgres.transaction(as: context) { transaction in
            let turn = try await TenantTurn(in: transaction, as: context, [Self.locking(id, as: context)])
            guard let row = turn.found[0].first else { throw Problem.notFound }
            let team = try Team(row: row)
            try precondition.check(team.version)
            try await transaction.batch(
                [
                    """
                    update team set deleted_at = now(), member_ids = '{}', version = version + 1, updated_at = now(),
                           updated_by = \(context.user)
                    where tenant_id = \(context.tenant) and id = \(id)
                    """
                ] + TeamPlaces.changes(of: id, joining: [], leaving: team.memberIDs, as: context)
                    + (key.map { [$0.insertion(as: context, status: 204, body: [])] } ?? []))
            return team.memberIDs.count
        }
    }

    private static func locking(_ id: RecordID, as context: RequestContext) -> SQL {
        """
        select \(Team.columns) from team where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null for no key update
        """
    }

    /// Another team of the name.
    private static func namesake(of name: String, besides id: RecordID?, as context: RequestContext) -> SQL {
        """
        select id from team
        where tenant_id = \(context.tenant) and name_key = \(Team.key(of: name)) and deleted_at is null
          and id is distinct from \(id.sqlValue)::uuid
        """
    }

    /// Which team it is, is told to those who may read it.
    private static func refuse(namesake rows: PostgresResult, as context: RequestContext) throws {
        guard let row = rows.first else { return }
        let isShown = context.permissions.contains(Permission(.teams, .read))
        throw Problem.alreadyExists(
            "There is a team of this name.", at: "/name", id: isShown ? try row.decode("id", as: RecordID.self) : nil)
    }

    private static func team(_ rows: PostgresResult) throws -> Team {
        guard let row = rows.first else { throw Problem.internal("a team that is locked is not there") }
        return try Team(row: row)
    }

    private static func record(
        _ team: Team, status: Int, with key: IdempotencyKey?, in transaction: PostgresTransaction, as context: RequestContext
    ) async throws {
        guard let key else { return }
        try await transaction.query(
            key.insertion(as: context, status: status, body: team.json.bytes, etag: EntityTag.of(team.version)))
    }
}
