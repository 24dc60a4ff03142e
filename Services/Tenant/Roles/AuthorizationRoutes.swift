import Contracts
import Core
import Operations
import Postgres
import Resources
import ServiceRuntime

/// `/v1/permissions`, `/v1/authorize/explain`: what there is to be allowed, and why something is.
struct AuthorizationRoutes: Sendable {
    let postgres: PostgresClient
    /// Asked for one record: whose it is only its own service knows.
    let services: ServiceClient

    var routes: [Route] { [permissions, explain] }

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
                    What your role says about a permission, and on whose records: all of the tenant's; team, those whose owner is you or \
                    shares a team with you; or own, those whose owner you are. With field, whether that reaches a field of the records too; with \
                    resource_id, whether it reaches that record, as things are now. A record that is not there, that is deleted, and one \
                    out of your sight are told alike.
                    """,
                tag: "roles",
                parameters: [.idempotencyKey],
                body: [
                    "type": "object", "required": ["permission"], "additionalProperties": false,
                    "properties": [
                        "permission": ["type": "string", "description": "Such as leads.update."],
                        "field": ["type": "string", "description": "A field of the permission's resource, such as score."],
                        "resource_id": [
                            "type": "string", "format": "uuid", "description": "One of the permission's resource, such as a lead.",
                        ],
                    ],
                ],
                bodyExample: ["permission": "leads.update", "field": "score"],
                responses: [
                    .init(
                        200, "The decision.",
                        schema: [
                            "type": "object", "required": ["permission", "allowed", "role", "built_in", "scope", "reason"],
                            "properties": [
                                "permission": ["type": "string"], "allowed": ["type": "boolean"], "role": ["type": "string"],
                                "built_in": ["type": "boolean", "description": "Whether every tenant has the role."],
                                "scope": ["enum": ["none", "own", "team", "all"]], "reason": ["type": "string"],
                                "field": ["type": "string", "description": "Only when it was asked for."],
                                "field_access": [
                                    "enum": ["full", "read_only", "hidden"],
                                    "description":
                                        "Only with field: what the role leaves of it; read_only also for what only the service sets.",
                                ],
                                "resource_id": ["type": "string", "format": "uuid", "description": "Only when it was asked for."],
                            ],
                        ])
                ])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["permission", "field", "resource_id"])
            let name = body.string("permission")
            let permission = name.flatMap { Permission($0) }
            if let name, permission == nil {
                let hint = Suggestion.hint(for: name, among: Permission.catalogue.map(\.description))
                body.fault("permission", .notAllowed, "There is no such permission.\(hint)")
            }
            let field = body.string("field", isRequired: false)
            if let field, let permission { Self.check(field, of: permission.resource, in: body) }
            let record = body.has("resource_id") ? body.id("resource_id", of: RecordID.self) : nil
            let service = permission.flatMap { FieldCatalogue.find($0.resource.rawValue)?.service }
            if record != nil, let permission { Self.checkRecord(of: permission, in: service, body) }
            let asked = try body.require(permission)
            // It changes nothing, but a POST takes a key, and a repeat with it gets the answer of then.
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: postgres) {
                var decision = Self.explanation(of: asked, field, for: member)
                if let record, let service {
                    decision = try await explained(decision, for: record, asked.resource, in: service, as: member)
                }
                let explanation = decision.bytes
                if let key { _ = try await postgres.batch(as: member, [key.insertion(as: member, status: 200, body: explanation)]) }
                return .json(explanation)
            }
        }
    }

    private static func check(_ field: String, of resource: PermissionResource, in body: BodyReader) {
        let known = FieldCatalogue.find(resource.rawValue)?.fields ?? []
        guard !known.contains(field) else { return }
        let hint = Suggestion.hint(for: field, among: known)
        body.fault("field", .notAllowed, "\(resource.rawValue) have no field of this name that a role could take away.\(hint)")
    }

    private static func checkRecord(of permission: Permission, in service: ServiceName?, _ body: BodyReader) {
        if service == nil {
            let known = FieldCatalogue.all.map(\.resource).joined(separator: ", ")
            body.fault("resource_id", .notAllowed, "Only single records of these can be asked about: \(known).")
        } else if permission.action == .create || permission.action == .import {
            body.fault("resource_id", .notAllowed, "\(permission) is about no record that is there.")
        }
    }

    /// The decision about one record: what the role allows reaches it, or does not.
    private func explained(
        _ decision: JSON, for record: RecordID, _ resource: PermissionResource, in service: ServiceName, as member: RequestContext
    ) async throws -> JSON {
        guard var explanation = decision.object else { return decision }
        explanation["resource_id"] = .string(record.description)
        if decision["allowed"] == true, try await !reaches(record, resource, in: service, as: member) {
            explanation["allowed"] = false
            let scope = member.scopes[resource]
            let reach = scope == .all ? "" : ", or it is none of those that your scope \(scope.name) reaches"
            explanation["reason"] = .string("There is no such record among the tenant's \(resource.rawValue)\(reach).")
        }
        return .object(explanation)
    }

    /// Whether a record is there for the member, by the service that has it.
    private func reaches(
        _ record: RecordID, _ resource: PermissionResource, in service: ServiceName, as member: RequestContext
    ) async throws -> Bool {
        // What may be removed without being read is asked for as if it could be read; the answer is thrown away.
        var reader = member
        reader.permissions.insert(Permission(resource, .read))
        let path = "/v1/" + resource.rawValue.replacing("_", with: "-")
        let answer = try await services.call(service, .get, "\(path)/\(record)?fields=id", bytes: nil, caller: .member(reader))
        switch answer.status {
        case 200: return true
        // Of one that was merged the caller's own request is sent on to another.
        case 301, 404: return false
        default:
            throw ServiceClient.unavailable("\(service.rawValue) answered \(answer.status) about a record")
        }
    }

    private static func explanation(of permission: Permission, _ field: String?, for member: RequestContext) -> JSON {
        let missing = member.missing(for: permission)
        let isAllowed = missing == nil
        let scope = isAllowed ? member.scopes[permission.resource] : .none
        let isBuiltIn = BuiltInRole(rawValue: member.role) != nil
        let role = isBuiltIn ? "The role \(member.role)" : "The role \(member.role) of your tenant's own"
        let reason =
            switch (missing, scope) {
            case (permission, _): "\(role) does not have \(permission)."
            case (let reading?, _):
                "\(role) has \(permission), which is of no use without \(reading): the answer to a change shows the record."
            case (nil, .all): "\(role) has \(permission) on every record of the tenant."
            case (nil, .team): "\(role) has \(permission) on your own records and those of everybody who shares a team with you."
            case (nil, .own): "\(role) has \(permission) on your own records."
            case (nil, .none): "\(role) has \(permission), but on no record."
            }
        let decision: JSON = [
            "permission": .string(permission.description), "allowed": .bool(isAllowed), "role": .string(member.role),
            "built_in": .bool(isBuiltIn), "scope": .string(scope.name), "reason": .string(reason),
        ]
        guard let field, var explanation = decision.object else { return decision }
        let resource = permission.resource.rawValue
        let given = rule(for: field, of: resource, in: member.fields)
        let isSetByService = FieldCatalogue.find(resource)?.readOnly.contains(field) == true
        let access = given ?? (isSetByService ? .readOnly : nil)
        explanation["field"] = .string(field)
        explanation["field_access"] = .string(access?.name ?? "full")
        guard isAllowed, let access, access.forbids(permission.action) else { return .object(explanation) }
        explanation["allowed"] = false
        let obstacle =
            access == .hidden
            ? "\(field) is hidden from it."
            : isSetByService ? "\(field) is set by the service: nobody can give it." : "can only read \(field)."
        explanation["reason"] = .string("\(role) has \(permission), but \(obstacle)")
        return .object(explanation)
    }

    /// What the role takes away of a field, be it with another that it says something of.
    private static func rule(for field: String, of resource: String, in rules: FieldRules) -> FieldRule? {
        let own = rules[resource][field]
        let companion = FieldCatalogue.find(resource)?.companions[field]
        return companion.flatMap { rules[resource][$0] } == .hidden ? .hidden : own
    }
}

extension FieldRule {
    /// Whether it keeps an action from the field that the role may do to the record.
    fileprivate func forbids(_ action: PermissionAction) -> Bool {
        switch action {
        case .read, .export: self == .hidden
        case .create, .update, .import: true
        case .delete, .share, .admin: false
        }
    }
}
