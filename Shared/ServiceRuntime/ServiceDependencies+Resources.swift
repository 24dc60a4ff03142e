import Core
import Resources

extension ServiceDependencies {
    /// Sets declared resources to work on the service's database.
    ///
    /// - Parameter copies: of the resources of other services that they refer to.
    /// - Throws: ``DeclarationFault`` when one refers to a resource that is not among them: the service does not start.
    public func resources(_ definitions: ResourceDefinition..., copies: [RecordCopy] = []) throws -> [Resource] {
        let catalogue = try ResourceCatalogue(definitions, copies: copies.map(\.resource))
        let members = MemberDirectory(postgres: postgres, services: services)
        let records = RecordDirectory(copies: copies, postgres: postgres, services: services)
        let references = ReferenceResolvers(
            members: { context, users in try await members.members(among: users, of: context) },
            copies: { context, resource, ids in try await records.copy(ids, of: resource, as: context) })
        return definitions.map { Resource($0, among: catalogue, postgres: postgres, references: references, cursors: cursors) }
    }
}

extension ServiceParts {
    /// A service that consists of resources, and what else is given.
    public init(_ resources: [Resource], routes: [Route] = [], jobs: [Job] = []) {
        let merging = resources.contains { $0.definition.isMergeable } ? MergeJobs.all(of: resources) : []
        self.init(routes: resources.flatMap(\.routes) + routes, schemas: resources.flatMap(\.schemas), jobs: merging + jobs)
    }
}
