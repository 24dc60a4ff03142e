import Core
import Operations
import Postgres
import Resources

/// Asks for those records of other services that the caller does not find in the service's copy yet, once: then he does.
struct RecordDirectory: Sendable {
    let copies: [RecordCopy]
    let postgres: PostgresClient
    let services: ServiceClient

    /// Records in one question.
    private static let askedAtOnce = 200

    /// Whether the caller reads any of the records by now.
    ///
    /// Asked for is each that he does not read in the copy, whether it is there or not, and written down what he reads of the answer, and nothing else:
    /// so neither the time that it takes nor how it fails tells him of records that are not his to read.
    ///
    /// - Throws: ``PostgresError``; ``Problem`` `upstream_unavailable` when the other service cannot say.
    func copy(_ ids: Set<RecordID>, of resource: CopiedResource, as context: RequestContext) async throws -> Bool {
        guard let copy = copies.first(where: { $0.resource.singular == resource.singular }) else { return false }
        func readable(_ rows: SQL) async throws -> Set<RecordID> {
            let query = "select id from " + rows + " and " + resource.reading(as: context)
            return Set(try await postgres.batch(as: context, [query])[0].map { try $0.decode(0, as: RecordID.self) })
        }
        var known = try await readable(
            """
            \(unescaped: resource.table) where tenant_id = \(context.tenant) and id = any (\(ids.sorted())::uuid[]) and deleted_at is null
            """)
        let owner = LogCopy.Owner(
            services: services, name: copy.source, context: SystemContext(service: "resources", edge: context.edge))
        var asked = ids.subtracting(known).sorted()[...]
        while !asked.isEmpty {
            let told = try await copy.ask(owner, for: Array(asked.prefix(Self.askedAtOnce)), of: context.tenant)
                .filter { $0.deletedAt == nil }
            let new = try await readable(
                """
                (select id, owner as owner_id, owner as created_by from unnest(\(told.map(\.id))::uuid[], \(told.map(\.isOf))::uuid[]) as told (id, owner)) \
                as told where true
                """)
            // Each by itself: the follower of the log writes many in another order, and whoever holds one row waits for no other.
            for record in told where new.contains(record.id) {
                _ = try await postgres.batch(as: context, [record.insertion(into: resource.table)])
            }
            known.formUnion(new)
            asked = asked.dropFirst(Self.askedAtOnce)
        }
        return !known.isEmpty
    }
}
