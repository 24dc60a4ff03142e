import Core
import Postgres

/// A resource of another service, whose records this one's may refer to (``FieldKind/related(_:onDelete:)``): of each the service keeps a copy of
/// whose it is and whether it is there, and nothing else (Shared/Decisions/0035).
///
/// The table is `<singular>_copy`: `tenant_id`, `id`, `owner_id`, `created_by`, `version`, and `deleted_at` while it is deleted; under row security,
/// with the key (tenant_id, id).
public struct CopiedResource: Sendable {
    /// The singular, `ticket`: the aggregate of its events.
    public let singular: String
    public let permissions: PermissionResource
    /// The field that says whose record it is, as the resource's own declaration names it.
    public let owner: String

    public init(_ singular: String, permissions: PermissionResource, owner: String = "created_by") {
        self.singular = singular
        self.permissions = permissions
        self.owner = owner
    }

    public var table: String { "\(singular)_copy" }

    /// Whether the caller reads any of the records at all: else none is asked for.
    func mayBeRead(by context: RequestContext) -> Bool {
        context.permissions.contains(Permission(permissions, .read)) && context.scopes[permissions] != .none
    }

    /// The condition under which the caller reads a record, on a row that has `owner_id` and `created_by`.
    public func reading(as context: RequestContext) -> SQL { readable(by: context) ?? "true" }
}

extension CopiedResource: Referable {
    var ownerKey: String { "case when owner_id is null then created_by else owner_id end" }
    var isMergeable: Bool { false }
}

/// What a reference can lead to: records of a resource, or copies of another service's.
protocol Referable: Sendable {
    var singular: String { get }
    var table: String { get }
    var permissions: PermissionResource { get }
    /// Whose record a row of the table is.
    var ownerKey: String { get }
    /// Whether a row may have become another one (`merged_into_id`).
    var isMergeable: Bool { get }
}

extension Referable {
    /// What people call a record.
    var noun: String { singular.replacing("_", with: " ") }

    /// Whose records the caller may read, for what leads here from another record; `nil` for everybody's.
    func readable(by context: RequestContext) -> SQL? {
        context.permissions.contains(Permission(permissions, .read)) ? reach(of: context) : "false"
    }
}
