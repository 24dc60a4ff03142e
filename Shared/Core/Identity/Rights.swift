/// What somebody may do: the permissions, for each resource whose records they reach, and which of its fields they do not.
public struct Rights: Hashable, Sendable {
    public var permissions: PermissionSet
    public var scopes: RowScopes
    public var fields: FieldRules

    public init(permissions: PermissionSet = PermissionSet(), scopes: RowScopes = RowScopes(), fields: FieldRules = .none) {
        self.permissions = permissions
        self.scopes = scopes
        self.fields = fields
    }

    /// Whether there is a permission for the resource whose fields rules are for. One that has no permissions of its own name is taken to be
    /// reached.
    public func reach(_ resource: String) -> Bool { PermissionResource(rawValue: resource).map(permissions.concerns) ?? true }

    /// Whether who has these may do all that the others allow: the same permissions, on no fewer records and with no fewer
    /// fields. Nobody grants what is not included in what they have.
    public func include(_ other: Rights) -> Bool {
        other.permissions.isSubset(of: permissions)
            && PermissionResource.allCases.allSatisfy { !other.permissions.concerns($0) || other.scopes[$0] <= scopes[$0] }
            && firstField(beyond: other) == nil
    }

    /// The first field that the others reach more of: `leads.email`; `nil` when there is none.
    public func firstField(beyond other: Rights) -> String? {
        for (resource, fields) in self.fields.rules.sorted(by: { $0.key < $1.key }) where other.reach(resource) {
            let theirs = other.fields[resource]
            let field = fields.sorted { $0.key < $1.key }.first { name, rule in theirs[name].map { $0 < rule } ?? true }
            if let field { return "\(resource).\(field.key)" }
        }
        return nil
    }
}

extension BuiltInRole {
    public var rights: Rights { Rights(permissions: permissions, scopes: scopes) }
}

extension RequestContext {
    public var rights: Rights { Rights(permissions: permissions, scopes: scopes, fields: fields) }
}
