import Core

extension BuiltInRole {
    /// Whether its members can run the tenant: one of them must always be left.
    var isAdministrator: Bool { BuiltInRole.tenantAdmin.permissions.isSubset(of: permissions) }

    static let administrators = allCases.filter(\.isAdministrator)

    static let schema: JSON = ["enum": .array(allCases.map { .string($0.rawValue) })]

    var json: JSON {
        let scopes = scopes
        let held = PermissionResource.allCases.filter { scopes[$0] != .none }
        var scopeNames = JSONObject()
        for resource in held { scopeNames[resource.rawValue] = .string(scopes[resource].name) }
        return [
            "name": .string(rawValue), "built_in": true,
            "permissions": .array(permissions.permissions.map { .string($0.description) }), "scopes": .object(scopeNames),
        ]
    }

    static let roleSchema: JSON = [
        "type": "object", "required": ["name", "built_in", "permissions", "scopes"],
        "properties": [
            "name": ["type": "string"], "built_in": ["type": "boolean"], "permissions": ["type": "array", "items": ["type": "string"]],
            "scopes": ["type": "object", "additionalProperties": ["enum": ["own", "team", "all"]]],
        ],
    ]
}

extension RowScope {
    /// As the API names it.
    var name: String {
        switch self {
        case .none: "none"
        case .own: "own"
        case .team: "team"
        case .all: "all"
        }
    }
}

extension PermissionSet {
    /// The rule that nobody grants what he does not hold.
    func canGrant(_ role: BuiltInRole) -> Bool { role.permissions.isSubset(of: self) }
}

extension RequestContext {
    /// Holds the caller to the rule that nobody grants what he does not hold.
    ///
    /// - Throws: ``Problem`` `forbidden`.
    func requireCanGrant(_ role: BuiltInRole) throws(Problem) {
        guard permissions.canGrant(role) else {
            throw Problem(.forbidden, "You cannot give or take the role \(role.rawValue): it holds more than yours.")
        }
    }
}
