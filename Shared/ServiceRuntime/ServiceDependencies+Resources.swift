import Core
import Resources

extension ServiceDependencies {
    /// Sets declared resources to work on the service's database.
    ///
    /// - Throws: ``DeclarationFault`` when one refers to a resource that is not among them: the service does not start.
    public func resources(_ definitions: ResourceDefinition...) throws -> [Resource] {
        let catalogue = try ResourceCatalogue(definitions)
        let directory = MemberDirectory(postgres: postgres, services: services)
        let references = ReferenceResolvers { context, users in try await directory.members(among: users, of: context) }
        let cursors = CursorSigner(signer: signer)
        return definitions.map { Resource($0, among: catalogue, postgres: postgres, references: references, cursors: cursors) }
    }
}

extension ServiceParts {
    /// A service that consists of resources, and what else is given. As resources refer to members, it keeps a copy of these.
    public init(_ resources: [Resource], routes: [Route] = [], jobs: [Job] = [], copy: LogCopy? = .members) {
        let merging = resources.contains { $0.definition.isMergeable } ? MergeJobs.all(of: resources) : []
        self.init(
            routes: resources.flatMap(\.routes) + routes, schemas: resources.flatMap(\.schemas), jobs: merging + jobs, copy: copy)
    }
}
