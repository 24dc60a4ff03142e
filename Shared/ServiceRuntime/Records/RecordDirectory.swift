import Core
import Operations
import Postgres
import Resources

/// Asks for those records of other services that are not in the service's copy yet, once: then they are.
struct RecordDirectory: Sendable {
    let copies: [RecordCopy]
    let postgres: PostgresClient
    let services: ServiceClient

    /// Records in one question.
    private static let askedAtOnce = 200

    /// Whether there were records that the copy did not have. Whether the caller may read them, it says as of any other.
    ///
    /// - Throws: ``PostgresError``; ``Problem`` `upstream_unavailable` when the other service cannot say.
    func copy(_ ids: Set<RecordID>, of resource: CopiedResource, as context: RequestContext) async throws -> Bool {
        guard let copy = copies.first(where: { $0.resource.singular == resource.singular }) else { return false }
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select id from \(unescaped: resource.table) where tenant_id = \(context.tenant) and id = any (\(ids.sorted())::uuid[])
                """
            ])[0]
        let known = try rows.map { try $0.decode(0, as: RecordID.self) }
        let owner = LogCopy.Owner(
            services: services, name: copy.source, context: SystemContext(service: "resources", edge: context.edge))
        var isNew = false
        var asked = ids.subtracting(known).sorted()[...]
        while !asked.isEmpty {
            // Each by itself: the follower of the log writes many in another order, and whoever holds one row waits for no other.
            for record in try await copy.ask(owner, for: Array(asked.prefix(Self.askedAtOnce)), of: context.tenant) {
                _ = try await postgres.batch(as: context, [record.insertion(into: resource.table)])
                isNew = true
            }
            asked = asked.dropFirst(Self.askedAtOnce)
        }
        return isNew
    }
}
