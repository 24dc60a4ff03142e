import Core

/// When an upsert does something at all.
public enum UpsertOccasion: Sendable {
    case always
    /// Where no record is there.
    case onlyMakes
    /// Where one is there that meets the precondition.
    case onlyChanges(Precondition)

    /// What the call's `If-Match` or `If-None-Match: *` demands.
    ///
    /// - Parameter tagsHashBody: as in ``Precondition/init(_:tagsHashBody:)``.
    /// - Throws: ``Problem`` `invalid_parameter`.
    public init(_ call: Call, tagsHashBody: Bool = false) throws(Problem) {
        let precondition = try Precondition(call, tagsHashBody: tagsHashBody)
        let changes = call.header("if-match") != nil
        guard let header = call.header("if-none-match") else {
            self = changes ? .onlyChanges(precondition) : .always
            return
        }
        guard header == "*", !changes else {
            let detail = changes ? "Expected If-Match or If-None-Match, not both." : "Expected *: only a record that is not there is made."
            throw Problem(.invalidParameter, detail, faults: [.init(pointer: "If-None-Match", code: .invalidParameter, detail: detail)])
        }
        self = .onlyMakes
    }
}

extension BodyReader {
    /// Checks the id that another system knows a record by.
    ///
    /// - Throws: ``ValueFault``, also for a text that shows nothing.
    func externalID(_ json: JSON) throws(ValueFault) -> String {
        guard let id = try ResourceDefinition.externalID.type.checked(json).string else {
            throw ValueFault(.tooShort, "Expected an external id of 1 to 255 characters.")
        }
        return id
    }

    /// Reads the body of an upsert. One that is whole can make the record; whatever it is, it can change it.
    ///
    /// - Parameters:
    ///   - externalID: checked; the body may repeat it, and says no other.
    ///   - pointer, maximumFaults: as in ``read(_:for:as:externalID:pointer:maximumFaults:)``.
    ///   - instant: when a record is said to have been made.
    /// - Throws: ``Problem`` `forbidden` when the caller may do nothing of it; what reading the body throws.
    func upsert(
        _ json: JSON, of externalID: String, _ occasion: UpsertOccasion, as context: RequestContext, pointer: String = "",
        maximumFaults: Int = Problem.maximumFaults, at instant: Timestamp? = nil
    ) throws(Problem) -> (Upsert, [MemberReference]) {
        let definition = view.definition
        let create = Permission(definition.permissions, .create)
        let update = Permission(definition.permissions, .update)
        let isInScope = context.scopes[definition.permissions] != .none
        var creation: Problem? = isInScope && context.permissions.contains(create) ? nil : .forbidden(create)
        var change: Problem? = context.permissions.contains(update) ? nil : .forbidden(update)
        var precondition = Precondition.none
        switch occasion {
        case .always: if let creation, change != nil { throw creation }
        case .onlyMakes:
            if let creation { throw creation }
            change = Problem(.versionMismatch, "The \(definition.noun) is there.")
        case .onlyChanges(let demanded):
            if let change { throw change }
            creation = Problem(.versionMismatch, "There is no \(definition.noun) with this external_id.")
            precondition = demanded
        }
        let patch = try read(
            json, for: .patch, as: context, externalID: externalID, pointer: pointer, maximumFaults: maximumFaults)
        let making = Result { () throws(Problem) in
            if let creation { throw creation }
            return try read(
                json, for: .create, as: context, externalID: externalID, pointer: pointer, maximumFaults: maximumFaults
            ).changes
        }
        // Where nothing is to be changed, what is missing is missing in any case.
        if change != nil { _ = try making.get() }
        let upsert = Upsert(
            externalID: externalID, id: RecordID(), creation: making, changes: change.map(Result.failure) ?? .success(patch.changes),
            precondition: precondition, instant: instant)
        return (upsert, patch.members)
    }
}
