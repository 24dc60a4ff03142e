import Contracts
import Core
import Crypto
import Postgres

/// An offer of a membership to an e-mail address.
struct Invitation: Sendable {
    static let lifetime: Duration = .seconds(7 * 86_400)
    /// What making one takes, beside the right to grant its role.
    static let permission = Permission(.members, .create)

    let id: RecordID
    let email: String
    let emailKey: String
    /// The role's name.
    let role: String
    let expiresAt: Timestamp
    let acceptedAt: Timestamp?
    let acceptedBy: UserID?
    let version: Int64
    let createdAt: Timestamp
    let createdBy: UserID
    let updatedAt: Timestamp
    let updatedBy: UserID

    var status: String { acceptedAt != nil ? "accepted" : expiresAt <= .now ? "expired" : "open" }

    /// Whether a member with the rights could make this invitation; the role's are those that it has now.
    func isWithinRights(_ inviter: Rights, granting role: Rights) -> Bool {
        inviter.permissions.contains(Self.permission) && inviter.include(role)
    }

    var object: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id.description)
        object["version"] = .number(version)
        object["email"] = .string(email)
        object["role"] = .string(role)
        object["status"] = .string(status)
        object["expires_at"] = .string(expiresAt.description)
        object["accepted_at"] = acceptedAt.map { .string($0.description) } ?? .null
        object["created_at"] = .string(createdAt.description)
        object["updated_at"] = .string(updatedAt.description)
        object["created_by"] = .string(createdBy.description)
        object["updated_by"] = .string(updatedBy.description)
        return object
    }

    var json: JSON { .object(object) }

    static let schema: JSON = [
        "type": "object",
        "required": [
            "id", "version", "email", "role", "status", "expires_at", "accepted_at", "created_at", "updated_at", "created_by",
            "updated_by",
        ],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "version": ["type": "integer"],
            "email": ["type": "string", "format": "idn-email"], "role": Role.nameSchema,
            "status": ["enum": ["open", "accepted", "expired"]], "expires_at": ["type": "string", "format": "date-time"],
            "accepted_at": ["type": ["string", "null"], "format": "date-time"],
            "created_at": ["type": "string", "format": "date-time"], "updated_at": ["type": "string", "format": "date-time"],
            "created_by": ["type": "string", "format": "uuid"], "updated_by": ["type": "string", "format": "uuid"],
            "token": ["type": "string", "description": "Only in the answer that created it; for the person invited."],
        ],
    ]

    static let columns: SQL = """
        invitation.id, invitation.email, invitation.email_key, invitation.role, invitation.expires_at, invitation.accepted_at,
        invitation.accepted_by, invitation.version, invitation.created_at, invitation.created_by, invitation.updated_at,
        invitation.updated_by
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        email = try row.decode("email")
        emailKey = try row.decode("email_key")
        role = try row.decode("role")
        expiresAt = try row.decode("expires_at")
        acceptedAt = try row.decode("accepted_at")
        acceptedBy = try row.decode("accepted_by")
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        updatedAt = try row.decode("updated_at")
        updatedBy = try row.decode("updated_by")
    }
}

/// What the person invited sends back: `mi_`, then the tenant's id and 256 random bits. The tenant stands in it so that the
/// lookup is one within a tenant, as every other.
struct InvitationToken: Sendable {
    private static let prefix = "mi_"

    let text: String
    let tenant: TenantID

    init(tenant: TenantID) {
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let id = [tenant.high, tenant.low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) } }
        self.tenant = tenant
        text = Self.prefix + Base64URL.encode(id + secret)
    }

    /// `nil` for a text that is no such token.
    init?(_ text: String) {
        guard text.hasPrefix(Self.prefix), text.utf8.count <= 80, let bytes = Base64URL.decode(text.dropFirst(Self.prefix.utf8.count)),
            bytes.count == 48
        else { return nil }
        func word(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
        tenant = TenantID(high: word(0..<8), low: word(8..<16))
        self.text = text
    }

    /// SHA-256 in hexadecimal digits: all that is stored.
    var hash: String { Hex.encode(SHA256.hash(data: Array(text.utf8))) }
}
