/// The faults of one input while it is read: all of them are told at once, up to a number.
public struct FaultList: Sendable {
    public private(set) var faults: [Problem.Fault] = []
    private let maximum: Int

    public init(maximum: Int = Problem.maximumFaults) { self.maximum = maximum }

    public mutating func add(_ code: FaultCode, at pointer: String, _ detail: String) {
        guard faults.count < maximum else { return }
        faults.append(.init(pointer: pointer, code: code, detail: detail))
    }

    public mutating func add(_ fault: ValueFault, at pointer: String) { add(fault.code, at: pointer, fault.detail) }

    /// The value's members; notes a fault for another kind of value, and for each member that is neither known nor `readOnly`.
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
        for name in object.names where !known.contains(name) {
            if faults.count >= maximum { break }
            let place = pointer + JSONPointer.segment(name)
            if readOnly.contains(name) {
                add(.readOnly, at: place, "The member '\(name)' cannot be set.")
            } else {
                let hint = Suggestion.hint(for: name, among: known)
                add(.unknownMember, at: place, "There is no member '\(Suggestion.shown(name))'.\(hint)")
            }
        }
        return object
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
