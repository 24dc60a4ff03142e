import Core
import Postgres

/// What a request calls a record by.
enum RecordKey: Sendable, Hashable {
    case id(RecordID)
    /// The id that another system knows it by: one of a live record.
    case external(String)
}

/// A write of one record, checked and ready to become SQL.
enum Write: Sendable {
    /// `at` is when it is said to have been made; the transaction's time unless given.
    case create(id: RecordID, [Change], at: Timestamp? = nil)
    /// Without changes it reads the record, under the same conditions.
    case update(RecordKey, [Change], Precondition)
    case delete(RecordKey, Precondition)
    case restore(id: RecordID, Precondition)
    case upsert(Upsert)

    /// The record that it is about, unless it makes a new one in any case.
    var record: RecordKey? {
        switch self {
        case .create: nil
        case .update(let record, _, _), .delete(let record, _): record
        case .restore(let id, _): .id(id)
        case .upsert(let upsert): .external(upsert.externalID)
        }
    }

    /// Everything that it may do to fields.
    var changes: [Change] {
        switch self {
        case .create(_, let changes, _), .update(_, let changes, _): changes
        case .delete, .restore: []
        case .upsert(let upsert): ((try? upsert.creation.get()) ?? []) + ((try? upsert.changes.get()) ?? [])
        }
    }

    /// The unique values that it gives to the record.
    var uniqueValues: [(field: Field, value: String)] {
        changes.compactMap { change in
            guard change.field.isUnique, case .set(.text(let value)) = change.value else { return nil }
            return (change.field, value)
        }
    }

    /// Whether a record may come about by it.
    var mayCreate: Bool {
        switch self {
        case .create: true
        case .update, .delete, .restore: false
        case .upsert(let upsert): (try? upsert.creation.get()) != nil
        }
    }

    /// The status of the answer when it succeeds.
    func status(isNew: Bool) -> Int {
        switch self {
        case .create: 201
        case .update, .restore: 200
        case .delete: 204
        case .upsert: isNew ? 201 : 200
        }
    }
}

extension Write {
    /// Whether a record in this state is one that the write is for; without a state, whether it needs none.
    func isAsWanted(version: Int64?, isDeleted: Bool?) -> Bool {
        let precondition: Precondition
        switch self {
        case .create, .upsert: return true
        case .update(_, _, let demanded), .delete(_, let demanded), .restore(_, let demanded): precondition = demanded
        }
        guard let version, let isDeleted else { return false }
        if case .versions(let versions) = precondition, !versions.contains(version) { return false }
        return if case .restore = self { isDeleted } else { !isDeleted }
    }
}

/// A write of the record that another system knows by its own id: one that is there is changed, else it is made. At most one of the two
/// is ruled out.
struct Upsert: Sendable {
    var externalID: String
    /// Of the record, if it is made.
    var id: RecordID
    /// What makes the record, or why it is not made.
    var creation: Result<[Change], Problem>
    /// What changes the record, or why it is left as it is. As with ``Write/update(_:_:_:)`` there may be nothing to change.
    var changes: Result<[Change], Problem>
    /// What a record that is there must have.
    var precondition: Precondition
    /// When a record is said to have been made; the transaction's time unless given.
    var instant: Timestamp?

    /// The write that it comes to; `nil` when that one is ruled out.
    func write(isThere: Bool) -> Write? {
        isThere
            ? (try? changes.get()).map { .update(.external(externalID), $0, precondition) }
            : (try? creation.get()).map { .create(id: id, $0, at: instant) }
    }
}
