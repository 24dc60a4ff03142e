import Core
import Postgres

/// A write that says whose record it is, by a caller who does not reach everybody's: it may give the record to somebody whose records the
/// caller does not see.
struct HandOver {
    /// That the record stays within the caller's reach.
    let staysInReach: SQL
    /// Whether the caller may give records beyond their reach; then they are told of it instead.
    let isPermitted: Bool

    /// `nil` for nearly all writes: those of callers who reach everybody's records, and those that leave the record with its owner, or give it to
    /// the caller.
    init?(_ write: Write, of definition: ResourceDefinition, by context: RequestContext) {
        guard context.scopes[definition.permissions] != .all,
            let change = write.changes.first(where: { change in
                change.field.name == definition.owner && change.value != .set(context.user.sqlValue)
            }), case .set(let owner) = change.value
        else { return nil }
        // Whoever makes a record that nobody owns has it.
        if case .create = write, owner == .null { return nil }
        let key: SQL = owner == .null ? "created_by" : "\(owner)::uuid"
        guard let staysInReach = definition.reach(of: context, owner: key) else { return nil }
        self.staysInReach = staysInReach
        isPermitted = context.permissions.contains(Permission(definition.permissions, .share))
    }

    /// Why the write is refused.
    static func refusal(of definition: ResourceDefinition) -> Problem {
        let permission = Permission(definition.permissions, .share)
        let detail =
            "To give a \(definition.noun) to somebody whose \(definition.nouns) you do not see needs the permission \(permission)."
        return Problem(.forbidden, detail, faults: [.init(pointer: "/\(definition.owner)", code: .notAllowed, detail: detail)])
    }
}
