import Core
import Postgres
import Synchronization

/// A resource at work for all callers who see it alike: what reads their requests, and what reads and writes its records. Routes have it of
/// ``Resource/access(of:)`` alone.
final class ResourceAccess: Sendable {
    let view: ResourceView
    let store: ResourceStore
    /// `nil` where records cannot be merged.
    let merges: MergeStore?
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
        merges = view.definition.isMergeable ? MergeStore(store, among: catalogue) : nil
        reader = BodyReader(view: view)
        lists = ListReader(view, cursors: cursors)
    }
}

/// What was made for callers under rules, so many at most: the oldest makes room.
final class AccessCache: Sendable {
    private static let capacity = 100

    private let make: @Sendable (FieldRules) -> ResourceAccess
    private struct Known {
        var accesses: [FieldRules: ResourceAccess] = [:]
        /// In the order in which they were made.
        var order: [FieldRules] = []
    }
    private let known = Mutex(Known())

    init(make: @escaping @Sendable (FieldRules) -> ResourceAccess) { self.make = make }

    func access(under rules: FieldRules) -> ResourceAccess {
        if let known = known.withLock({ $0.accesses[rules] }) { return known }
        // Outside of the lock: two may make the same at once.
        let access = make(rules)
        known.withLock { known in
            guard known.accesses.updateValue(access, forKey: rules) == nil else { return }
            known.order.append(rules)
            if known.order.count > Self.capacity { known.accesses[known.order.removeFirst()] = nil }
        }
        return access
    }
}
