import Core
import Postgres

/// What follows from the states of records: what a change of them is held to, and the instants that change with them. Conditions and values are
/// of the row as it is when it is changed, so that of two changes at the same moment the second sees what the first has made.
struct StateStatements: Sendable {
    private struct Machine: Sendable {
        let field: String
        let machine: StateMachine
        /// Whether the caller may know the state.
        let isShown: Bool
        /// That the record has not come to its end.
        let goesOn: SQL?
        /// That it may be deleted.
        let goesAway: SQL?
    }

    private struct Instant: Sendable {
        let name: String
        let field: String
        let values: [String]
    }

    private let singular: String
    private let machines: [Machine]
    private let instants: [Instant]

    init(_ view: ResourceView) {
        let definition = view.definition
        singular = definition.noun
        machines = definition.fields.compactMap { field in
            guard case .states(let machine) = field.kind else { return nil }
            func isNone(of states: [String]) -> SQL? {
                let list = states.map { "'\($0)'" }.joined(separator: ", ")
                return states.isEmpty ? nil : "\(unescaped: field.name) not in (\(unescaped: list))"
            }
            return Machine(
                field: field.name, machine: machine, isShown: view.shown.field(field.name) != nil,
                goesOn: isNone(of: machine.ends), goesAway: isNone(of: machine.kept))
        }
        instants = definition.fields.compactMap { field in
            guard case .since(let named, let values) = field.kind else { return nil }
            return Instant(name: field.name, field: named, values: values)
        }
    }

    // MARK: Since when

    /// The columns of a new record that its states give an instant; none for most.
    func instants(of changes: [Change]) -> [String] {
        instants.filter { isAmong($0, after: changes) == true }.map(\.name)
    }

    /// The columns that changes of states change beside them.
    func followers(of changes: [Change]) -> [String] {
        instants.filter { instant in changes.contains { $0.field.name == instant.field } }.map(\.name)
    }

    /// What a change of states changes beside them.
    func assignments(of changes: [Change]) -> [SQL] {
        instants.compactMap { instant in
            guard let isSince = isAmong(instant, after: changes) else { return nil }
            let name: SQL = "\(unescaped: instant.name)"
            guard isSince else { return name + " = null" }
            return name + " = case when \(unescaped: instant.field) = any(\(instant.values)::text[]) then " + name + " else now() end"
        }
    }

    /// Whether the changes give the field one of the instant's values; `nil` when they do not name it.
    private func isAmong(_ instant: Instant, after changes: [Change]) -> Bool? {
        guard changes.contains(where: { $0.field.name == instant.field }) else { return nil }
        return Self.value(of: instant.field, after: changes).map(instant.values.contains) ?? false
    }

    // MARK: What a record may become

    func conditions(of write: Write) -> [SQL] {
        if machines.isEmpty { return [] }
        if case .delete = write { return machines.compactMap(\.goesAway) }
        guard case .update(_, let changes, _) = write else { return [] }
        return machines.flatMap { machine -> [SQL] in
            let goesOn = machine.goesOn.map { [$0] } ?? []
            guard let state = Self.value(of: machine.field, after: changes) else { return goesOn }
            return goesOn + ["\(unescaped: machine.field) = any(\(machine.machine.predecessors(of: state) + [state])::text[])"]
        }
    }

    /// The value that the changes give to the field; `nil` also for null.
    private static func value(of field: String, after changes: [Change]) -> String? {
        for change in changes where change.field.name == field {
            if case .set(.text(let value)) = change.value { return value }
        }
        return nil
    }

    /// The states that the record has.
    func answers(about write: Write) -> [SQL] {
        machines(about: write).map { "\(unescaped: $0.field)" }
    }

    private func machines(about write: Write) -> [Machine] {
        switch write {
        case .update: machines
        case .delete: machines.filter { $0.goesAway != nil }
        case .create, .restore, .upsert: []
        }
    }

    /// - Parameter row: begins with the answers.
    func refusal(of write: Write, _ row: PostgresRow) -> Problem? {
        for (index, machine) in machines(about: write).enumerated() {
            guard let current = row.text(index) else { continue }
            if case .delete = write {
                guard machine.machine.kept.contains(current) else { continue }
                return Problem(
                    .conflict, machine.isShown ? "The \(singular) is \(current) and is not deleted." : "The \(singular) is not deleted.",
                    members: machine.isShown ? [("field", .string(machine.field)), ("current", .string(current))] : [])
            }
            let successors = machine.machine.successors(of: current)
            let members: [(String, JSON)] = [
                ("field", .string(machine.field)), ("current", .string(current)), ("allowed", .array(successors.map { .string($0) })),
            ]
            let wanted = Self.value(of: machine.field, after: write.changes)
            if successors.isEmpty {
                if !machine.isShown { return Problem(.conflict, "The \(singular) is changed no more.") }
                let detail = "The \(singular) is \(current) and is changed no more."
                let isAsItIs = wanted == nil || wanted == current
                return Problem(.conflict, detail, faults: isAsItIs ? [] : [fault(machine, detail)], members: members)
            }
            guard let wanted, wanted != current, !successors.contains(wanted) else { continue }
            let detail = "The \(singular) is \(current): it can become \(StateMachine.any(of: successors)), not \(wanted)."
            return Problem(.conflict, detail, faults: [fault(machine, detail)], members: members)
        }
        return nil
    }

    private func fault(_ machine: Machine, _ detail: String) -> Problem.Fault {
        .init(pointer: "/\(machine.field)", code: .notAllowed, detail: detail)
    }
}
