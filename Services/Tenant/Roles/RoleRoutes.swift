import Contracts
import Core
import Resources

/// `/v1/roles`: the roles that every tenant has, which are fixed, and those of its own.
struct RoleRoutes: Sendable {
    let roles: RoleStore
    let announcer: EpochAnnouncer

    var routes: [Route] { [list, create, read, update, delete] }

    private static let name = Operation.Parameter(
        "name", in: .path, schema: ["type": "string", "pattern": "^[a-z0-9_]{1,64}$"], "The role's name.")

    private static let rules = """
        Nobody can make a role that allows more than their own, or change one that does: neither in permissions, nor in whose records they \
        reach, nor in fields. permissions are those of /v1/permissions; scopes say, for each resource that there is a permission for, whose records: own, \
        team (own and those of everybody who shares a team with you) or all, which it is unless given. fields takes single fields away: what is \
        hidden does not exist for the role (no answer shows it, nothing is found, filtered or sorted by it, no body may name it, the trail leaves \
        it out); what is read_only cannot be given. A role that may create or import needs the required fields, and one that exports the trail \
        sees all of it.
        """

    private var list: Route {
        .permitted(
            Permission(.roles, .read), .get, "/v1/roles",
            Operation(
                id: "listRoles", summary: "The roles that a member can have",
                description: "Those that every tenant has, then your tenant's own by name: all in one page.", tag: "roles",
                responses: [.init(200, "All roles.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Role"]))])
        ) { call, member in
            try call.query.allowOnly([String]())
            return Paging.reply(whole: try await roles.all(as: member).all.map(\.json))
        }
    }

    private var create: Route {
        .permitted(
            Permission(.roles, .create), .post, "/v1/roles",
            Operation(
                id: "createRole", summary: "Make a role of your tenant's own",
                description: "\(Self.rules) A tenant has at most \(CustomRole.maximumCount) roles of its own.", tag: "roles",
                parameters: [.idempotencyKey], body: Self.bodySchema(isNew: true),
                bodyExample: [
                    "name": "field_sales", "description": "Who visits customers",
                    "permissions": ["leads.read", "leads.update", "contacts.read"], "scopes": ["leads": "own"],
                    "fields": ["leads": ["score": "hidden", "phone": "read_only"]],
                ],
                responses: [
                    .init(201, "The role.", schema: ["$ref": "#/components/schemas/Role"], headers: [.location, .tag])
                ],
                errors: [.alreadyExists, .conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["name"] + RoleChange.members)
            let name = Self.name(in: body)
            let change = RoleChange(body, isNew: true)
            let newName = try body.require(name)
            let rights = try change.applied(to: Rights())
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: roles.postgres) {
                let role = try await roles.create(newName, change.description?.text, rights, key: key, as: member)
                // One that was deleted and is there again: tokens that name it are of an older epoch.
                if role.epoch > 1 { announcer.announce(role, in: member.tenant) }
                return .json(
                    Role.custom(role).json, status: 201,
                    headers: [("location", "/v1/roles/\(role.name)"), ("etag", EntityTag.of(role.version))])
            }
        }
    }

    private static func name(in body: BodyReader) -> String? {
        guard let name = body.string("name") else { return nil }
        guard CustomRole.isName(name) else {
            body.fault("name", .invalidFormat, "Expected 1 to 64 characters a-z, 0-9 and _, such as 'field_sales'.")
            return nil
        }
        guard BuiltInRole(rawValue: name) == nil else {
            body.fault("name", .reserved, "Every tenant has a role of this name.")
            return nil
        }
        return name
    }

    private var read: Route {
        .permitted(
            Permission(.roles, .read), .get, "/v1/roles/{name}",
            Operation(
                id: "getRole", summary: "A role", tag: "roles", parameters: [Self.name, .ifNoneMatch],
                responses: [.init(200, "The role.", schema: ["$ref": "#/components/schemas/Role"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            guard let role = try await roles.find(Self.name(in: call), as: member) else { throw Problem.notFound }
            switch role {
            case .custom(let custom): return EntityTag.reply(to: call, role.json, version: custom.version)
            case .builtIn:
                // It has no version; another release may allow it more.
                let body = role.json.bytes
                return EntityTag.reply(to: call, body, tag: EntityTag.of(1, body: body))
            }
        }
    }

    private static func name(in call: Call) -> String { call.parameters["name"] ?? "" }

    private var update: Route {
        .permitted(
            Permission(.roles, .update), .patch, "/v1/roles/{name}",
            Operation(
                id: "updateRole", summary: "Change what a role allows; it acts at once for all who have it",
                description: """
                    The access tokens of all members with the role become stale at once. \(Self.rules) permissions replaces the list; scopes \
                    is merged, and null falls back to all. The name stays, and so do the roles that every tenant has. The last administrator \
                    stays one.
                    """,
                tag: "roles", parameters: [Self.name, .ifMatch, .idempotencyKey], body: Self.bodySchema(isNew: false),
                bodyExample: ["permissions": ["leads.read", "leads.update"], "scopes": ["leads": "team"]],
                responses: [.init(200, "The role.", schema: ["$ref": "#/components/schemas/Role"])],
                errors: [.conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: RoleChange.members, readOnly: ["name"])
            let change = RoleChange(body, isNew: false)
            try body.finish()
            return try await write(call, as: member) { name, precondition, key in
                let (role, isOtherRights) = try await roles.update(name, change, if: precondition, key: key, as: member)
                if isOtherRights { announcer.announce(role, in: member.tenant) }
                return EntityTag.reply(to: call, Role.custom(role).json, version: role.version)
            }
        }
    }

    private var delete: Route {
        .permitted(
            Permission(.roles, .delete), .delete, "/v1/roles/{name}",
            Operation(
                id: "deleteRole", summary: "Delete a role that nobody has",
                description: """
                    While members have the role, or open invitations are to it, it is refused with conflict, and members and invitations say \
                    how many.
                    """,
                tag: "roles", parameters: [Self.name, .ifMatch, .idempotencyKey],
                responses: [.init(204, "Deleted.")],
                errors: [.conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseBody()
            return try await write(call, as: member) { name, precondition, key in
                try await roles.delete(name, if: precondition, key: key, as: member)
                return .noContent
            }
        }
    }

    private func write(
        _ call: Call, as member: RequestContext, _ body: (_ name: String, Precondition, IdempotencyKey?) async throws -> Reply
    ) async throws -> Reply {
        let name = Self.name(in: call)
        let precondition = try Precondition(call)
        let key = try IdempotencyKey(call)
        guard BuiltInRole(rawValue: name) == nil else {
            throw Problem(.conflict, "Every tenant has the role \(name): it is fixed. Make one of your own.")
        }
        return try await IdempotencyKey.guarding(key, as: member, on: roles.postgres) { try await body(name, precondition, key) }
    }

    private static func bodySchema(isNew: Bool) -> JSON {
        var properties = JSONObject()
        if isNew {
            properties["name"] = [
                "type": "string", "pattern": "^[a-z0-9_]{1,64}$",
                "description": "It never changes. Names of roles that every tenant has are taken.",
            ]
        }
        properties["description"] = [
            "type": ["string", "null"], "maxLength": .number(CustomRole.maximumDescription), "pattern": .string(PlainText.pattern(.line)),
            "description": "A line; null or an empty text clears it.",
        ]
        properties["permissions"] = [
            "type": "array", "maxItems": .number(Permission.catalogue.count),
            "items": ["enum": .array(Permission.catalogue.map { .string($0.description) })],
        ]
        var scopes = JSONObject()
        for resource in PermissionResource.allCases {
            scopes[resource.rawValue] = ["enum": resource.hasOwners ? ["own", "team", "all", .null] : ["all", .null]]
        }
        properties["scopes"] = [
            "type": "object", "additionalProperties": false, "properties": .object(scopes),
            "description": "Only for resources that the role has a permission for.",
        ]
        var resources = JSONObject()
        for resource in FieldCatalogue.all {
            var rules = JSONObject()
            for field in resource.fields { rules[field] = ["enum": ["hidden", "read_only", .null]] }
            resources[resource.resource] = ["type": ["object", "null"], "additionalProperties": false, "properties": .object(rules)]
        }
        properties["fields"] = [
            "type": "object", "additionalProperties": false, "properties": .object(resources),
            "description":
                "Given only for resources that the role has a permission for, and kept when it is taken away; null takes a rule, or all of a resource, back.",
        ]
        var schema = JSONObject()
        schema["type"] = "object"
        if isNew { schema["required"] = ["name", "permissions"] }
        schema["additionalProperties"] = false
        schema["properties"] = .object(properties)
        return .object(schema)
    }
}
