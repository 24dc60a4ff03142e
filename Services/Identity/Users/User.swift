import Contracts
import Core
import Postgres

/// A person as the API shows him.
struct User: Sendable {
    /// Nobody can sign in while `registering`: the organisation is still being made.
    enum Status: String, Sendable { case registering, active }

    let id: UserID
    let email: String
    let name: String
    let status: Status
    let version: Int64
    let createdAt: Timestamp
    let updatedAt: Timestamp

    var person: Person { Person(id: id, email: email, name: name) }

    var json: JSON {
        [
            "id": .string(id.description), "email": .string(email), "name": .string(name), "version": .number(version),
            "created_at": .string(createdAt.description), "updated_at": .string(updatedAt.description),
        ]
    }

    static let schema: JSON = [
        "type": "object", "required": ["id", "email", "name", "version", "created_at", "updated_at"],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "email": ["type": "string", "format": "idn-email"], "name": ["type": "string"],
            "version": ["type": "integer"], "created_at": ["type": "string", "format": "date-time"],
            "updated_at": ["type": "string", "format": "date-time"],
        ],
    ]

    /// Names of the columns that ``init(row:)`` reads, of a table or alias `user_account`.
    static let columns: SQL = """
        user_account.id, user_account.email, user_account.name, user_account.status, user_account.version, user_account.created_at,
        user_account.updated_at
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        email = try row.decode("email")
        name = try row.decode("name")
        status = Status(rawValue: try row.decode("status")) ?? .registering
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        updatedAt = try row.decode("updated_at")
    }
}
