import Contracts
import Core
import Operations
import Postgres

extension LogCopy {
    /// The members of each tenant and who is in which team: the tables `member_copy` and `team_member_copy`.
    public static let members = LogCopy(
        source: .tenant, aggregates: ["member"], format: 1, tables: ["member_copy", "team_member_copy"],
        statements: { event in
            guard let id = UserID(event.aggregateID) else { throw MalformedEvent(reason: "no id of a user") }
            return try MemberCopy.statements(for: event, of: id)
        })
}

/// An event that says less than its kind has to.
struct MalformedEvent: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}

/// A row of `member_copy`, from the tenant service's events or its answer.
///
/// Rows are replaced by later versions only: an event that comes again, or after the service was asked, changes nothing.
struct MemberCopy: Sendable {
    var user: UserID
    var email: String
    var name: String
    var role: String
    var teams: [String]
    var status: String
    var isRemoved: Bool
    var version: Int64

    /// Whether a record can be given to the member.
    var isActive: Bool { status == "active" && !isRemoved }

    static func statements(for event: Event, of user: UserID) throws -> [SQL] {
        let tenant = event.tenant
        // What was lost of a member is asked for when somebody next refers to him.
        if event.kind == Event.gap || event.kind == "member.erased" {
            return ["delete from member_copy where tenant_id = \(tenant) and user_id = \(user)"]
        }
        let payload = try JSONParser.parse(event.payload)
        // The payload was erased: nothing is left to be told.
        if payload == .null { return [] }
        guard let after = payload["after"] else { throw MalformedEvent(reason: "no member 'after'") }
        switch event.kind {
        case "member.created":
            guard let member = MemberCopy(user, json: after) else { throw MalformedEvent(reason: "not all of a member") }
            return [member.insertion(of: tenant)]
        case "member.updated", "member.deleted", "member.restored":
            // A patch (RFC 7396) of members that are never null; a row that is not there is asked for when somebody needs it.
            let isRemoved: Bool? =
                switch event.kind {
                case "member.deleted": true
                case "member.restored": false
                default: nil
                }
            let teams = after["teams"].map(Self.ids)
            let version = (after["version"]?.integer).sqlValue
            func text(_ name: String) -> SQLValue { (after[name]?.string).sqlValue }
            return [
                """
                update member_copy set email = coalesce(\(text("email")), email), name = coalesce(\(text("name")), name),
                    role = coalesce(\(text("role")), role), teams = coalesce(\(teams.sqlValue)::uuid[], teams),
                    status = coalesce(\(text("status")), status), is_removed = coalesce(\(isRemoved.sqlValue)::boolean, is_removed), version = coalesce(\(version)::bigint, version)
                where tenant_id = \(tenant) and user_id = \(user) and version < coalesce(\(version)::bigint, version + 1)
                """
            ]
        default: throw MalformedEvent(reason: "no kind of event that is known of members")
        }
    }

    /// Reads `email`, `name`, `role`, `teams`, `status`, `version` and, of one who was removed, `is_removed`.
    init?(_ user: UserID, json: JSON) {
        guard let email = json["email"]?.string, let name = json["name"]?.string, let role = json["role"]?.string,
            let teams = json["teams"].map(Self.ids), let status = json["status"]?.string, let version = json["version"]?.integer
        else { return nil }
        self.user = user
        self.email = email
        self.name = name
        self.role = role
        self.teams = teams
        self.status = status
        isRemoved = json["is_removed"]?.bool ?? false
        self.version = version
    }

    private static func ids(_ json: JSON) -> [String] { json.array?.compactMap(\.string) ?? [] }

    func insertion(of tenant: TenantID) -> SQL {
        """
        insert into member_copy (tenant_id, user_id, email, name, role, teams, status, is_removed, version)
        values (\(tenant), \(user), \(email), \(name), \(role), \(teams)::uuid[], \(status), \(isRemoved), \(version))
        on conflict on constraint member_copy_pkey do update set email = excluded.email, name = excluded.name, role = excluded.role,
            teams = excluded.teams, status = excluded.status, is_removed = excluded.is_removed, version = excluded.version
        where member_copy.version < excluded.version
        """
    }
}
