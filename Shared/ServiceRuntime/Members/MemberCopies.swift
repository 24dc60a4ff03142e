import Contracts
import Core
import Operations
import Postgres

extension LogCopy {
    /// The members of each tenant and who is in which team: the tables `member_copy` and `team_member_copy`.
    public static let members = LogCopy(
        source: .tenant, aggregate: "member", format: 1,
        statements: { event in
            guard let id = UserID(event.aggregateID) else { throw MalformedEvent(reason: "no id of a user") }
            return try MemberCopy.statements(for: event, of: id)
        },
        removal: { tenant, id in UserID(id).map { [MemberCopy.removal(of: [$0], tenant)] } },
        all: { owner, place in try await MemberCopy.all(owner, after: place) },
        named: { owner, tenant, ids in
            let users = ids.compactMap { UserID($0) }
            let told = try await MemberCopy.told(owner, of: users, tenant)
            let missing = Set(users).subtracting(told.map(\.user))
            return Told([MemberCopy.removal(of: missing.sorted(), tenant)], of: told.map(\.record))
        })
}

/// An event that says less than its kind has to.
struct MalformedEvent: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}

/// A row of `member_copy`, from the tenant service's events or its answer.
///
/// Of events, rows are replaced by later versions only: one that comes again, or after the service was asked, changes nothing.
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

    // MARK: From events

    /// `nil` for an event that tells nothing.
    static func statements(for event: Event, of user: UserID) throws -> [SQL]? {
        let tenant = event.tenant
        if event.kind == Event.gap || event.kind == "member.erased" { return nil }
        let payload = try JSONParser.parse(event.payload)
        // It was erased.
        if payload == .null { return nil }
        guard let after = payload["after"] else { throw MalformedEvent(reason: "no member 'after'") }
        switch event.kind {
        case "member.created":
            guard let member = MemberCopy(user, json: after) else { throw MalformedEvent(reason: "not all of a member") }
            return [member.insertion(of: tenant)]
        case "member.updated", "member.deleted", "member.restored":
            // A patch (RFC 7396) of members that are never null.
            let isRemoved: Bool? =
                switch event.kind {
                case "member.deleted": true
                case "member.restored": false
                default: nil
                }
            let teams = after["teams"].map(Self.ids)
            let version = (after["version"]?.integer).sqlValue
            func text(_ name: String) -> SQLValue { (after[name]?.string).sqlValue }
            let row: SQL = "tenant_id = \(tenant) and user_id = \(user)"
            return [
                """
                update member_copy set email = coalesce(\(text("email")), email), name = coalesce(\(text("name")), name),
                    role = coalesce(\(text("role")), role), teams = coalesce(\(teams.sqlValue)::uuid[], teams),
                    status = coalesce(\(text("status")), status), is_removed = coalesce(\(isRemoved.sqlValue)::boolean, is_removed), version = coalesce(\(version)::bigint, version)
                where \(row) and version < coalesce(\(version)::bigint, version + 1)
                """,
                LogCopy.doubt("member", tenant, user.description, unless: "exists (select from member_copy where \(row))"),
            ]
        default: throw MalformedEvent(reason: "no kind of event that is known of members")
        }
    }

    // MARK: From the tenant service

    /// Members in one page.
    private static let pageLength = 500

    /// Of the users those who are or were members of the tenant: 200 at most.
    ///
    /// - Throws: ``Problem``, `internal` for what is not all of a member.
    static func ask(_ owner: LogCopy.Owner, for users: [UserID], of tenant: TenantID) async throws -> [MemberCopy] {
        try await told(owner, of: users, tenant).map { told throws(Problem) in
            guard let member = told.member else { throw .internal("not all of a member was told") }
            return member
        }
    }

    /// What the tenant service says of the users.
    fileprivate static func told(_ owner: LogCopy.Owner, of users: [UserID], _ tenant: TenantID) async throws -> [Told] {
        if users.isEmpty { return [] }
        let answer = try await owner.ask(
            .post, "/internal/tenants/\(tenant)/members", body: ["users": .array(users.map { .string($0.description) })])
        let told = try told(answer)
        guard told.allSatisfy({ $0.tenant == tenant }) else { throw LogCopy.noAnswer }
        return told
    }

    /// Everybody, in the order of tenants and users.
    static func all(_ owner: LogCopy.Owner, after place: String?) async throws -> LogCopy.Told {
        let answer = try await owner.ask(.get, "/internal/members?limit=\(pageLength)" + (place.map { "&after=\($0)" } ?? ""))
        return try LogCopy.Told(
            page: try told(answer).map(\.record), after: place, next: answer["next"], of: "member_copy", by: "user_id")
    }

    /// What the tenant service says of a user in a tenant.
    fileprivate struct Told {
        var tenant: TenantID
        var user: UserID
        /// `nil` when it is not all of a member.
        var member: MemberCopy?

        var record: LogCopy.Told.Record { .init(tenant, user.description, member?.insertion(of: tenant, isTold: true)) }
    }

    /// - Throws: ``Problem`` `internal` when it does not say whom it tells of.
    private static func told(_ answer: JSON) throws(Problem) -> [Told] {
        guard let data = answer["data"]?.array else { throw LogCopy.noAnswer }
        return try data.map { json throws(Problem) in
            guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let user = json["id"]?.string.flatMap({ UserID($0) })
            else { throw LogCopy.noAnswer }
            return Told(tenant: tenant, user: user, member: MemberCopy(user, json: json))
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

    // MARK: SQL

    /// - Parameter isTold: whether it is what the tenant service has said, to the one process that also applies the events: then nothing later was
    ///   applied, and it stands whatever version is there.
    func insertion(of tenant: TenantID, isTold: Bool = false) -> SQL {
        """
        insert into member_copy (tenant_id, user_id, email, name, role, teams, status, is_removed, version)
        values (\(tenant), \(user), \(email), \(name), \(role), \(teams)::uuid[], \(status), \(isRemoved), \(version))
        on conflict on constraint member_copy_pkey do update set email = excluded.email, name = excluded.name, role = excluded.role,
            teams = excluded.teams, status = excluded.status, is_removed = excluded.is_removed, version = excluded.version
        """ + (isTold ? "" : " where member_copy.version < excluded.version")
    }

    static func removal(of users: [UserID], _ tenant: TenantID) -> SQL {
        "delete from member_copy where tenant_id = \(tenant) and user_id = any (\(users)::uuid[])"
    }
}
