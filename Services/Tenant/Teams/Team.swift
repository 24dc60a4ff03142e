import Core
import Postgres

/// A group of members: where a role's scope is team, they see what each other owns. A member may be in several.
struct Team: Sendable {
    /// Teams that a tenant can have.
    static let maximumCount = 1000
    /// Members that a team can have: its event names them all.
    static let maximumMembers = 500
    /// Teams that a member can be in.
    static let maximumPerMember = 50
    static let maximumName = 100

    let id: RecordID
    let name: String
    /// In order.
    let memberIDs: [UserID]
    let version: Int64
    let createdAt: Timestamp
    let createdBy: UserID
    let updatedAt: Timestamp
    let updatedBy: UserID

    /// A name as it is compared: neither case nor what cannot be seen makes a difference.
    static func key(of name: String) -> String { PlainText.label(name) }

    var json: JSON {
        [
            "id": .string(id.description), "version": .number(version), "name": .string(name),
            "member_ids": .array(memberIDs.map { .string($0.description) }), "created_at": .string(createdAt.description),
            "updated_at": .string(updatedAt.description), "created_by": .string(createdBy.description),
            "updated_by": .string(updatedBy.description),
        ]
    }

    static let schema: JSON = [
        "type": "object",
        "required": ["id", "version", "name", "member_ids", "created_at", "updated_at", "created_by", "updated_by"],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "version": ["type": "integer"], "name": ["type": "string"],
            "member_ids": ["type": "array", "items": ["type": "string", "format": "uuid"]],
            "created_at": ["type": "string", "format": "date-time"], "updated_at": ["type": "string", "format": "date-time"],
            "created_by": ["type": "string", "format": "uuid"], "updated_by": ["type": "string", "format": "uuid"],
        ],
    ]

    /// The schema of a list of ids in a body.
    static func idsSchema(maximum: Int) -> JSON {
        [
            "type": "array", "maxItems": .number(maximum), "items": ["type": "string", "format": "uuid"],
            "description": "All of them; one that is named twice counts once.",
        ]
    }

    static let columns: SQL = """
        team.id, team.name, team.member_ids, team.version, team.created_at, team.created_by, team.updated_at, team.updated_by
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        name = try row.decode("name")
        memberIDs = try row.decode("member_ids")
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        updatedAt = try row.decode("updated_at")
        updatedBy = try row.decode("updated_by")
    }
}
