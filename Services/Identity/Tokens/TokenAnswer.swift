import Contracts
import Core

/// The answer to every kind of sign-in.
struct TokenAnswer: Sendable {
    let accessToken: String
    let refreshToken: String
    let user: User
    let membership: Membership

    /// `user` and `tenant` are in each answer, so that a client needs no second call to greet.
    var json: JSON {
        [
            "access_token": .string(accessToken), "token_type": "Bearer", "expires_in": .number(AccessClaims.lifetime),
            "refresh_token": .string(refreshToken), "user": user.json, "tenant": membership.tenantJSON,
        ]
    }

    /// Tokens must not lie in a cache (RFC 6749, section 5.1).
    func reply(status: Int = 200) -> Reply { .json(json, status: status, headers: [("cache-control", "no-store")]) }

    static let schema: JSON = [
        "type": "object", "required": ["access_token", "token_type", "expires_in", "refresh_token", "user", "tenant"],
        "properties": [
            "access_token": ["type": "string", "description": "A JWT, for the header Authorization: Bearer."],
            "token_type": ["const": "Bearer"],
            "expires_in": ["type": "integer", "description": "Seconds until the access token expires."],
            "refresh_token": ["type": "string", "description": "Good for one exchange at /v1/auth/refresh."],
            "user": ["$ref": "#/components/schemas/User"], "tenant": ["$ref": "#/components/schemas/TenantSummary"],
        ],
    ]
}

extension Membership {
    /// The tenant as a signed-in member is told of it.
    var tenantJSON: JSON {
        [
            "id": .string(tenant.id.description), "name": .string(tenant.name), "slug": .string(tenant.slug),
            "status": tenant.isActive ? "active" : "suspended", "plan": .string(tenant.plan),
        ]
    }

    static let tenantSchema: JSON = [
        "type": "object", "required": ["id", "name", "slug", "status", "plan"],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "name": ["type": "string"], "slug": ["type": "string"],
            "status": ["enum": ["active", "suspended"]], "plan": ["type": "string"],
        ],
    ]
}
