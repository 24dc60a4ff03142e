import Core

/// Where a list goes on: behind the row with this value in the sorted column and this id; without an id at its beginning, when all that
/// was shown stands before the list's own order.
struct Cursor: Sendable, Hashable {
    /// In Postgres' text format; `nil` for a row without a value.
    var value: String?
    var id: RecordID?

    /// What ``Paging`` seals.
    var json: JSON { [id.map { .string($0.description) } ?? .null, value.map(JSON.string) ?? .null] }

    init(value: String?, id: RecordID?) {
        self.value = value
        self.id = id
    }

    init?(_ json: JSON) {
        let id = json[0]?.string.flatMap { RecordID($0) }
        guard id != nil || json[0] == .null, let value = json[1], value == .null || value.string != nil else { return nil }
        self.init(value: value.string, id: id)
    }
}
