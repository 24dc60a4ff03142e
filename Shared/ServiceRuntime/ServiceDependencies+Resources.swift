import Core
import Operations
import Resources
import Synchronization

extension ServiceDependencies {
    /// Sets declared resources to work on the service's database.
    public func resources(_ definitions: ResourceDefinition...) -> [Resource] {
        let directory = MemberDirectory(services: services)
        let references = ReferenceResolvers { context, user in try await directory.isMember(user, of: context) }
        let cursors = CursorSigner(signer: signer)
        return definitions.map { Resource($0, postgres: postgres, references: references, cursors: cursors) }
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
    private let services: ServiceClient
    private let known = Mutex<[Key: ContinuousClock.Instant]>([:])

    init(services: ServiceClient) { self.services = services }

    /// - Throws: ``Problem`` `upstream_unavailable` when the tenant service cannot say.
    func isMember(_ user: UserID, of context: RequestContext) async throws -> Bool {
        let key = Key(tenant: context.tenant, user: user)
        let now = ContinuousClock.now
        if let until = known.withLock({ $0[key] }), until > now { return true }
        let answer = try await services.call(
            .tenant, .get, "/internal/tenants/\(context.tenant)/members/\(user)",
            as: SystemContext(service: "resources", edge: context.edge))
        switch answer.status {
        case 204:
            known.withLock { known in
                if known.count >= Self.capacity { known.removeAll() }
                known[key] = now + Self.lifetime
            }
            return true
        case 404: return false
        default:
            throw Problem(
                .upstreamUnavailable, "It cannot be told at the moment who is a member.", retryAfter: 1, context: "status \(answer.status)")
        }
    }
}
