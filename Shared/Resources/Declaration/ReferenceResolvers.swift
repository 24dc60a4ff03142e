import Core

/// How references that lead out of the service are confirmed.
public struct ReferenceResolvers: Sendable {
    /// Those of the users who are members of the caller's tenant. Asked for all users of a request at once, and not for the caller.
    public var members: @Sendable (RequestContext, Set<UserID>) async throws -> Set<UserID>

    /// Asks another service for those of its records that the caller does not read in the copy, and copies what he reads. Whether he reads any by now.
    public var copies: @Sendable (RequestContext, CopiedResource, Set<RecordID>) async throws -> Bool

    public init(
        members: @escaping @Sendable (RequestContext, Set<UserID>) async throws -> Set<UserID>,
        copies: @escaping @Sendable (RequestContext, CopiedResource, Set<RecordID>) async throws -> Bool
    ) {
        self.members = members
        self.copies = copies
    }

    /// Copies what of the records is not copied yet. Whether the caller reads any by now.
    func bring(_ records: [(resource: CopiedResource, id: RecordID)], as context: RequestContext) async throws -> Bool {
        var isAny = false
        for (_, records) in Dictionary(grouping: records, by: \.resource.singular).sorted(by: { $0.key < $1.key }) {
            if try await copies(context, records[0].resource, Set(records.map(\.id))) { isAny = true }
        }
        return isAny
    }

    /// - Throws: ``Problem`` `reference_not_found` with each reference that leads nowhere.
    func confirm(_ references: [MemberReference], as context: RequestContext) async throws {
        try refuse(references, try await strangers(among: references, as: context))
    }

    /// Those who are referred to and are no members.
    func strangers(among references: [MemberReference], as context: RequestContext) async throws -> Set<UserID> {
        let others = Set(references.map(\.user)).subtracting([context.user])
        return others.isEmpty ? [] : others.subtracting(try await members(context, others))
    }

    /// - Throws: ``Problem`` `reference_not_found` with each reference to one of the strangers.
    func refuse(_ references: [MemberReference], _ strangers: Set<UserID>) throws(Problem) {
        let faults = references.filter { strangers.contains($0.user) }.map { reference in
            Problem.Fault(pointer: reference.pointer, code: .referenceNotFound, detail: "There is no such member.")
        }
        if let first = faults.first { throw Problem(.referenceNotFound, first.detail, faults: faults) }
    }
}
