import Core
import Postgres

extension ResourceStore {
    /// The records that may be the same as this one, with how likely that is and why.
    ///
    /// - Throws: ``Problem`` `not_found`.
    func duplicates(of id: RecordID, as context: RequestContext) async throws -> [UInt8] {
        let candidates = duplicates.matches.isEmpty ? [] : [duplicates.candidates(of: id, as: context)]
        let results = try await answering {
            try await postgres.batch(as: context, [statements.find(.id(id), as: context)] + candidates)
        }
        guard !results[0].isEmpty else { throw Problem.notFound }
        let columns = DuplicateStatements.columns(of: view)
        let renderer = RowRenderer(columns: columns)
        var output = Array(#"{"data":["#.utf8)
        for (place, row) in (results.count > 1 ? Array(results[1]) : []).enumerated() {
            let reasons = try duplicates.matches.enumerated().compactMap { index, match -> JSON? in
                let score = try row.decode(columns.count + 1 + index, as: Int.self)
                return score < DuplicateMatch.lowestScore ? nil : ["field": .string(match.reason), "score": .number(score)]
            }
            output += Array(
                "\(place > 0 ? "," : ""){\"score\":\(row.text(columns.count) ?? "0"),\"reasons\":\(JSON.array(reasons)),\"record\":".utf8)
            renderer.append(row, to: &output)
            output.append(UInt8(ascii: "}"))
        }
        let page: JSON = ["next": .null, "limit": .number(DuplicateStatements.maximum)]
        output += Array("],\"page\":\(page)}".utf8)
        return output
    }

    /// Why a creation was refused: the records that may be the same, as far as the caller may read them, and whether there are others.
    func duplicate(of changes: [Change], as context: RequestContext, underlying error: PostgresError) async throws -> Problem {
        guard let question = duplicates.refused(changes, as: context) else { return error.problem }
        let found = try await answering { try await postgres.batch(as: context, [question])[0] }
        let ids = try found.filter { try $0.decode(1, as: Bool.self) }.map { JSON.string($0.text(0) ?? "") }
        let reasons = duplicates.matches.filter(\.isExact).map(\.reason)
        return Problem(
            .duplicate, "There is a \(view.definition.noun) with the same \(StateMachine.any(of: reasons)).",
            members: [("ids", .array(ids)), ("others", .bool(ids.count < found.count))], underlying: error)
    }
}
