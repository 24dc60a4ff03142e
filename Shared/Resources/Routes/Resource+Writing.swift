import Core
import Postgres

extension Resource {
    var create: Route {
        .permitted(permission(.create), .post, definition.path, documents.create) { call, context in
            try call.query.allowOnly([])
            let access = access(of: context)
            let json = try call.json()
            let key = try IdempotencyKey(call, body: json)
            let body = try access.reader.read(json, for: .create, as: context)
            let refusesDuplicates = definition.isMergeable && call.prefers(.refusesDuplicates)
            var reply = try await access.answer(
                .create(id: RecordID(), body.changes), members: body.members, refusesDuplicates: refusesDuplicates, as: context, key: key)
            if refusesDuplicates { reply.headers.append(Preference.refusesDuplicates.applied) }
            return reply
        }
    }

    var update: Route { changing(at: "{id}", documents.update) { call, _ in .id(try call.id()) } }

    /// - Parameters:
    ///   - place: where it lies below the resource's path.
    ///   - record: reads which record the call is about.
    func changing(at place: String, _ operation: Operation, _ record: @escaping @Sendable (Call, ResourceAccess) throws -> RecordKey)
        -> Route
    {
        .permitted(permission(.update), .patch, "\(definition.path)/\(place)", operation) { call, context in
            try call.query.allowOnly([])
            let access = access(of: context)
            let record = try record(call, access)
            let json = try call.json()
            let key = try IdempotencyKey(call, body: json)
            let precondition = try Precondition(call, tagsHashBody: true)
            let body = try access.reader.read(json, for: .patch, as: context)
            return try await access.answer(.update(record, body.changes, precondition), members: body.members, as: context, key: key)
        }
    }

    /// A change of some members that has a name of its own, `POST /v1/deals/{id}/move`: it does what PATCH does with them.
    ///
    /// - Parameters:
    ///   - members: those that the body may have, fields of the resource.
    ///   - required: those of them that it must have.
    public func action(
        _ name: String, setting members: [String], requiring required: [String], summary: String, description: String, example: JSON
    ) -> Route {
        let operation = documents.action(name, members, required, summary: summary, description: description, example: example)
        return .permitted(permission(.update), .post, "\(definition.path)/{id}/\(name)", operation) { call, context in
            try call.query.allowOnly([])
            let access = access(of: context)
            let id: RecordID = try call.id()
            let json = try call.json()
            let key = try IdempotencyKey(call, body: json)
            let precondition = try Precondition(call, tagsHashBody: true)
            var faults = FaultList()
            let given = faults.members(of: json, at: "", known: members)
            for member in required where given != nil && given?[member] == nil {
                faults.add(.required, at: JSONPointer.segment(member), "The member '\(member)' is required.")
            }
            try faults.finish()
            let body = try access.reader.read(json, for: .patch, as: context)
            return try await access.answer(.update(.id(id), body.changes, precondition), members: body.members, as: context, key: key)
        }
    }

    var delete: Route { removing(at: "{id}", documents.delete) { call, _ in .id(try call.id()) } }

    /// As ``changing(at:_:_:)``.
    func removing(at place: String, _ operation: Operation, _ record: @escaping @Sendable (Call, ResourceAccess) throws -> RecordKey)
        -> Route
    {
        .permitted(permission(.delete), .delete, "\(definition.path)/\(place)", operation) { call, context in
            try call.query.allowOnly([])
            try call.refuseBody()
            let access = access(of: context)
            let precondition = try Precondition(call, tagsHashBody: true)
            return try await access.answer(.delete(try record(call, access), precondition), as: context, key: try IdempotencyKey(call))
        }
    }

    var restore: Route {
        .permitted(permission(.delete), .post, "\(definition.path)/{id}/restore", documents.restore) { call, context in
            try call.query.allowOnly([])
            try context.require(permission(.read))
            let id: RecordID = try call.id()
            try refuseMembers(call)
            let access = access(of: context)
            let precondition = try Precondition(call, tagsHashBody: true)
            return try await access.answer(.restore(id: id, precondition), as: context, key: try IdempotencyKey(call))
        }
    }

    /// A body that says nothing, an empty object, may be sent or left out.
    private func refuseMembers(_ call: Call) throws {
        guard !call.body.isEmpty else { return }
        var faults = FaultList()
        _ = faults.members(of: try call.json(), at: "", known: [])
        try faults.finish()
    }
}

extension ResourceAccess {
    func answer(
        _ write: Write, members: [MemberReference] = [], refusesDuplicates: Bool = false, as context: RequestContext, key: IdempotencyKey?
    ) async throws -> Reply {
        if case .create = write { try requireScope(context, .create) }
        let written = try await perform(write, members: members, refusesDuplicates: refusesDuplicates, as: context, key: key)
        var headers = written.isReplayed ? [IdempotencyKey.replayed] : []
        guard let record = written.record else { return Reply(status: written.status, headers: headers) }
        headers.append(("etag", tag(of: record)))
        if written.status == 201, !written.isOutOfSight { headers.append(("location", "\(definition.path)/\(record.id)")) }
        return .json(record.body, status: written.status, headers: headers)
    }

    /// Confirms what the members refer to, then writes. A repeat is answered as before even when that has gone since.
    func perform(
        _ write: Write, members: [MemberReference], refusesDuplicates: Bool = false, as context: RequestContext, key: IdempotencyKey?,
        shape: ResourceStore.Shape = .whole
    ) async throws -> Written {
        try await guarding(key, as: context, replay: { store.replay($0, shape) }) {
            try await references.confirm(members, as: context)
            func perform() async throws -> Written {
                try await store.perform(write, as: context, key: key, shape: shape, refusesDuplicates: refusesDuplicates)
            }
            do {
                return try await perform()
            } catch let problem as Problem where problem.code == .referenceNotFound {
                // It may be too new to be in the copy: only what fails by that pays for it.
                guard try await references.bring(store.statements.references.copied(by: write.changes, as: context), as: context) else {
                    throw problem
                }
                return try await perform()
            }
        }
    }

    /// Confirms what several writes refer to, before all of them.
    func confirm(_ members: [MemberReference], _ changes: [Change], as context: RequestContext) async throws {
        try await references.confirm(members, as: context)
        _ = try await references.bring(store.statements.references.copied(by: changes, as: context), as: context)
    }

    /// Runs a write, or answers as before when it took effect already. A failure of the database gets its public meaning.
    func guarding<Answer>(
        _ key: IdempotencyKey?, as context: RequestContext, replay: (StoredAnswer) -> Answer, _ write: () async throws -> Answer
    ) async throws -> Answer {
        do {
            return try await IdempotencyKey.guarding(key, as: context, on: store.postgres, replay: replay, write)
        } catch let error as PostgresError {
            throw error.problem
        }
    }

    /// The entity tag of an answer without anything expanded.
    func tag(of record: Record) -> String {
        // What the role hides may change without the record.
        view.hidesFields ? EntityTag.of(Int64(record.version) ?? 0, body: record.body) : EntityTag.of(record.version)
    }

    /// Reading and changing fall to nothing without a row scope; creating needs it said.
    private func requireScope(_ context: RequestContext, _ action: PermissionAction) throws(Problem) {
        guard context.scopes[definition.permissions] != .none else { throw .forbidden(Permission(definition.permissions, action)) }
    }
}
