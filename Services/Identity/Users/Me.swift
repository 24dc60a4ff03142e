import Contracts
import Core
import Postgres

/// `/v1/me`: the user who asks, with what the present tenant lets him do.
struct Me: Sendable {
    let users: UserStore
    let tenants: TenantDirectory

    private static let gone = Problem(.tokenStale, "The account is no longer there.")

    var routes: [Route] { [read, update] }

    private var read: Route {
        .member(
            .get, "/v1/me",
            Operation(
                id: "getMe", summary: "The user who asks, with tenant, role and permissions", tag: "me",
                responses: [.init(200, "The user.", schema: ["$ref": "#/components/schemas/Me"])], errors: [.tokenStale])
        ) { call, member in
            try call.query.allowOnly([String]())
            guard let user = try await users.find(member.user, as: call.systemContext) else { throw Self.gone }
            return .json(try await json(of: user, member: member, call: call), headers: [("etag", user.etag)])
        }
    }

    private var update: Route {
        .member(
            .patch, "/v1/me",
            Operation(
                id: "updateMe", summary: "Change your name", tag: "me",
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": ["name": ["type": "string", "minLength": 1, "maxLength": 200]],
                ],
                responses: [.init(200, "The user.", schema: ["$ref": "#/components/schemas/Me"])],
                errors: [.tokenStale, .versionMismatch, .validationFailed, .unknownMember, .invalidJSON, .invalidParameter])
        ) { call, member in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["name"])
            let name = body.text("name", maximum: 200, isRequired: false)
            try body.finish()
            let expected = try EntityTag.expected(by: call)
            let context = call.systemContext
            guard let present = try await users.find(member.user, as: context) else { throw Self.gone }
            var user = present
            if let name {
                guard let renamed = try await users.rename(member.user, to: name, ifVersion: expected, as: context) else {
                    guard let current = try await users.find(member.user, as: context) else { throw Self.gone }
                    throw EntityTag.mismatch(current: current.version)
                }
                user = renamed
            } else if let expected, expected != present.version {
                throw EntityTag.mismatch(current: present.version)
            }
            return .json(try await json(of: user, member: member, call: call), headers: [("etag", user.etag)])
        }
    }

    private func json(of user: User, member: RequestContext, call: Call) async throws -> JSON {
        let memberships = try await tenants.memberships(of: user.id, as: call.systemContext)
        guard let present = memberships.first(where: { $0.tenant.id == member.tenant }) else {
            throw Problem(.tokenStale, "You are no longer a member of this tenant.")
        }
        return [
            "user": user.json, "tenant": present.tenantJSON, "role": .string(member.role),
            "permissions": .array(member.permissions.permissions.map { .string($0.description) }),
            "memberships": .array(memberships.map { ["tenant": $0.tenantJSON, "role": .string($0.role)] }),
        ]
    }

    static let schema: JSON = [
        "type": "object", "required": ["user", "tenant", "role", "permissions", "memberships"],
        "properties": [
            "user": ["$ref": "#/components/schemas/User"], "tenant": ["$ref": "#/components/schemas/TenantSummary"],
            "role": ["type": "string"], "permissions": ["type": "array", "items": ["type": "string"]],
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
