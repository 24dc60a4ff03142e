import Core
import Postgres

/// What a write is held to beside its precondition, as conditions of its own statement: whose record it may become, its states, and the references
/// that it makes. So each holds at the moment of the write, whatever else is written then.
struct WriteConditions: Sendable {
    private let definition: ResourceDefinition
    let states: StateStatements
    private let references: ReferenceStatements

    init(_ view: ResourceView, _ references: ReferenceStatements) {
        definition = view.definition
        states = StateStatements(view)
        self.references = references
    }

    /// All must hold; none for most.
    func of(_ write: Write, as context: RequestContext) -> [SQL] {
        keeping(write, as: context) + states.conditions(of: write) + references.conditions(of: write, as: context)
    }

    /// The same by what is answered where they do not hold.
    func kinds(of write: Write, as context: RequestContext) -> [(code: ErrorCode, conditions: [SQL])] {
        [
            (.forbidden, keeping(write, as: context)), (.conflict, states.conditions(of: write)),
            (.referenceNotFound, references.conditions(of: write, as: context)),
        ]
    }

    /// That the record is not given away by somebody who may not do that.
    private func keeping(_ write: Write, as context: RequestContext) -> [SQL] {
        guard let handOver = HandOver(write, of: definition, by: context), !handOver.isPermitted else { return [] }
        return [handOver.staysInReach]
    }

    // MARK: Why a write found no row

    /// Asks which of the conditions did not hold; `nil` when the write had none. For ``refusal(of:answer:as:)``.
    func question(of write: Write, as context: RequestContext) -> SQL? {
        let answers = states.answers(about: write) + keeping(write, as: context) + references.answers(about: write, as: context)
        if answers.isEmpty { return nil }
        let question: SQL = "select " + SQL.joined(answers, separator: ", ")
        switch write {
        case .update, .restore, .delete:
            return question + " from \(unescaped: definition.table) where tenant_id = \(context.tenant) and id = "
                + references.id(of: write, as: context)
        case .create, .upsert: return question
        }
    }

    /// What the answer means; `nil` when all conditions hold by now.
    func refusal(of write: Write, answer: PostgresResult, as context: RequestContext) throws -> Problem? {
        guard let row = answer.first else { return nil }
        var first = states.answers(about: write).count
        if !keeping(write, as: context).isEmpty {
            if try !row.decode(first, as: Bool.self) { return HandOver.refusal(of: definition) }
            first += 1
        }
        return try states.refusal(of: write, row) ?? references.refusal(of: write, row, from: first, as: context)
    }
}
