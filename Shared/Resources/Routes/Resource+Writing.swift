import Core

extension Resource {
    var create: Route {
        .permitted(permission(.create), .post, definition.path, documents.create) { call, context in
            try call.query.allowOnly([])
            let key = try Idempotency(call)
            let body = try reader.read(try call.json(), for: .create, caller: context.user)
            return try await answer(.create(id: RecordID(), body.changes), members: body.members, as: context, key: key)
        }
    }

    var update: Route {
        .permitted(permission(.update), .patch, "\(definition.path)/{id}", documents.update) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            let key = try Idempotency(call)
            let precondition = try Precondition(call)
            let body = try reader.read(try call.json(), for: .patch, caller: context.user)
            return try await answer(.update(id: id, body.changes, precondition), members: body.members, as: context, key: key)
        }
    }

    var delete: Route {
        .permitted(permission(.delete), .delete, "\(definition.path)/{id}", documents.delete) { call, context in
            try call.query.allowOnly([])
            try call.refuseBody()
            let precondition = try Precondition(call)
            return try await answer(.delete(id: try call.id(), precondition), as: context, key: try Idempotency(call))
        }
    }

    var restore: Route {
        .permitted(permission(.delete), .post, "\(definition.path)/{id}/restore", documents.restore) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            try refuseMembers(call)
            let precondition = try Precondition(call)
            return try await answer(.restore(id: id, precondition), as: context, key: try Idempotency(call))
        }
    }

    /// A body that says nothing, an empty object, may be sent or left out.
    private func refuseMembers(_ call: Call) throws {
        guard !call.body.isEmpty else { return }
        let json = try call.json()
        guard let object = json.object else {
            throw Problem.invalid([.init(pointer: "", code: "invalid_type", detail: "Expected an object, found \(json.kindName).")])
        }
        guard let name = object.names.first else { return }
        let detail = "There is no member '\(Suggestion.shown(name))'."
        throw Problem(
            .unknownMember, detail, faults: [.init(pointer: "/\(BodyReader.escaped(name))", code: "unknown_member", detail: detail)])
    }

    private func answer(
        _ write: Write, members: [MemberReference] = [], as context: RequestContext, key: Idempotency?
    ) async throws -> Reply {
        if case .create = write { try requireScope(context, .create) }
        let written = try await perform(write, members: members, as: context, key: key)
        var headers = written.isReplayed ? [Idempotency.replayed] : []
        guard let record = written.record else { return Reply(status: write.status, headers: headers) }
        headers.append(("etag", EntityTag.of(record.version)))
        if case .create = write { headers.append(("location", "\(definition.path)/\(record.id)")) }
        return .json(record.body, status: write.status, headers: headers)
    }

    /// Confirms what the members refer to, then writes. A repeat is answered as before even when that has gone since.
    func perform(_ write: Write, members: [MemberReference], as context: RequestContext, key: Idempotency?) async throws -> Written {
        do {
            try await references.confirm(members, as: context)
        } catch let problem as Problem {
            guard let key, let written = try await store.replay(of: key, as: context) else { throw problem }
            return written
        }
        return try await store.perform(write, as: context, key: key)
    }

    /// Reading and changing fall to nothing without a row scope; creating needs it said.
    func requireScope(_ context: RequestContext, _ action: PermissionAction) throws(Problem) {
        guard context.scopes[definition.permissions] != .none else { throw .forbidden(permission(action)) }
    }
}
