import Contracts
import Core
import Postgres

/// A user's place in a tenant.
struct Member: Sendable {
    /// The user's id.
    let id: UserID
    let tenant: TenantID
    let email: String
    let name: String
    /// The name of his role.
    let role: String
    let teams: [RecordID]
    /// A disabled member keeps his seat and his records, and cannot sign in.
    let isActive: Bool
    let epoch: Int64
    let version: Int64
    let createdAt: Timestamp
    let createdBy: UserID
    let updatedAt: Timestamp
    let updatedBy: UserID

    var json: JSON {
        [
            "id": .string(id.description), "version": .number(version), "email": .string(email), "name": .string(name),
            "role": .string(role), "teams": .array(teams.map { .string($0.description) }),
            "status": isActive ? "active" : "disabled", "created_at": .string(createdAt.description),
            "updated_at": .string(updatedAt.description), "created_by": .string(createdBy.description),
            "updated_by": .string(updatedBy.description),
        ]
    }

    static let schema: JSON = [
        "type": "object",
        "required": [
            "id", "version", "email", "name", "role", "teams", "status", "created_at", "updated_at", "created_by", "updated_by",
        ],
        "properties": [
            "id": ["type": "string", "format": "uuid", "description": "The user's id."], "version": ["type": "integer"],
            "email": ["type": "string", "format": "idn-email"], "name": ["type": "string"], "role": Role.nameSchema,
            "teams": [
                "type": "array", "items": ["type": "string", "format": "uuid"],
                "description": "The ids of the teams that the member is in.",
            ],
            "status": ["enum": ["active", "disabled"]], "created_at": ["type": "string", "format": "date-time"],
            "updated_at": ["type": "string", "format": "date-time"], "created_by": ["type": "string", "format": "uuid"],
            "updated_by": ["type": "string", "format": "uuid"],
        ],
    ]

    static let columns: SQL = """
        member.id, member.tenant_id, member.email, member.name, member.role, member.teams, member.status, member.epoch, member.version,
        member.created_at, member.created_by, member.updated_at, member.updated_by
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        tenant = try row.decode("tenant_id")
        email = try row.decode("email")
        name = try row.decode("name")
        role = try row.decode("role")
        teams = try row.decode("teams")
        isActive = try row.decode("status", as: String.self) == "active"
        epoch = try row.decode("epoch")
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        updatedAt = try row.decode("updated_at")
        updatedBy = try row.decode("updated_by")
    }
}
