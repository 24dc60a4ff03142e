import Contracts
import Core
import Postgres

/// A role that a tenant has made.
struct CustomRole: Sendable {
    /// Roles of its own that a tenant can have.
    static let maximumCount = 100
    static let maximumDescription = 500

    /// Known by it everywhere, so it never changes.
    let name: String
    let description: String?
    let rights: Rights
    let epoch: Int64
    let version: Int64
    let createdAt: Timestamp
    let createdBy: UserID
    let updatedAt: Timestamp
    let updatedBy: UserID

    /// 1 to 64 of `a-z`, `0-9` and `_`.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "_")
            }
    }

    static let columns: SQL = """
        custom_role.name, custom_role.description, custom_role.permissions, custom_role.scopes, custom_role.fields, custom_role.epoch, custom_role.version,
        custom_role.created_at, custom_role.created_by, custom_role.updated_at, custom_role.updated_by
        """

    init(row: PostgresRow) throws {
        name = try row.decode("name")
        description = try row.decode("description")
        rights = Rights(
            permissionNames: try row.decode("permissions"), scopes: try row.decode("scopes"), fields: try row.decode("fields"))
        epoch = try row.decode("epoch")
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        updatedAt = try row.decode("updated_at")
        updatedBy = try row.decode("updated_by")
    }
}

extension Rights {
    /// As they are kept: a permission or a scope that only a newer release knows gives nothing here, such a rule for a field takes it away.
    init(permissionNames: [String], scopes json: JSON, fields: JSON) {
        self.init(permissions: PermissionSet(permissionNames.lazy.compactMap { Permission($0) }), fields: FieldRules(json: fields))
        for resource in PermissionResource.allCases where permissions.concerns(resource) {
            let name = json[resource.rawValue]?.string
            scopes[resource] = RowScope.grantable.first { $0.name == name } ?? .none
        }
    }

    var permissionNames: [String] { permissions.permissions.map(\.description) }

    /// The scope of each resource that there is a permission for.
    var scopesJSON: JSON {
        var names = JSONObject()
        for resource in PermissionResource.allCases where permissions.concerns(resource) {
            names[resource.rawValue] = .string(scopes[resource].name)
        }
        return .object(names)
    }

    /// What the others allow beyond these, the first of it in words; `nil` when there is nothing.
    func firstBeyond(_ other: Rights) -> String? {
        if let permission = other.permissions.permissions.first(where: { !permissions.contains($0) }) { return permission.description }
        let wider = PermissionResource.allCases.first { other.permissions.concerns($0) && other.scopes[$0] > scopes[$0] }
        if let wider { return "\(wider.rawValue) of scope \(other.scopes[wider].name)" }
        return firstField(beyond: other).map { "the field \($0)" }
    }
}
