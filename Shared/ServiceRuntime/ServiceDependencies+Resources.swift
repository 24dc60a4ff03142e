import Core
import Operations
import Resources
import Synchronization

extension ServiceDependencies {
    /// Sets declared resources to work on the service's database.
    ///
    /// - Throws: ``DeclarationFault`` when one refers to a resource that is not among them: the service does not start.
    public func resources(_ definitions: ResourceDefinition...) throws -> [Resource] {
        let catalogue = try ResourceCatalogue(definitions)
        let directory = MemberDirectory(services: services)
        let references = ReferenceResolvers { context, users in try await directory.members(among: users, of: context) }
        let cursors = CursorSigner(signer: signer)
        return definitions.map { Resource($0, among: catalogue, postgres: postgres, references: references, cursors: cursors) }
    }
}

extension ServiceParts {
    /// A service that consists of resources, and what else is given.
    public init(_ resources: [Resource], routes: [Route] = [], workers: [any Worker] = []) {
        self.init(routes: resources.flatMap(\.routes) + routes, schemas: resources.flatMap(\.schemas), workers: workers)
    }
}

/// Knows who is a member of a tenant: asks the tenant service, and remembers a yes for a minute, since imports and batches name the
/// same owners again and again. A no is not remembered: the member may just have joined.
final class MemberDirectory: Sendable {
    private struct Key: Hashable {
        var tenant: TenantID
        var user: UserID
    }

    private static let lifetime: Duration = .seconds(60)
    private static let capacity = 10_000
    /// Users in one question.
    private static let askedAtOnce = 200
    private let services: ServiceClient
    private let known = Mutex<[Key: ContinuousClock.Instant]>([:])

    init(services: ServiceClient) { self.services = services }

    /// Those of the users who are members, asked for in one call.
    ///
    /// - Throws: ``Problem`` `upstream_unavailable` when the tenant service cannot say.
    func members(among users: Set<UserID>, of context: RequestContext) async throws -> Set<UserID> {
        let now = ContinuousClock.now
        let remembered = known.withLock { known in
            users.filter { user in known[Key(tenant: context.tenant, user: user)].map { $0 > now } ?? false }
        }
        let unknown = users.subtracting(remembered)
        if unknown.isEmpty { return users }
        guard unknown.count <= Self.askedAtOnce else {
            let first = Set(unknown.sorted().prefix(Self.askedAtOnce))
            return try await members(among: first, of: context).union(members(among: users.subtracting(first), of: context))
        }
        let answer = try await services.call(
            .tenant, .post, "/internal/tenants/\(context.tenant)/members",
            body: ["users": .array(unknown.sorted().map { .string($0.description) })],
            as: SystemContext(service: "resources", edge: context.edge))
        guard answer.status == 200, let data = answer.json["data"]?.array else {
            throw Problem(
                .upstreamUnavailable, "It cannot be told at the moment who is a member.", retryAfter: 1, context: "status \(answer.status)")
        }
        let members = Set(data.compactMap { $0.string.flatMap { UserID($0) } })
        known.withLock { known in
            if known.count + members.count > Self.capacity { known.removeAll() }
            for user in members { known[Key(tenant: context.tenant, user: user)] = now + Self.lifetime }
        }
        return remembered.union(members)
    }
}
