import Core
import Postgres

/// A page of all of a service's records of a kind, in the order of their tenants and ids, as another service asks for it that makes a copy of them
/// (``LogCopy``): with `after`, the place that the page before ended at, and `limit`, 1 to 1000 records, 500 unless given.
public struct CopyPage: Sendable {
    private let place: CopyPlace?
    private let limit: Int

    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter`.
    public init(_ call: Call) throws(Problem) {
        try call.query.allowOnly(["after", "limit"])
        guard let limit = Int(call.query["limit"] ?? "500"), (1...1000).contains(limit) else {
            throw Problem.invalidParameter("limit", "Give a number from 1 to 1000.")
        }
        place = try call.query["after"].map { text throws(Problem) in
            guard let place = CopyPlace(text) else {
                throw .invalidParameter("after", "Give back what the page before has as its next.")
            }
            return place
        }
        self.limit = limit
    }

    /// What follows the table's name in the statement that reads the page, and one record more if there is one.
    ///
    /// - Parameter key: the column with the records' ids, UUIDs.
    public func clause(by key: String) -> SQL {
        let condition: SQL = place.map { "where (tenant_id, \(unescaped: key)) > (\($0.tenant)::uuid, \($0.id)::uuid) " } ?? ""
        return condition + "order by tenant_id, \(unescaped: key) limit \(limit + 1)"
    }

    /// The answer: `data`, and `next`, the place to go on from, null at the end.
    ///
    /// - Parameter records: all that the statement gave, each with its `tenant` and `id`.
    public func reply(_ records: [JSON]) -> Reply {
        let page = records.prefix(limit)
        let next = records.count > limit ? page.last.map { "\($0["tenant"]?.string ?? "").\($0["id"]?.string ?? "")" } : nil
        return .json(["data": .array(Array(page)), "next": next.map { .string($0) } ?? .null])
    }
}

/// Where a page ends, written `<tenant>.<id>`.
struct CopyPlace: Comparable, Sendable {
    let tenant: TenantID
    let id: RecordID

    init?(_ text: String) {
        let parts = text.split(separator: ".").map(String.init)
        guard parts.count == 2, let tenant = TenantID(parts[0]), let id = RecordID(parts[1]) else { return nil }
        (self.tenant, self.id) = (tenant, id)
    }

    static func < (one: CopyPlace, other: CopyPlace) -> Bool { (one.tenant, one.id) < (other.tenant, other.id) }
}
