import Contracts
import Core

/// What a body says of a role: a merge patch of its description, permissions, scopes and rules for fields.
struct RoleChange: Sendable {
    var description: BodyReader.Clearable?
    var permissions: PermissionSet?
    /// `nil` for one that falls back to all.
    var scopes: [(resource: PermissionResource, scope: RowScope?)] = []
    /// `nil` for one that there is no rule for any longer.
    var fields: [(resource: FieldCatalogue, name: String, rule: FieldRule?)] = []

    var isEmpty: Bool { description == nil && permissions == nil && scopes.isEmpty && fields.isEmpty }

    static let members = ["description", "permissions", "scopes", "fields"]

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
        readScopes(body)
        readFields(body)
    }

    private mutating func readScopes(_ body: BodyReader) {
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

    private mutating func readFields(_ body: BodyReader) {
        let names = FieldCatalogue.all.map(\.resource)
        guard let given = body.object("fields", members: names, isRequired: false) else { return }
        for resource in FieldCatalogue.all where given.has(resource.resource) {
            if given.isNull(resource.resource) {
                fields += resource.fields.map { (resource, $0, nil) }
                continue
            }
            guard let rules = given.object(resource.resource, members: resource.fields) else { continue }
            for field in resource.fields where rules.has(field) {
                if rules.isNull(field) {
                    fields.append((resource, field, nil))
                } else if let name = rules.choice(field, of: Self.rules.map(\.name)) {
                    fields.append((resource, field, Self.rules.first { $0.name == name }))
                }
            }
        }
    }

    /// In the order in which they are proposed.
    static let rules: [FieldRule] = [.hidden, .readOnly]

    private static func withoutPermission(_ resource: PermissionResource) -> ValueFault {
        ValueFault(.notAllowed, "The role has no permission for \(resource.rawValue) that this could be the scope of.")
    }

    /// The rights that come of it. A resource that there is now a permission for has scope all unless one is given; one that there is no
    /// permission for any longer loses its scope. Its rules for fields stay, or what they hide would be there when the permission comes back.
    ///
    /// - Throws: ``Problem`` `validation_failed` for a scope or a rule without a permission, or a rule that cannot go with what else the role
    ///   allows.
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
        changed.fields = fields(of: changed, before: rights.fields, &faults)
        let export = Permission(.audit, .export)
        if changed.permissions.contains(export), let obstacle = changed.obstacleToWholeTrail {
            faults.add(.notAllowed, at: changed.fields.hideAny ? "/fields" : "/permissions", "\(export) cannot be given. \(obstacle)")
        }
        try faults.finish()
        return changed
    }

    private func fields(of rights: Rights, before: FieldRules, _ faults: inout FaultList) -> FieldRules {
        var rules = before.rules
        for (resource, name, rule) in fields {
            rules[resource.resource, default: [:]][name] = rule
            if rule != nil, !rights.reach(resource.resource) {
                faults.add(
                    .notAllowed, at: "/fields/\(resource.resource)/\(name)",
                    "The role has no permission for \(resource.resource) that this could take away from.")
            }
        }
        let changed = FieldRules(rules)
        for resource in FieldCatalogue.all {
            let known = changed[resource.resource]
            for (amount, currency) in resource.amounts {
                guard let rule = known[currency], known[amount].map({ $0 < rule }) ?? true else { continue }
                faults.add(
                    .notAllowed, at: "/fields/\(resource.resource)/\(currency)",
                    "An amount is nothing without its currency: give \(amount) the rule \(rule.name) too.")
            }
            guard let permission = resource.makers.first(where: rights.permissions.contains) else { continue }
            for field in resource.required where known[field] != nil {
                faults.add(
                    .notAllowed, at: "/fields/\(resource.resource)/\(field)",
                    "A role with \(permission) must be able to give \(field), which is required.")
            }
        }
        if changed.count > FieldRules.maximumCount {
            faults.add(.tooMany, at: "/fields", "Expected rules for at most \(FieldRules.maximumCount) fields.")
        }
        return changed
    }
}

extension FieldCatalogue {
    /// With one of these a record can be made.
    fileprivate var makers: [Permission] {
        PermissionResource(rawValue: resource).map { [Permission($0, .create), Permission($0, .import)] } ?? []
    }
}
