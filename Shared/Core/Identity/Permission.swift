/// What a permission is about. The order is the encoding (see ``PermissionSet``): new cases go at the end, none is removed.
public enum PermissionResource: String, Sendable, CaseIterable {
    case leads, contacts, accounts, deals, pipelines, tasks, notes, activities, tickets, articles, queues
    case slaPolicies = "sla_policies"
    case macros
    case customFields = "custom_fields"
    case views, reports, audit, webhooks
    case apiKeys = "api_keys"
    case roles, members, teams, tenant, platform, products
    case exchangeRates = "exchange_rates"

    /// Whether its records have owners, so that a role may reach some of them only.
    public var hasOwners: Bool {
        switch self {
        case .leads, .contacts, .accounts, .deals, .tasks, .notes, .activities, .tickets, .articles, .views: true
        case .pipelines, .queues, .slaPolicies, .macros, .customFields, .reports, .audit, .webhooks, .apiKeys, .roles, .members, .teams,
            .tenant, .platform, .products, .exchangeRates:
            false
        }
    }

    /// The place of the resource in encoded sets.
    var index: Int { Self.indexes[self]! }  // Safe: the table is built from every case.
    private static let indexes = Dictionary(uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}

public enum PermissionAction: String, Sendable, CaseIterable {
    case read, create, update, delete, export, `import`
    /// To give a record to somebody whose records one does not see.
    case share
    case admin

    /// Its bit in a ``PermissionSet``: the order is the encoding, as with ``PermissionResource``.
    fileprivate var bit: UInt32 {
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

/// A set of permissions: for each resource a bit for each action.
public struct PermissionSet: Hashable, Sendable {
    private var actions = [UInt32](repeating: 0, count: PermissionResource.allCases.count)

    public init() {}

    public init(_ permissions: some Sequence<Permission>) {
        for permission in permissions { insert(permission) }
    }

    public func contains(_ permission: Permission) -> Bool {
        actions[permission.resource.index] & permission.action.bit != 0
    }

    /// Whether one of its permissions is for the resource.
    public func concerns(_ resource: PermissionResource) -> Bool { actions[resource.index] != 0 }

    public mutating func insert(_ permission: Permission) {
        actions[permission.resource.index] |= permission.action.bit
    }

    public func isSubset(of other: PermissionSet) -> Bool {
        zip(actions, other.actions).allSatisfy { $0 & ~$1 == 0 }
    }

    /// The permissions in the order of the catalogue.
    public var permissions: [Permission] { Permission.catalogue.filter(contains) }

    private static let planes = UInt32.bitWidth / 8

    /// Planes of eight actions each, joined by dots: the first eight actions of all resources, two hexadecimal digits for each, then the
    /// next eight of all resources, and so on; planes with nothing in them are left out at the end.
    public var encoded: String {
        let planes = (0..<Self.planes).map { plane in actions.map { UInt8(truncatingIfNeeded: $0 >> UInt32(8 * plane)) } }
        let used = max(1, (planes.lastIndex { plane in plane.contains { $0 != 0 } } ?? 0) + 1)
        return planes.prefix(used).map { Hex.encode($0) }.joined(separator: ".")
    }

    /// Reads ``encoded``. A shorter plane, or fewer of them, come from an older release and lack what is newer; of longer or further ones,
    /// from a newer release, what is not known here is left out. `nil` when it is not of that form.
    public init?(encoded: some StringProtocol) {
        for (plane, digits) in encoded.split(separator: ".", omittingEmptySubsequences: false).enumerated() {
            guard let bytes = Hex.decode(digits) else { return nil }
            guard plane < Self.planes else { continue }
            for (index, byte) in bytes.prefix(actions.count).enumerated() { actions[index] |= UInt32(byte) << UInt32(8 * plane) }
        }
    }
}

/// Whose records of a resource one may act on. Ordered: each includes the one before.
public enum RowScope: UInt8, Sendable, Comparable, CaseIterable {
    case none, own, team, all

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// As the API names it.
    public var name: String {
        switch self {
        case .none: "none"
        case .own: "own"
        case .team: "team"
        case .all: "all"
        }
    }

    /// Those that a role can have where it has a permission.
    public static let grantable: [RowScope] = [.own, .team, .all]
}

/// The row scope for each resource.
public struct RowScopes: Hashable, Sendable {
    private var scopes = [UInt8](repeating: RowScope.none.rawValue, count: PermissionResource.allCases.count)

    public init() {}

    public subscript(resource: PermissionResource) -> RowScope {
        get { RowScope(rawValue: scopes[resource.index]) ?? .none }
        set { scopes[resource.index] = newValue.rawValue }
    }

    /// A digit per resource, 0 (none) to 3 (all). What a later release appends behind a dot may only add to what these give.
    public var encoded: String { String(decoding: scopes.map { UInt8(ascii: "0") + $0 }, as: UTF8.self) }

    /// Reads ``encoded``. What a shorter text lacks is `none`, and so is a digit above 3, a scope that a newer release knows; of a
    /// longer text what is not known here is left out. `nil` when it is not of that form.
    public init?(encoded: some StringProtocol) {
        let digits = encoded.utf8.prefix { $0 != UInt8(ascii: ".") }
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        let known = digits.prefix(scopes.count).map { RowScope(rawValue: $0 - UInt8(ascii: "0")) ?? .none }
        scopes.replaceSubrange(0..<known.count, with: known.map(\.rawValue))
    }
}
