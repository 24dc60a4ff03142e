import Core
import Postgres

/// One sign-in of a user to one tenant.
struct Session: Sendable {
    /// How long a session lives after it was last refreshed.
    static let lifetime: Duration = .seconds(30 * 86_400)

    let id: SessionID
    let user: UserID
    let tenant: TenantID
    /// What the client calls itself (`User-Agent`), at most 256 characters.
    let device: String
    let address: String
    let createdAt: Timestamp
    let lastSeenAt: Timestamp
    let expiresAt: Timestamp

    func json(isCurrent: Bool) -> JSON {
        [
            "id": .string(id.description), "tenant_id": .string(tenant.description), "device": .string(device),
            "address": .string(address), "created_at": .string(createdAt.description), "last_seen_at": .string(lastSeenAt.description),
            "expires_at": .string(expiresAt.description), "current": .bool(isCurrent),
        ]
    }

    static let schema: JSON = [
        "type": "object",
        "required": ["id", "tenant_id", "device", "address", "created_at", "last_seen_at", "expires_at", "current"],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "tenant_id": ["type": "string", "format": "uuid"],
            "device": ["type": "string"], "address": ["type": "string"], "created_at": ["type": "string", "format": "date-time"],
            "last_seen_at": ["type": "string", "format": "date-time"], "expires_at": ["type": "string", "format": "date-time"],
            "current": ["type": "boolean", "description": "Whether it is the session that asks."],
        ],
    ]

    static let columns: SQL = """
        session.id, session.user_id, session.tenant, session.device, session.address, session.created_at, session.last_seen_at,
        session.expires_at
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        user = try row.decode("user_id")
        tenant = try row.decode("tenant")
        device = try row.decode("device")
        address = try row.decode("address")
        createdAt = try row.decode("created_at")
        lastSeenAt = try row.decode("last_seen_at")
        expiresAt = try row.decode("expires_at")
    }
}

/// Where a sign-in comes from.
struct Client: Sendable {
    let device: String
    let address: String

    init(_ call: Call) {
        let agent = (call.header("user-agent") ?? "").unicodeScalars.filter { $0.properties.generalCategory != .control }
        var device = String.UnicodeScalarView()
        device.append(contentsOf: agent.prefix(256))
        self.device = String(device)
        address = call.caller.edge.address
    }
}
