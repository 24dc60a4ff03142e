import Core
import Postgres

/// What follows a merge in the background: it moves what refers to the records that are gone and was more than the merge itself had room for, or was
/// written at the same moment, by requests that saw them still there; and those references of deleted records. Where the survivor has become another
/// record meanwhile, it asks for what follows that merge. When the merge is undone, it moves the
/// rest back. Each step may be done again.
public struct MergeFollowing: Codable, Sendable {
    /// The kind of its jobs.
    public static let kind = "merge-references"
    /// Seconds after which nothing runs any more that may have seen the records still there.
    static let delay = 90

    private let resource: String
    private let merge: String

    init(resource: String, merge: RecordID) { (self.resource, self.merge) = (resource, merge.description) }

    /// What a step has come to.
    public enum Outcome: Sendable {
        case more
        /// What is to be written with its end.
        case done([SQL])
    }

    /// Asks for it, in the transaction of the merge.
    func enqueue(isAtOnce: Bool) -> SQL {
        let payload: JSON = ["resource": .string(resource), "merge": .string(merge)]
        let due: SQL = isAtOnce ? "null" : "now() + interval '\(unescaped: String(Self.delay)) seconds'"
        return "select enqueue_job('\(unescaped: Self.kind)', \(payload)::jsonb, \(merge), " + due + ")"
    }

    /// - Parameters:
    ///   - resources: those of the service.
    ///   - write: runs statements in one transaction.
    public func step(
        among resources: [Resource], as context: RequestContext, write: ([SQL]) async throws -> [PostgresResult]
    ) async throws -> Outcome {
        guard let statements = resources.first(where: { $0.definition.name == resource })?.whole.merges?.statements,
            let merge = RecordID(merge)
        else { return .done([]) }
        guard let row = try await write([statements.follow(merge, as: context)])[0].first else { return .done([]) }
        let survivor: RecordID = try row.decode(0)
        let merged: [RecordID] = try row.decode(1)
        if try row.decode(2) { return try await moveBack(merge, survivor, statements, as: context, write) }
        for isLive in [true, false] {
            let moves = statements.moves(of: merge, merged, into: survivor, isLive: isLive, as: context)
            let first = [statements.follow(merge, as: context), statements.goOn(from: survivor, as: context)]
            let results = try await write(first + moves).dropFirst(first.count)
            let counts = try results.map { try $0.reduce(0) { $0 + (try $1.decode(0, as: Int.self)) } }
            if counts.contains(where: { $0 >= MergeStatements.step }) { return .more }
        }
        // It was asked for at once, since there was so much.
        return .done(try row.decode(3) ? [enqueue(isAtOnce: false)] : [])
    }

    private func moveBack(
        _ merge: RecordID, _ survivor: RecordID, _ statements: MergeStatements, as context: RequestContext,
        _ write: ([SQL]) async throws -> [PostgresResult]
    ) async throws -> Outcome {
        guard let row = try await write([statements.moved(by: merge, limit: 1, as: context)])[0].first else { return .done([]) }
        _ = try await write(statements.moveBack(try MergeMove(row), from: survivor, as: context))
        return .more
    }
}
