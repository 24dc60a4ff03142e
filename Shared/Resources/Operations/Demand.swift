import Core
import Postgres

/// What must hold for a statement to do anything, and the answer where it does not.
public struct Demand: Sendable {
    public let condition: SQL
    public let refusal: Problem

    public init(_ condition: SQL, otherwise refusal: Problem) {
        self.condition = condition
        self.refusal = refusal
    }
}

extension [Demand] {
    /// All of them, behind another condition of a `where`; empty for none.
    public var conditions: SQL { SQL.joined(map { " and (" + $0.condition + ")" }, separator: "") }

    /// Asks why a statement did nothing: columns behind others of a `select`, for ``refusal(_:from:)``.
    public var questions: SQL { SQL.joined(map { ", coalesce(" + $0.condition + ", false)" }, separator: "") }

    /// The answer for the first that does not hold, with the faults of all others of its code; `nil` when all hold by now.
    ///
    /// - Parameter first: where the ``questions`` begin in the row.
    public func refusal(_ row: PostgresRow, from first: Int) throws -> Problem? {
        var refusal: Problem?
        for (index, demand) in enumerated() where try !row.decode(first + index, as: Bool.self) {
            if refusal == nil {
                refusal = demand.refusal
            } else if refusal?.code == demand.refusal.code {
                refusal?.faults += demand.refusal.faults
            }
        }
        return refusal
    }
}

extension Problem {
    /// The same about a value that stands at the pointer in the body.
    func below(_ pointer: String) -> Problem {
        var problem = self
        problem.faults = faults.map { Fault(pointer: pointer + $0.pointer, code: $0.code, detail: $0.detail) }
        return problem
    }
}
