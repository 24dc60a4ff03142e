/// What a permission is about. The order is the encoding (see ``PermissionSet``): new cases go at the end, none is removed.
public enum PermissionResource: String, Sendable, CaseIterable {
    case leads, contacts, accounts, deals, pipelines, tasks, notes, activities, tickets, articles, queues
    case slaPolicies = "sla_policies"
    case macros
    case customFields = "custom_fields"
    case views, reports, audit, webhooks
    case apiKeys = "api_keys"
    case roles, members, teams, tenant, platform

    /// The place of the resource in encoded sets.
    var index: Int { Self.indexes[self]! }  // Safe: the table is built from every case.
    private static let indexes = Dictionary(uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}

public enum PermissionAction: String, Sendable, CaseIterable {
    case read, create, update, delete, export, `import`, share, admin

    fileprivate var bit: UInt8 {
        switch self {
        case .read: 1
        case .create: 2
        case .update: 4
        case .delete: 8
        case .export: 16
        case .import: 32
        case .share: 64
        case .admin: 128
        }
    }
}

/// The right to do one thing to one kind of resource, written `leads.create`.
public struct Permission: Hashable, Sendable, CustomStringConvertible {
    public var resource: PermissionResource
    public var action: PermissionAction

    public init(_ resource: PermissionResource, _ action: PermissionAction) {
        self.resource = resource
        self.action = action
    }

    public var description: String { "\(resource.rawValue).\(action.rawValue)" }

    /// Reads `leads.create`; `nil` for a permission that is not in the catalogue.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let resource = PermissionResource(rawValue: String(parts[0])),
            let action = PermissionAction(rawValue: String(parts[1]))
        else { return nil }
        self.init(resource, action)
    }

    /// Every permission there is.
    public static var catalogue: [Permission] {
        PermissionResource.allCases.flatMap { resource in PermissionAction.allCases.map { Permission(resource, $0) } }
    }
}

/// A set of permissions: a byte per resource, a bit per action.
public struct PermissionSet: Hashable, Sendable {
    private var actions = [UInt8](repeating: 0, count: PermissionResource.allCases.count)

    public init() {}

    public init(_ permissions: some Sequence<Permission>) {
        for permission in permissions { insert(permission) }
    }

    public func contains(_ permission: Permission) -> Bool {
        actions[permission.resource.index] & permission.action.bit != 0
    }

    public mutating func insert(_ permission: Permission) {
        actions[permission.resource.index] |= permission.action.bit
    }

    public func isSubset(of other: PermissionSet) -> Bool {
        zip(actions, other.actions).allSatisfy { $0 & ~$1 == 0 }
    }

    /// The permissions in the order of the catalogue.
    public var permissions: [Permission] { Permission.catalogue.filter(contains) }

    /// Two hexadecimal digits per resource.
    public var encoded: String { Hex.encode(actions) }

    /// Reads ``encoded``. A shorter text comes from an older release and lacks what is newer; of a longer one, from a newer release,
    /// what is not known here is left out. `nil` when it is not of that form.
    public init?(encoded: some StringProtocol) {
        guard let bytes = Hex.decode(encoded) else { return nil }
        let known = bytes.prefix(actions.count)
        actions.replaceSubrange(0..<known.count, with: known)
    }
}

/// Whose records of a resource one may act on. Ordered: each includes the one before.
public enum RowScope: UInt8, Sendable, Comparable {
    case none, own, team, all

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row scope for each resource.
public struct RowScopes: Hashable, Sendable {
    private var scopes = [UInt8](repeating: RowScope.none.rawValue, count: PermissionResource.allCases.count)

    public init() {}

    public subscript(resource: PermissionResource) -> RowScope {
        get { RowScope(rawValue: scopes[resource.index]) ?? .none }
        set { scopes[resource.index] = newValue.rawValue }
    }

    /// A digit per resource, 0 (none) to 3 (all).
    public var encoded: String { String(decoding: scopes.map { UInt8(ascii: "0") + $0 }, as: UTF8.self) }

    /// Reads ``encoded``. What a shorter text lacks is `none`, and so is a digit above 3, a scope that a newer release knows; of a
    /// longer text what is not known here is left out. `nil` when it is not of that form.
    public init?(encoded: some StringProtocol) {
        let digits = encoded.utf8
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        let known = digits.prefix(scopes.count).map { RowScope(rawValue: $0 - UInt8(ascii: "0")) ?? .none }
        scopes.replaceSubrange(0..<known.count, with: known.map(\.rawValue))
    }
}
