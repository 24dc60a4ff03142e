import Core
import Postgres

/// Records that may be one, and what makes one of them.
extension Resource {
    var routesOfMerging: [Route] { [duplicates, merge, unmerge, merges] }

    private var duplicates: Route {
        .permitted(permission(.read), .get, "\(definition.path)/{id}/duplicates", documents.duplicates) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            let access = access(of: context)
            return try await access.following(.id(id), to: "/duplicates", as: context) {
                .json(try await access.store.duplicates(of: id, as: context))
            }
        }
    }

    private var merge: Route {
        changing("merge", documents.merge) { merges, access, call, json, id, context in
            let request = try MergeRequest(json, into: id, access.reader, as: context)
            let (key, precondition) = (try IdempotencyKey(call, body: json), try Precondition(call, tagsHashBody: true))
            return try await IdempotencyKey.guarding(key, as: context, on: access.store.postgres) {
                try await access.references.confirm(request.members, as: context)
                return .json(try await merges.merge(request, into: id, precondition, as: context, key: key).json)
            }
        }
    }

    private var unmerge: Route {
        changing("unmerge", documents.unmerge) { merges, access, call, json, id, context in
            var faults = FaultList()
            let object = faults.members(of: json, at: "", known: ["merge_id"])
            let merge = object?["merge_id"]?.string.flatMap { RecordID($0) }
            if object != nil, merge == nil { faults.add(.format("the id of a merge (UUID)"), at: "/merge_id") }
            try faults.finish()
            let (key, precondition) = (try IdempotencyKey(call, body: json), try Precondition(call, tagsHashBody: true))
            return try await IdempotencyKey.guarding(key, as: context, on: access.store.postgres) {
                // Without a fault there is one.
                guard let merge else { throw Problem.notFound }
                return .json(try await merges.undo(merge, of: id, precondition, as: context, key: key).json)
            }
        }
    }

    /// Both make records leave or come back, and change others.
    private func changing(
        _ name: String, _ operation: Operation,
        _ change: @escaping @Sendable (MergeStore, ResourceAccess, Call, JSON, RecordID, RequestContext) async throws -> Reply
    ) -> Route {
        .permitted(permission(.delete), .post, "\(definition.path)/{id}/\(name)", operation) { call, context in
            try call.query.allowOnly([])
            try context.require(permission(.update))
            let id: RecordID = try call.id()
            let access = access(of: context)
            guard let merges = access.merges else { throw Problem.notFound }
            let json = try call.json()
            do {
                return try await change(merges, access, call, json, id, context)
            } catch let error as PostgresError {
                throw error.problem
            }
        }
    }

    private var merges: Route {
        .permitted(permission(.read), .get, "\(definition.path)/{id}/merges", documents.merges) { call, context in
            let id: RecordID = try call.id()
            let access = access(of: context)
            guard let merges = access.merges else { throw Problem.notFound }
            let paging = try Paging(
                call, of: [definition.name, "merges", context.tenant.description, id.description], cursors: access.lists.cursors)
            return try await access.following(.id(id), to: "/merges", as: context) {
                try await merges.list(of: id, paging, as: context)
            }
        }
    }
}

extension ResourceAccess {
    /// What reading gives; of a record that has become another one where that is.
    ///
    /// - Parameter place: what is read below the record.
    func following(
        _ key: RecordKey, to place: String = "", as context: RequestContext, _ read: () async throws -> Reply
    ) async throws -> Reply {
        do {
            return try await read()
        } catch let problem as Problem where problem.code == .notFound {
            guard let survivor = try await merges?.survivor(of: key, as: context) else { throw problem }
            return moved(to: survivor, place, as: context)
        }
    }

    private func moved(to survivor: RecordID, _ place: String, as context: RequestContext) -> Reply {
        let headers = [
            (name: "content-type", value: Problem.jsonType), (name: "location", value: "\(definition.path)/\(survivor)\(place)"),
            // A merge can be undone.
            (name: "cache-control", value: "no-store"),
        ]
        let problem = Problem.merged(definition, into: survivor)
        return Reply(status: 301, headers: headers, body: problem.body(requestID: context.requestID, status: 301))
    }
}

extension Problem {
    static func merged(_ definition: ResourceDefinition, into survivor: RecordID) -> Problem {
        Problem(.merged, "The \(definition.noun) was merged into another one.", members: [("id", .string(survivor.description))])
    }
}
