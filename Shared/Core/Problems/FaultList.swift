/// The faults of one input while it is read: all of them are told at once, up to a number.
public struct FaultList: Sendable {
    public private(set) var faults: [Problem.Fault] = []
    private let maximum: Int
    /// Faults that come with a proposal; none where there is room for one fault only, as for what is left of a long batch.
    private let maximumHints: Int

    public init(maximum: Int = Problem.maximumFaults) {
        self.maximum = maximum
        maximumHints = min(Suggestion.maximumHints, maximum - 1)
    }

    /// Whether no more faults are told, so that there is no use in looking for them.
    public var isFull: Bool { faults.count >= maximum }

    /// ``Suggestion/hint(for:among:)`` for the next fault, as long as there are few.
    public func hint(for name: String, among candidates: some Sequence<String>) -> String {
        faults.count < maximumHints ? Suggestion.hint(for: name, among: candidates) : ""
    }

    public mutating func add(_ code: FaultCode, at pointer: String, _ detail: String) {
        guard !isFull else { return }
        faults.append(.init(pointer: pointer, code: code, detail: detail))
    }

    public mutating func add(_ fault: ValueFault, at pointer: String) { add(fault.code, at: pointer, fault.detail) }

    /// The known ones of the value's members, however many it has; notes a fault for another kind of value, and for each member that is not known.
    ///
    /// - Parameters:
    ///   - pointer: where the object stands.
    ///   - known: what may be given, and is proposed for a name that is nearly right.
    public mutating func members(
        of json: JSON, at pointer: String, known: [String], readOnly: [String] = []
    ) -> JSONObject? {
        guard let object = json.object else {
            add(.type("an object", json), at: pointer)
            return nil
        }
        var given = JSONObject()
        for member in object.members {
            if isFull { break }
            let name = member.name
            if known.contains(name) {
                given.append(name, member.value)
                continue
            }
            let place = pointer + JSONPointer.segment(name)
            if readOnly.contains(name) {
                add(.readOnly, at: place, "The member '\(name)' cannot be set.")
            } else {
                let hint = hint(for: name, among: known)
                add(.unknownMember, at: place, "There is no member '\(Suggestion.shown(name))'.\(hint)")
            }
        }
        return given
    }

    /// - Throws: ``Problem`` with all faults, if there are any: `unknown_member` when one of them is such, else `validation_failed`.
    public func finish() throws(Problem) {
        if let unknown = faults.first(where: { $0.code == .unknownMember }) {
            // Names the member rather than another fault that comes earlier.
            throw Problem(.unknownMember, unknown.detail, faults: faults)
        }
        if !faults.isEmpty { throw .invalid(faults) }
    }
}
