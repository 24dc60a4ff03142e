import Contracts
import Core

/// What a body says of a role: a merge patch of its description, permissions and scopes.
struct RoleChange: Sendable {
    var description: BodyReader.Clearable?
    var permissions: PermissionSet?
    /// `nil` for one that falls back to all.
    var scopes: [(resource: PermissionResource, scope: RowScope?)] = []

    var isEmpty: Bool { description == nil && permissions == nil && scopes.isEmpty }

    static let members = ["description", "permissions", "scopes"]

    /// Notes the faults in the body.
    init(_ body: BodyReader, isNew: Bool) {
        description = body.clearableText("description", maximum: CustomRole.maximumDescription)
        let listed = body.list("permissions", maximum: Permission.catalogue.count, isRequired: isNew) { json throws(ValueFault) in
            guard let name = json.string else { throw .type("a string", json) }
            guard let permission = Permission(name) else {
                let hint = Suggestion.hint(for: name, among: Permission.catalogue.map(\.description))
                throw ValueFault(.notAllowed, "There is no such permission.\(hint)")
            }
            return permission
        }
        permissions = listed.map { PermissionSet($0) }
        guard let given = body.object("scopes", members: PermissionResource.allCases.map(\.rawValue), isRequired: false) else { return }
        for resource in PermissionResource.allCases where given.has(resource.rawValue) {
            // What nobody owns is seen by all who may see any of it.
            let grantable = resource.hasOwners ? RowScope.grantable : [.all]
            if given.isNull(resource.rawValue) {
                scopes.append((resource, nil))
            } else if let name = given.choice(resource.rawValue, of: grantable.map(\.name)) {
                scopes.append((resource, grantable.first { $0.name == name }))
            }
        }
        // Where the permissions are not given too, those that the role has decide.
        guard let permissions else { return }
        for (resource, scope) in scopes where scope != nil && !permissions.concerns(resource) {
            let fault = Self.withoutPermission(resource)
            given.fault(resource.rawValue, fault.code, fault.detail)
        }
    }

    private static func withoutPermission(_ resource: PermissionResource) -> ValueFault {
        ValueFault(.notAllowed, "The role has no permission for \(resource.rawValue) that this could be the scope of.")
    }

    /// The rights that come of it. A resource that there is now a permission for has scope all unless one is given; one that there is no
    /// permission for any longer loses its scope.
    ///
    /// - Throws: ``Problem`` `validation_failed` for a scope without a permission.
    func applied(to rights: Rights) throws(Problem) -> Rights {
        var changed = Rights(permissions: permissions ?? rights.permissions)
        for resource in PermissionResource.allCases where changed.permissions.concerns(resource) {
            changed.scopes[resource] = rights.permissions.concerns(resource) ? rights.scopes[resource] : .all
        }
        var faults = FaultList()
        for (resource, scope) in scopes {
            if changed.permissions.concerns(resource) {
                changed.scopes[resource] = scope ?? .all
            } else if scope != nil {
                faults.add(Self.withoutPermission(resource), at: "/scopes/\(resource.rawValue)")
            }
        }
        try faults.finish()
        return changed
    }
}
