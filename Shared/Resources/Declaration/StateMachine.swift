/// The states of a record's life and what each may become, for a field of the kind ``FieldKind/states(_:)``.
///
/// ```swift
/// StateMachine(["draft": ["published"], "published": ["draft", "archived"], "archived": []], start: ["draft", "published"])
/// ```
///
/// What is not listed cannot be reached by a request; an operation of the service's own sets it past the machine. A state that becomes
/// nothing is the end: such a record is read, deleted and restored, and changed no more. One in a state that is kept is not deleted either.
public struct StateMachine: Sendable {
    /// In the order of the declaration.
    public let states: [String]
    /// Those that a new record can have; the first of them unless its body names one.
    public let start: [String]
    /// Those in which a record is not deleted.
    public let kept: [String]
    private let next: [String: [String]]

    /// - Precondition: each state that is named is declared, once, and there is one to start with.
    public init(_ transitions: KeyValuePairs<String, [String]>, start: [String], kept: [String] = []) {
        states = transitions.map(\.key)
        self.start = start
        self.kept = kept
        next = Dictionary(uniqueKeysWithValues: transitions.map { ($0.key, $0.value) })
        precondition(!start.isEmpty && Set(start + kept + transitions.flatMap(\.value)).isSubset(of: states), "a state is not declared")
    }

    /// What a record in the state may become.
    func successors(of state: String) -> [String] { next[state] ?? [] }

    /// The states from which a record may come into this one.
    func predecessors(of state: String) -> [String] { states.filter { successors(of: $0).contains(state) } }

    /// The states that become nothing.
    var ends: [String] { states.filter { successors(of: $0).isEmpty } }
}

/// For the public document.
extension StateMachine {
    var rule: String {
        let moves = states.map { state in
            let successors = successors(of: state)
            return successors.isEmpty
                ? "\(state) is the end, after which a change is refused" : "\(state) becomes \(Self.any(of: successors))"
        }
        let others = states.filter { !start.contains($0) && predecessors(of: $0).isEmpty }
        let unreachable = others.isEmpty ? "" : " Nothing becomes \(Self.any(of: others)) by a change."
        let undeletable = kept.isEmpty ? "" : " What is \(Self.any(of: kept)) is not deleted."
        return "A record starts as \(Self.any(of: start)). By a change \(moves.joined(separator: "; ")).\(unreachable)\(undeletable)"
    }

    /// `a, b or c`.
    static func any(of states: [String]) -> String {
        guard let last = states.last, states.count > 1 else { return states.first ?? "" }
        return "\(states.dropLast().joined(separator: ", ")) or \(last)"
    }
}
