import Core
import Postgres

/// What a bulk act is asked to do, checked against what the caller may do now: once when he asks, and again at each step.
struct BulkRequest: Sendable {
    enum Act: Sendable {
        case change([Change])
        case delete

        var changes: [Change] { if case .change(let changes) = self { changes } else { [] } }

        var action: PermissionAction {
            switch self {
            case .change: .update
            case .delete: .delete
            }
        }
    }

    /// The records that the filter finds, in the order of creation.
    var list: ListRequest
    var act: Act
    var members: [MemberReference]
    var isTrial = false

    /// Reads the body of a request.
    ///
    /// - Throws: ``Problem`` with every fault, or `forbidden`.
    init(_ json: JSON, of access: ResourceAccess, as context: RequestContext) throws(Problem) {
        var faults = FaultList()
        let object =
            faults.members(of: json, at: "", known: ["filter", "change", "delete", "dry_run"])
            ?? JSONObject()
        let deletes = object["delete"]
        if let deletes, deletes != true {
            faults.add(.notAllowed, at: "/delete", "Expected true, or change instead.")
        }
        if let trial = object["dry_run"], trial.bool == nil {
            faults.add(.type("a boolean", trial), at: "/dry_run")
        }
        switch (object["change"], deletes) {
        case (nil, nil): faults.add(.required, at: "/change", "Expected change, or delete.")
        case (_?, _?): faults.add(.notAllowed, at: "/delete", "Expected change or delete, not both.")
        default: break
        }
        try self.init(
            filter: object["filter"], change: object["change"],
            deletes: object["change"] == nil && deletes != nil, of: access, as: context, &faults)
        isTrial = object["dry_run"]?.bool ?? false
    }

    /// Reads what was kept of a request.
    init(filter: JSON, change: JSON?, of access: ResourceAccess, as context: RequestContext) throws(Problem) {
        var faults = FaultList()
        try self.init(
            filter: filter, change: change, deletes: change == nil, of: access, as: context, &faults)
    }

    private init(
        filter: JSON?, change: JSON?, deletes: Bool, of access: ResourceAccess,
        as context: RequestContext, _ faults: inout FaultList
    ) throws(Problem) {
        try context.require(Permission(access.definition.permissions, deletes ? .delete : .update))
        list = access.lists.list(under: filter, at: "/filter", as: context, faults: &faults)
        list.limit = Self.step
        list.selection = access.view.shown.columns.filter { ["id", "version"].contains($0.name) }
        (act, members) = (.delete, [])
        if let change {
            do throws(Problem) {
                let body = try access.reader.read(change, for: .patch, as: context, pointer: "/change")
                (act, members) = (.change(body.changes), body.members)
                if body.changes.isEmpty {
                    faults.add(.required, at: "/change", "Expected what is to be changed.")
                }
                for change in body.changes where change.field.isUnique && change.value != .set(.null) {
                    faults.add(
                        .notAllowed, at: "/change/\(change.field.name)",
                        "It is unique, so many records cannot have it.")
                }
            } catch {
                for fault in error.faults { faults.add(fault.code, at: fault.pointer, fault.detail) }
            }
        }
        try faults.finish()
    }

    /// Records of one step, which is one transaction.
    static let step = 100
    /// The most records of one act.
    static let maximum = 100_000
}

extension ListReader {
    /// The list in the order of creation that filters find which are members of a body: each as the parameter of that name has it.
    fileprivate func list(under filter: JSON?, at pointer: String, as context: RequestContext, faults: inout FaultList) -> ListRequest {
        var request = ListRequest(
            sort: SortOrder(column: "created_at", isNullable: false), selection: view.shown.columns)
        guard let filter else {
            faults.add(
                .required, at: pointer, "Expected which records: an object of filters, empty for all.")
            return request
        }
        guard let object = filter.object else {
            faults.add(.type("an object", filter), at: pointer)
            return request
        }
        guard object.members.count <= Query.maximumParameters else {
            faults.add(.tooMany, at: pointer, "Expected at most \(Query.maximumParameters) filters, found \(object.members.count).")
            return request
        }
        for member in object.members {
            let place = pointer + JSONPointer.segment(member.name)
            do throws(ValueFault) {
                switch member.value {
                case .string(let text): try add(member.name, text, to: &request, as: context, after: faults)
                case .number, .bool:
                    try add(member.name, member.value.description, to: &request, as: context, after: faults)
                case .null, .array, .object:
                    throw .type("a string, as the parameter of a list has it", member.value)
                }
            } catch {
                faults.add(error, at: place)
            }
        }
        return request
    }
}
