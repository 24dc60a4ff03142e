import Core

/// How references that lead out of the service are confirmed.
public struct ReferenceResolvers: Sendable {
    /// Whether the user is a member of the caller's tenant. Asked only for a member other than the caller.
    public var isMember: @Sendable (RequestContext, UserID) async throws -> Bool

    public init(isMember: @escaping @Sendable (RequestContext, UserID) async throws -> Bool) {
        self.isMember = isMember
    }

    /// - Throws: ``Problem`` `reference_not_found` with each reference that leads nowhere.
    func confirm(_ references: [MemberReference], as context: RequestContext) async throws {
        var faults: [Problem.Fault] = []
        var known: [UserID: Bool] = [context.user: true]
        for reference in references {
            let isMember: Bool
            if let answer = known[reference.user] {
                isMember = answer
            } else {
                isMember = try await self.isMember(context, reference.user)
                known[reference.user] = isMember
            }
            if !isMember {
                faults.append(.init(pointer: reference.pointer, code: "reference_not_found", detail: "There is no such member."))
            }
        }
        if let first = faults.first { throw Problem(.referenceNotFound, first.detail, faults: faults) }
    }
}
