import Core
import Postgres

/// A resource at work for all callers who see it alike: what reads their requests, and what reads and writes its records. Routes have it of
/// ``Resource/access(of:)`` alone.
final class ResourceAccess: Sendable {
    let view: ResourceView
    let store: ResourceStore
    let references: ReferenceResolvers
    let reader: BodyReader
    let lists: ListReader

    var definition: ResourceDefinition { view.definition }

    init(
        _ view: ResourceView, among catalogue: ResourceCatalogue, postgres: PostgresClient, references: ReferenceResolvers,
        cursors: CursorSigner
    ) {
        self.view = view
        self.references = references
        store = ResourceStore(view, among: catalogue, postgres: postgres)
        reader = BodyReader(view: view)
        lists = ListReader(view, cursors: cursors)
    }
}
