import Core

extension Resource {
    var list: Route {
        .permitted(permission(.read), .get, definition.path, documents.list(parameters: lists)) { call, context in
            let (request, paging) = try lists.read(call.query, as: context)
            return .json(try await store.list(request, paging, as: context))
        }
    }

    var get: Route {
        .permitted(permission(.read), .get, "\(definition.path)/{id}", documents.get) { call, context in
            let id: RecordID = try call.id()
            let isWhole = call.query.items.isEmpty
            let record = try await store.get(id, as: context, selection: isWhole ? nil : try lists.selection(of: call.query))
            let tag = (name: "etag", value: EntityTag.of(record.version))
            if EntityTag.ifNoneMatch(call, names: record.version) { return Reply(status: 304, headers: [tag]) }
            return .json(record.body, headers: [tag])
        }
    }
}
