import Contracts
import Core
import Postgres
import Resources

/// `/v1/me`: the user who asks, with what the present tenant lets him do.
struct Me: Sendable {
    let users: UserStore
    let tenants: TenantDirectory

    var routes: [Route] { [read, update] }

    private var read: Route {
        .member(
            .get, "/v1/me",
            Operation(
                id: "getMe", summary: "The user who asks, with tenant, role, teams and permissions",
                description: """
                    permissions and fields are those of your role in the tenant of the token, teams those that you are in there; memberships are \
                    all tenants that you can switch to.
                    """,
                tag: "me", parameters: [.ifNoneMatch],
                responses: [.init(200, "The user.", schema: ["$ref": "#/components/schemas/Me"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            guard let user = try await users.find(member.user, as: call.systemContext) else { throw UserStore.gone }
            let memberships = try await memberships(of: member, call)
            let (body, tag) = Self.answer(user, member: member, memberships)
            return EntityTag.reply(to: call, body, tag: tag)
        }
    }

    private var update: Route {
        .member(
            .patch, "/v1/me",
            Operation(
                id: "updateMe", summary: "Change your name",
                description: "Members that are absent stay as they are.",
                tag: "me", parameters: [.ifMatch, .idempotencyKey],
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": ["name": BodySchema.text(maximum: 200)],
                ],
                bodyExample: ["name": "Ngozi Okafor"],
                responses: [.init(200, "The user.", schema: ["$ref": "#/components/schemas/Me"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["name"])
            let name = body.text("name", maximum: 200, isRequired: false)
            try body.finish()
            let precondition = try Precondition(call, tagsHashBody: true)
            let key = try IdempotencyKey(call)
            let memberships = try await memberships(of: member, call)
            return try await IdempotencyKey.guarding(key, as: member, on: users.postgres) {
                let user = try await users.rename(to: name, if: precondition, key: key, as: member) { user in
                    Self.answer(user, member: member, memberships)
                }
                let (body, tag) = Self.answer(user, member: member, memberships)
                return EntityTag.reply(to: call, body, tag: tag)
            }
        }
    }

    /// - Throws: ``Problem`` `token_stale` when the caller is no longer a member of the tenant of his token.
    private func memberships(of member: RequestContext, _ call: Call) async throws -> [Membership] {
        let memberships = try await tenants.memberships(of: member.user, as: call.systemContext)
        guard memberships.contains(where: { $0.tenant.id == member.tenant }) else {
            throw Problem(.tokenStale, "You are no longer a member of this tenant.")
        }
        return memberships
    }

    /// The body shows the role, the teams and the memberships too, so its tag is more than the user's version.
    private static func answer(
        _ user: User, member: RequestContext, _ memberships: [Membership]
    ) -> (body: [UInt8], etag: String) {
        let body = json(of: user, member: member, memberships).bytes
        return (body, EntityTag.of(user.version, body: body))
    }

    private static func json(of user: User, member: RequestContext, _ memberships: [Membership]) -> JSON {
        let present = memberships.first { $0.tenant.id == member.tenant }
        return [
            "user": user.json, "tenant": present?.tenantJSON ?? .null,
            "role": .string(member.role),
            "teams": .array((present?.teams ?? []).map(\.json)),
            "permissions": .array(member.permissions.permissions.map { .string($0.description) }),
            "fields": member.fields.json,
            "memberships": .array(memberships.map { ["tenant": $0.tenantJSON, "role": .string($0.role)] }),
        ]
    }

    static let schema: JSON = [
        "type": "object", "required": ["user", "tenant", "role", "teams", "permissions", "fields", "memberships"],
        "properties": [
            "user": ["$ref": "#/components/schemas/User"], "tenant": ["$ref": "#/components/schemas/TenantSummary"],
            "role": ["type": "string"],
            "teams": [
                "type": "array",
                "items": [
                    "type": "object", "required": ["id", "name"],
                    "properties": ["id": ["type": "string", "format": "uuid"], "name": ["type": "string"]],
                ],
            ],
            "permissions": ["type": "array", "items": ["type": "string"]],
            "fields": [
                "type": "object",
                "additionalProperties": ["type": "object", "additionalProperties": ["enum": ["hidden", "read_only"]]],
                "description": "For each resource, the fields that the role hides or lets only be read.",
            ],
            "memberships": [
                "type": "array",
                "items": [
                    "type": "object", "required": ["tenant", "role"],
                    "properties": ["tenant": ["$ref": "#/components/schemas/TenantSummary"], "role": ["type": "string"]],
                ],
            ],
        ],
    ]
}
