import Core

/// What a member can be: one of the six roles that every tenant has, or one that the tenant has made.
enum Role: Sendable {
    case builtIn(BuiltInRole)
    case custom(CustomRole)

    var name: String {
        switch self {
        case .builtIn(let role): role.rawValue
        case .custom(let role): role.name
        }
    }

    var rights: Rights {
        switch self {
        case .builtIn(let role): role.rights
        case .custom(let role): role.rights
        }
    }

    var json: JSON {
        var object = JSONObject()
        object["id"] = .string(name)
        object["name"] = .string(name)
        object["built_in"] = true
        object["description"] = .null
        object["permissions"] = .array(rights.permissionNames.map { .string($0) })
        object["scopes"] = rights.scopesJSON
        object["fields"] = rights.fields.json
        if case .custom(let role) = self {
            object["built_in"] = false
            object["description"] = role.description.map { .string($0) } ?? .null
            object["version"] = .number(role.version)
            object["created_at"] = .string(role.createdAt.description)
            object["updated_at"] = .string(role.updatedAt.description)
            object["created_by"] = .string(role.createdBy.description)
            object["updated_by"] = .string(role.updatedBy.description)
        }
        return .object(object)
    }

    static let schema: JSON = [
        "type": "object", "required": ["id", "name", "built_in", "description", "permissions", "scopes", "fields"],
        "properties": [
            "id": ["type": "string", "description": "The name: it never changes, and members and invitations refer to it."],
            "name": ["type": "string"],
            "built_in": [
                "type": "boolean", "description": "Whether every tenant has it; such a role is fixed, and has no version and no times.",
            ],
            "description": ["type": ["string", "null"]], "permissions": ["type": "array", "items": ["type": "string"]],
            "scopes": [
                "type": "object", "additionalProperties": ["enum": ["own", "team", "all"]],
                "description": "For each resource that there is a permission for: whose records.",
            ],
            "fields": [
                "type": "object",
                "additionalProperties": ["type": "object", "additionalProperties": ["enum": ["hidden", "read_only"]]],
                "description": "For each resource, the fields that are hidden or can only be read; the others are as the permissions say.",
            ],
            "version": ["type": "integer"], "created_at": ["type": "string", "format": "date-time"],
            "updated_at": ["type": "string", "format": "date-time"], "created_by": ["type": "string", "format": "uuid"],
            "updated_by": ["type": "string", "format": "uuid"],
        ],
    ]

    /// The schema of a role's name where a body or an object names one.
    static let nameSchema: JSON = [
        "type": "string", "pattern": "^[a-z0-9_]{1,64}$",
        "description": .string("One of \(BuiltInRole.allCases.map(\.rawValue).joined(separator: ", ")), or of your tenant's own roles."),
    ]
}

extension RequestContext {
    /// Holds the caller to the rule that nobody grants what he does not hold.
    ///
    /// - Throws: ``Problem`` `forbidden`, naming what is beyond the caller.
    func requireCanGrant(_ role: String, _ granted: Rights) throws(Problem) {
        guard let beyond = rights.firstBeyond(granted) else { return }
        throw Problem(.forbidden, "You cannot give, take or change the role \(role): it allows more than yours (\(beyond)).")
    }

    func requireCanGrant(_ role: Role) throws(Problem) { try requireCanGrant(role.name, role.rights) }
}
