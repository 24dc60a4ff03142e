/// What somebody may do: the permissions, and for each resource whose records they reach.
public struct Rights: Hashable, Sendable {
    public var permissions: PermissionSet
    public var scopes: RowScopes

    public init(permissions: PermissionSet = PermissionSet(), scopes: RowScopes = RowScopes()) {
        self.permissions = permissions
        self.scopes = scopes
    }

    /// Whether who has these may do all that the others allow: the same permissions, on no fewer records. Nobody grants what is not
    /// included in what they have.
    public func include(_ other: Rights) -> Bool {
        other.permissions.isSubset(of: permissions)
            && PermissionResource.allCases.allSatisfy { !other.permissions.concerns($0) || other.scopes[$0] <= scopes[$0] }
    }
}

extension BuiltInRole {
    public var rights: Rights { Rights(permissions: permissions, scopes: scopes) }
}

extension RequestContext {
    public var rights: Rights { Rights(permissions: permissions, scopes: scopes) }
}
