import Core
import Operations
import Postgres

/// Knows who is a member of a tenant, from the service's own copy. Who is not in it yet is asked for once at the tenant service, and
/// then is. Who was removed is in it as that, and nobody is asked.
struct MemberDirectory: Sendable {
    let postgres: PostgresClient
    let services: ServiceClient

    /// Users in one question.
    private static let askedAtOnce = 200

    /// Those of the users who are active members.
    ///
    /// - Throws: ``PostgresError``; ``Problem`` `upstream_unavailable` when one is not in the copy and the tenant service cannot say.
    func members(among users: Set<UserID>, of context: RequestContext) async throws -> Set<UserID> {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select user_id, status = 'active' and not is_removed from member_copy
                where tenant_id = \(context.tenant) and user_id = any (\(users.sorted())::uuid[])
                """
            ])[0]
        var active: Set<UserID> = []
        var unknown = users
        for row in rows {
            let user = try row.decode(0, as: UserID.self)
            unknown.remove(user)
            if try row.decode(1) { active.insert(user) }
        }
        var asked = unknown.sorted()[...]
        while !asked.isEmpty {
            let found = try await ask(Array(asked.prefix(Self.askedAtOnce)), of: context)
            active.formUnion(found.lazy.filter(\.isActive).map(\.user))
            asked = asked.dropFirst(Self.askedAtOnce)
        }
        return active
    }

    /// Those whom the tenant service knows, who are in the copy from then on. An event that came meanwhile has the later version.
    private func ask(_ users: [UserID], of context: RequestContext) async throws -> [MemberCopy] {
        let tenants = LogCopy.Owner(
            services: services, name: .tenant, context: SystemContext(service: "resources", edge: context.edge))
        let members = try await MemberCopy.ask(tenants, for: users, of: context.tenant)
        // Each by itself: the follower of the log writes many in another order, and whoever holds one row waits for no other.
        for member in members { _ = try await postgres.batch(as: context, [member.insertion(of: context.tenant)]) }
        return members
    }
}
