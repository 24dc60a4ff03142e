import Contracts
import Core
import Postgres
import Resources

/// `/v1/roles`, `/v1/permissions`, `/v1/authorize/explain`: who may do what, and why.
struct RoleRoutes: Sendable {
    let postgres: PostgresClient

    var routes: [Route] { [roles, permissions, explain] }

    private var roles: Route {
        .permitted(
            Permission(.roles, .read), .get, "/v1/roles",
            Operation(
                id: "listRoles", summary: "The roles that a member can have", tag: "roles",
                responses: [.init(200, "All roles.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Role"]))])
        ) { call, _ in
            try call.query.allowOnly([String]())
            return Paging.reply(whole: BuiltInRole.allCases.map(\.json))
        }
    }

    private var permissions: Route {
        .member(
            .get, "/v1/permissions",
            Operation(
                id: "listPermissions", summary: "The catalogue of permissions", tag: "roles",
                responses: [
                    .init(
                        200, "All permissions.",
                        schema: Paging.schema(of: [
                            "type": "object", "required": ["name", "resource", "action"],
                            "properties": [
                                "name": ["type": "string"], "resource": ["type": "string"], "action": ["type": "string"],
                            ],
                        ]))
                ])
        ) { call, _ in
            try call.query.allowOnly([String]())
            return Paging.reply(
                whole: Permission.catalogue.map {
                    [
                        "name": .string($0.description), "resource": .string($0.resource.rawValue),
                        "action": .string($0.action.rawValue),
                    ]
                })
        }
    }

    private var explain: Route {
        .member(
            .post, "/v1/authorize/explain",
            Operation(
                id: "explainAuthorization", summary: "Whether you may do something, and the rule that says so",
                description: """
                    What your role says about a permission, and on whose records: all of the tenant's, or own, those whose owner you are.
                    """,
                tag: "roles",
                parameters: [.idempotencyKey],
                body: [
                    "type": "object", "required": ["permission"], "additionalProperties": false,
                    "properties": [
                        "permission": ["type": "string", "description": "Such as leads.update."]
                    ],
                ],
                bodyExample: ["permission": "leads.update"],
                responses: [
                    .init(
                        200, "The decision.",
                        schema: [
                            "type": "object", "required": ["permission", "allowed", "role", "scope", "reason"],
                            "properties": [
                                "permission": ["type": "string"], "allowed": ["type": "boolean"], "role": ["type": "string"],
                                "scope": ["enum": ["none", "own", "team", "all"]], "reason": ["type": "string"],
                            ],
                        ])
                ])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["permission"])
            let name = body.string("permission")
            let permission = name.flatMap { Permission($0) }
            if let name, permission == nil {
                let hint = Suggestion.hint(for: name, among: Permission.catalogue.map(\.description))
                body.fault("permission", .notAllowed, "There is no such permission.\(hint)")
            }
            let explanation = Self.explanation(of: try body.require(permission), for: member).bytes
            // It changes nothing, but a POST takes a key, and a repeat with it gets the answer of then.
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: postgres) {
                if let key { _ = try await postgres.batch(as: member, [key.insertion(as: member, status: 200, body: explanation)]) }
                return .json(explanation)
            }
        }
    }

    private static func explanation(of permission: Permission, for member: RequestContext) -> JSON {
        let isAllowed = member.permissions.contains(permission)
        let scope = isAllowed ? member.scopes[permission.resource] : .none
        let reason =
            switch (isAllowed, scope) {
            case (false, _): "The role \(member.role) does not have \(permission)."
            case (true, .all): "The role \(member.role) has \(permission) on every record of the tenant."
            case (true, .team): "The role \(member.role) has \(permission) on your own records and your team's."
            case (true, .own): "The role \(member.role) has \(permission) on your own records."
            case (true, .none): "The role \(member.role) has \(permission), but on no record."
            }
        return [
            "permission": .string(permission.description), "allowed": .bool(isAllowed), "role": .string(member.role),
            "scope": .string(scope.name), "reason": .string(reason),
        ]
    }
}
