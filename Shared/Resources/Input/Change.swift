import Core
import Postgres

/// What a checked body does to one field.
struct Change: Sendable {
    enum Value: Sendable, Equatable {
        case set(SQLValue)
        /// Members to merge into a `jsonb` column; those that are null are taken away.
        case merge(JSON)
    }

    var field: Field
    var value: Value
}

/// A member that a body refers to, to be confirmed by the service that knows the members.
struct MemberReference: Sendable {
    var pointer: String
    var user: UserID
}

/// A body that has passed every check that needs no database.
struct CheckedBody: Sendable {
    /// In the order of the declaration; on create every field that can be set.
    var changes: [Change]
    var members: [MemberReference]
}
