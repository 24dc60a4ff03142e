import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime

extension LogCopy {
    /// The names of members, as their accounts have them: who changes the name of his account has the new one in every tenant.
    static let memberNames = LogCopy(
        source: .identity, aggregate: "user", format: 1,
        statements: { event in
            guard event.kind == "user.updated", let user = UserID(event.aggregateID),
                let name = try JSONParser.parse(event.payload)["after"]?["name"]?.string
            else { return [] }
            return [
                """
                update member set name = \(name), version = version + 1, updated_at = now(), updated_by = \(user)
                where user_id = \(user) and deleted_at is null and name is distinct from \(name)
                """
            ]
        },
        // The rows are the service's own, and a name in doubt is better than none: it stays until the next change of it.
        removal: { _, _ in nil }, all: { _, _ in Told([]) }, named: { _, _, _ in Told([]) })
}
