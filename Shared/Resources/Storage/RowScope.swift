import Core
import Postgres

// Whose records the caller reaches: the one place where the row scope becomes SQL. The owners of the scope `team` are looked up in the service's
// copy of who is in which team, in the statement itself, so that there is nothing in between that could be old.

extension Referable {
    /// The condition on one record, found by its key; `nil` for everybody's. A record of one's own is not looked for in the teams.
    func reach(of context: RequestContext) -> SQL? {
        context.scopes[permissions] == .all ? nil : reach(of: context, owner: "\(unescaped: ownerKey)")
    }

    /// The same for a record that belongs to whom the expression names.
    func reach(of context: RequestContext, owner: SQL) -> SQL? {
        switch context.scopes[permissions] {
        case .all: nil
        case .own: owner + " = \(context.user)"
        case .team: "(" + owner + " = \(context.user) or " + owner + " in (\(teammates(of: context))))"
        case .none: "false"
        }
    }
}

extension ResourceDefinition {
    /// The condition of a list; `nil` for everybody's.
    func scope(of context: RequestContext) -> Condition? {
        switch context.scopes[permissions] {
        case .all: nil
        case .own: Condition("\(unescaped: ownerKey) = \(context.user)", .value(of: owner, inOrderOfCreation: true))
        case .team: Condition(owners: teammates(of: context) + " union select \(context.user)", key: ownerKey)
        case .none: Condition("false", .values)
        }
    }

    /// Whose record it is: the owner's, or while it has none, whoever has made it. Not `coalesce`, which the server takes for leaky, so that
    /// it would reach no index under row security.
    var ownerKey: String { ownerKey(of: "") }

    /// The same with the owner of another row.
    ///
    /// - Parameter row: what goes before the column's name.
    func ownerKey(of row: String) -> String {
        owner == "created_by" ? owner : "case when \(row)\(owner) is null then created_by else \(row)\(owner) end"
    }
}

/// Who shares a team with the caller; he is among them himself, if he is in one.
private func teammates(of context: RequestContext) -> SQL {
    """
    select theirs.user_id from team_member_copy as mine join team_member_copy as theirs \
    on theirs.tenant_id = mine.tenant_id and theirs.team_id = mine.team_id \
    where mine.tenant_id = \(context.tenant) and mine.user_id = \(context.user)
    """
}

/// Records of any of the owners that a statement finds.
struct Owners: Sendable {
    /// Selects them.
    let query: SQL
    /// What a record's owner is called (``ResourceDefinition/ownerKey``).
    let key: String

    /// The condition where rows are walked: each is looked up in what the query gave.
    var condition: SQL { Self.isAmong(query, key) }

    /// The condition where rows are found by it: the owners' index is asked for each of them.
    var lookup: SQL { "\(unescaped: key) = any(array(\(query)))" }

    /// Looks up in a hash table: without `is true` the server would be free to go through all owners for each row.
    private static func isAmong(_ query: SQL, _ key: String) -> SQL { "(\(unescaped: key) in (\(query))) is true" }

    /// So many owners are each asked for their first records; of more the records are walked in the list's order, where some
    /// of theirs come up soon.
    private static let few = 200

    /// The first rows in the order of creation, under the other conditions.
    ///
    /// A first look at a few rows of each owner tells by when enough for the page are found; the second has of each owner those up to then, for
    /// twenty owners hardly more than the page. Their places are gathered and sorted, and the rows themselves read for those that are on the
    /// page: a row is wide.
    func rows(of table: String, _ conditions: [SQL], isDescending: Bool, limit: Int) -> SQL {
        let direction = isDescending ? "desc" : "asc"
        let order: SQL = " order by created_at \(unescaped: direction), id \(unescaped: direction) limit "
        // Of one owner more than the page has, of several together about as many.
        let each: SQL = "1 + \(unescaped: String(limit * 5 / 2)) / count(*)"
        let before: SQL = "\(unescaped: String(limit - 1))"
        let limit: SQL = "\(unescaped: String(limit))"
        func find(_ columns: SQL, _ condition: SQL, limit: SQL) -> SQL {
            "select " + columns + " from \(unescaped: table) where " + SQL.joined(conditions + [condition], separator: " and ") + order
                + limit
        }
        let own: SQL = "\(unescaped: key) = owners.owner"
        let place: SQL = "ctid as place, created_at, id"
        let isReached: SQL = " and created_at \(unescaped: isDescending ? ">=" : "<=") (select at from bound)"
        return """
            select * from \(unescaped: table) where ctid = any(array(\
            with owners (owner) as materialized (\(query)), \
            few as (select count(*) <= \(unescaped: String(Self.few)) as are, \(each) as each from owners), \
            bound as materialized (select coalesce((\
            select near.created_at from owners cross join lateral (\(find("created_at", own, limit: "(select each from few)"))) as near \
            where (select are from few) order by near.created_at \(unescaped: direction) offset \(before) limit 1\
            ), \(unescaped: isDescending ? "'-infinity'" : "'infinity'")) as at) \
            select place from (\
            select near.* from owners cross join lateral (\(find(place, own + isReached, limit: limit))) as near where (select are from few) \
            union all \
            select * from (\(find(place, "(select not are from few) and \(Self.isAmong("select owner from owners", key))", limit: limit))) as walked\
            ) as found\(order)\(limit)))
            """
    }
}

extension Condition {
    /// The condition that a record is of one of the owners.
    init(owners query: SQL, key: String) {
        let owners = Owners(query: query, key: key)
        self.init(owners.condition, .owners)
        self.owners = owners
    }
}
