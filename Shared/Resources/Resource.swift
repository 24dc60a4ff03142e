import Core
import Postgres

/// A declared resource at work: its routes and the schemas that they refer to.
///
/// ```swift
/// let leads = Resource(Lead.definition, among: catalogue, postgres: postgres, references: references, cursors: cursors)
/// routes += leads.routes
/// schemas += leads.schemas
/// ```
public struct Resource: Sendable {
    public let definition: ResourceDefinition
    /// That of a caller who sees everything.
    let whole: ResourceAccess
    private let accesses: AccessCache
    let documents: ResourceDocuments

    public init(
        _ definition: ResourceDefinition, among catalogue: ResourceCatalogue, postgres: PostgresClient, references: ReferenceResolvers,
        cursors: CursorSigner
    ) {
        self.definition = definition
        @Sendable func access(under rules: FieldRules) -> ResourceAccess {
            let expansions = catalogue.expansions(of: definition, under: rules)
            let view = ResourceView(definition, expansions: expansions, under: rules)
            return ResourceAccess(view, among: catalogue, postgres: postgres, references: references, cursors: cursors)
        }
        whole = access(under: .none)
        accesses = AccessCache(make: access)
        documents = ResourceDocuments(definition: definition, catalogue: catalogue)
    }

    /// Create, list, read, change, remove, restore and batch, below ``ResourceDefinition/path``, and what another system does by its own
    /// ids; duplicates and merges where there are such.
    public var routes: [Route] {
        [list, create, get, update, delete, restore, batch] + routesByExternalID + (definition.isMergeable ? routesOfMerging : [])
    }

    /// The schemas of the public document: `Lead`, `LeadCreate`, `LeadPatch`, `LeadPage`, `LeadBatch`.
    public var schemas: [(name: String, schema: JSON)] { documents.schemas }

    /// What the caller's requests are read and answered by.
    func access(of context: RequestContext) -> ResourceAccess {
        context.fields.isEmpty ? whole : accesses.access(under: context.fields)
    }

    /// Whether the caller's role hides the field: to him it is not there.
    public func hides(_ field: String, from context: RequestContext) -> Bool { access(of: context).view.shown.field(field) == nil }

    /// The condition that a row of the table is this record, live and the caller's to reach, for statements of the service's own.
    public func condition(on id: RecordID, as context: RequestContext) -> SQL {
        let statements = whole.store.statements
        return statements.key(.id(id), context) + " and deleted_at is null" + statements.scope(of: context)
    }

    /// The condition that a row of the table is the caller's to reach; `nil` where everybody's are.
    public func reach(of context: RequestContext) -> SQL? { definition.reach(of: context) }

    func permission(_ action: PermissionAction) -> Permission { Permission(definition.permissions, action) }
}
