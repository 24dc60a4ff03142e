import Core
import Postgres

/// Who is in which team is kept on both sides, in `member.teams` and `team.member_ids`, so that each object is one row with a version of
/// its own, and each side's events tell it. Whoever changes one side changes the other here, in a transaction that holds the tenant's row.
enum TeamPlaces {
    /// Has the member enter and leave teams, on the teams' side; his own row is the caller's to write.
    ///
    /// - Parameter wanted: all teams that he is to be in, as a body gives them.
    /// - Throws: ``Problem`` `reference_not_found` at `/teams/…`, or `validation_failed` for a team that is full.
    static func move(
        _ member: Member, to wanted: [RecordID], in transaction: PostgresTransaction, as context: RequestContext
    ) async throws {
        let entered = Set(wanted).subtracting(member.teams).sorted()
        let left = Set(member.teams).subtracting(wanted).sorted()
        if !entered.isEmpty {
            let found = try await transaction.query(
                """
                select id, cardinality(member_ids) as places from team
                where tenant_id = \(context.tenant) and id = any (\(entered)::uuid[]) and deleted_at is null
                """)
            try check(wanted, entering: entered, found, at: "/teams", maximum: Team.maximumMembers) { isFull in
                isFull ? "This team has \(Team.maximumMembers) members: it is full." : "There is no such team."
            }
        }
        let changes = changes(of: "team", key: "id", "member_ids", entered, left, member.id.sqlValue, as: context)
        if !changes.isEmpty { try await transaction.batch(changes) }
    }

    /// The members among those, for ``check(_:joining:_:)``.
    static func members(among ids: [UserID], as context: RequestContext) -> SQL {
        """
        select user_id as id, cardinality(teams) as places from member
        where tenant_id = \(context.tenant) and user_id = any (\(ids)::uuid[]) and deleted_at is null
        """
    }

    /// - Throws: ``Problem`` `reference_not_found` at `/member_ids/…`, or `validation_failed` for one who is in as many teams as he can be.
    static func check(_ given: [UserID], joining: [UserID], _ found: PostgresResult) throws {
        try check(given, entering: joining, found, at: "/member_ids", maximum: Team.maximumPerMember) { isFull in
            isFull ? "This member is in \(Team.maximumPerMember) teams already." : "There is no such member."
        }
    }

    /// The statements that write on the members' side who joins and who leaves a team.
    static func changes(of team: RecordID, joining: [UserID], leaving: [UserID], as context: RequestContext) -> [SQL] {
        let changes = changes(of: "member", key: "user_id", "teams", joining, leaving, team.sqlValue, as: context)
        guard joining.count + leaving.count > 1 else { return changes }
        // In the order in which their names are written (LogCopy.memberNames), or each of two could wait for the other.
        let turn: SQL = """
            select from member where tenant_id = \(context.tenant) and user_id = any (\(joining + leaving)::uuid[])
            order by user_id for no key update
            """
        return [turn] + changes
    }

    private static func changes<Kind>(
        of table: SQL, key: SQL, _ column: SQL, _ entered: [Identifier<Kind>], _ left: [Identifier<Kind>], _ other: SQLValue,
        as context: RequestContext
    ) -> [SQL] {
        func change(_ ids: [Identifier<Kind>], _ list: SQL) -> SQL {
            """
            update \(table) set \(column) = \(list), version = version + 1, updated_at = now(), updated_by = \(context.user)
            where tenant_id = \(context.tenant) and \(key) = any (\(ids)::uuid[])
            """
        }
        var statements: [SQL] = []
        if !entered.isEmpty { statements.append(change(entered, "array(select unnest(\(column) || \(other)::uuid) order by 1)")) }
        if !left.isEmpty { statements.append(change(left, "array_remove(\(column), \(other)::uuid)")) }
        return statements
    }

    private static func check<Kind>(
        _ given: [Identifier<Kind>], entering: [Identifier<Kind>], _ found: PostgresResult, at pointer: String, maximum: Int,
        detail: (_ isFull: Bool) -> String
    ) throws {
        var places: [Identifier<Kind>: Int] = [:]
        for row in found { places[try row.decode("id")] = try row.decode("places") }
        let entering = Set(entering)
        var faults = FaultList()
        var isMissing = false
        for (index, id) in given.enumerated() where entering.contains(id) {
            guard let taken = places[id] else {
                isMissing = true
                faults.add(.referenceNotFound, at: "\(pointer)/\(index)", detail(false))
                continue
            }
            if taken >= maximum { faults.add(.tooMany, at: "\(pointer)/\(index)", detail(true)) }
        }
        if isMissing { throw Problem(.referenceNotFound, detail(false), faults: faults.faults) }
        try faults.finish()
    }
}
