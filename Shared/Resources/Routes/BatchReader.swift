import Core

/// Reads the body of a batch into operations, each checked like the route that it stands for.
struct BatchReader: Sendable {
    struct Batch: Sendable {
        var isAtomic: Bool
        var operations: [Operation]
    }

    /// One operation, or why it cannot be run.
    struct Operation: Sendable {
        var write: Result<Write, Problem>
        var members: [MemberReference] = []
    }

    static let maximumOperations = 200

    let reader: BodyReader

    private var definition: ResourceDefinition { reader.view.definition }

    /// - Throws: ``Problem`` when the body as a whole is not a batch; faults of single operations are in the operations.
    func read(_ json: JSON, as context: RequestContext) throws(Problem) -> Batch {
        let object = try members(of: json, known: ["atomic", "operations"], at: "")
        var faults: [Problem.Fault] = []
        let isAtomic = object["atomic"] ?? false
        if isAtomic.bool == nil {
            faults.append(.init(pointer: "/atomic", code: .invalidType, detail: "Expected a boolean, found \(isAtomic.kindName)."))
        }
        let operations = object["operations"]?.array
        if operations == nil {
            faults.append(.init(pointer: "/operations", code: .required, detail: "Expected an array of operations."))
        } else if let count = operations?.count, !(1...Self.maximumOperations).contains(count) {
            faults.append(
                .init(
                    pointer: "/operations", code: .outOfRange,
                    detail: "Expected 1 to \(Self.maximumOperations) operations, found \(count)."))
        }
        if !faults.isEmpty { throw .invalid(faults) }
        // One time for all that are made, so that lists have them in the order sent, which is that of their ids.
        let instant = Timestamp.now
        // All operations share the faults that one answer reports; each that is wrong has one at least.
        var faultsLeft = Problem.maximumFaults
        return Batch(
            isAtomic: isAtomic.bool ?? false,
            operations: (operations ?? []).enumerated().map { index, json in
                var operation = Operation(write: .failure(.notFound))
                do throws(Problem) {
                    operation.write = .success(
                        try write(
                            json, as: context, at: "/operations/\(index)", on: instant, maximumFaults: faultsLeft,
                            members: &operation.members))
                } catch {
                    operation.write = .failure(error)
                    faultsLeft = max(1, faultsLeft - error.faults.count)
                }
                return operation
            })
    }

    private func members(
        of json: JSON, known: [String], at pointer: String, maximumFaults: Int = Problem.maximumFaults
    ) throws(Problem) -> JSONObject {
        var faults = FaultList(maximum: maximumFaults)
        let object = faults.members(of: json, at: pointer, known: known)
        try faults.finish()
        return object ?? JSONObject()
    }

    private func write(
        _ json: JSON, as context: RequestContext, at pointer: String, on instant: Timestamp, maximumFaults: Int,
        members: inout [MemberReference]
    ) throws(Problem) -> Write {
        guard let kind = json["op"]?.string, let action = ["create", "update", "delete", "upsert"].first(where: { $0 == kind }) else {
            throw .invalid([.init(pointer: "\(pointer)/op", code: .notAllowed, detail: "Expected create, update, delete or upsert.")])
        }
        switch action {
        case "create":
            let object = try self.members(of: json, known: ["op", "body"], at: pointer, maximumFaults: maximumFaults)
            try require(.create, context)
            guard context.scopes[definition.permissions] != .none else { throw .forbidden(Permission(definition.permissions, .create)) }
            let body = try reader.read(
                object["body"] ?? .null, for: .create, as: context, pointer: "\(pointer)/body", maximumFaults: maximumFaults)
            members = body.members
            return .create(id: RecordID(), body.changes, at: instant)
        case "update":
            let object = try self.members(
                of: json, known: ["op", "id", "external_id", "version", "body"], at: pointer, maximumFaults: maximumFaults)
            try require(.update, context)
            let target = try target(object, at: pointer)
            let body = try reader.read(
                object["body"] ?? .null, for: .patch, as: context, pointer: "\(pointer)/body", maximumFaults: maximumFaults)
            members = body.members
            return .update(target.record, body.changes, target.precondition)
        case "upsert":
            let object = try self.members(
                of: json, known: ["op", "external_id", "version", "body"], at: pointer, maximumFaults: maximumFaults)
            let target = try target(object, mayHaveID: false, at: pointer)
            guard case .external(let externalID) = target.record else { throw .notFound }
            let (upsert, references) = try reader.upsert(
                object["body"] ?? .null, of: externalID, target.precondition == .none ? .always : .onlyChanges(target.precondition),
                as: context, pointer: "\(pointer)/body", maximumFaults: maximumFaults, at: instant)
            members = references
            return .upsert(upsert)
        default:
            let object = try self.members(
                of: json, known: ["op", "id", "external_id", "version"], at: pointer, maximumFaults: maximumFaults)
            try require(.delete, context)
            let target = try target(object, at: pointer)
            return .delete(target.record, target.precondition)
        }
    }

    private func require(_ action: PermissionAction, _ context: RequestContext) throws(Problem) {
        try context.require(Permission(definition.permissions, action))
    }

    private func target(
        _ object: JSONObject, mayHaveID: Bool = true, at pointer: String
    ) throws(Problem) -> (record: RecordKey, precondition: Precondition) {
        var faults: [Problem.Fault] = []
        var record: RecordKey?
        if let json = object["external_id"] {
            if object["id"] != nil {
                faults.append(.init(pointer: "\(pointer)/external_id", code: .notAllowed, detail: "Expected id or external_id, not both."))
            }
            do throws(ValueFault) {
                record = .external(try reader.externalID(json))
            } catch {
                faults.append(.init(pointer: "\(pointer)/external_id", code: error.code, detail: error.detail))
            }
        } else if mayHaveID {
            record = object["id"]?.string.flatMap { RecordID($0) }.map { .id($0) }
            if record == nil {
                faults.append(.init(pointer: "\(pointer)/id", code: .invalidFormat, detail: "Expected an id (UUID), or external_id."))
            }
        } else {
            faults.append(.init(pointer: "\(pointer)/external_id", code: .required, detail: "The member 'external_id' is required."))
        }
        var precondition = Precondition.none
        switch object["version"] {
        case nil, .null: break
        case let json?:
            if let version = json.integer {
                precondition = .versions([version])
            } else {
                faults.append(.init(pointer: "\(pointer)/version", code: .invalidType, detail: "Expected an integer."))
            }
        }
        guard let record, faults.isEmpty else { throw .invalid(faults) }
        return (record, precondition)
    }
}
