import Core

extension Resource {
    var list: Route {
        .permitted(permission(.read), .get, definition.path, documents.list(parameters: whole.lists)) { call, context in
            let access = access(of: context)
            let (request, paging) = try access.lists.read(call.query, as: context)
            return .json(try await access.store.list(request, paging, as: context))
        }
    }

    /// The list of the records that refer to one of another resource: `GET /v1/accounts/{id}/contacts`. 404 where that is none of the caller's to
    /// read.
    ///
    /// - Parameter links: leads from the other to further records.
    /// - Precondition: `name` is a field that refers to the parent's records.
    public func list(of parent: Resource, by name: String, orIn links: LinkTable? = nil) -> Route {
        guard let field = definition.field(name), !field.type.isRelated, definition.targets(of: field).first?.name == parent.definition.name
        else {
            preconditionFailure("\(definition.name): the field \(name) does not refer to \(parent.definition.name)")
        }
        let operation = documents.list(of: parent.definition, by: field, orLinked: links != nil, parameters: whole.lists)
        return .permitted(permission(.read), .get, "\(parent.definition.path)/{id}\(definition.path.dropFirst(3))", operation) {
            call, context in
            try context.require(parent.permission(.read))
            let id: RecordID = try call.id()
            let access = access(of: context)
            if access.view.isHidden(field) { throw Problem.notFound }
            let (request, paging) = try access.lists.read(call.query, of: .init(field, id, orIn: links), as: context)
            let above = parent.access(of: context)
            return try await above.following(.id(id), to: "/\(definition.name)", as: context) {
                _ = try await above.store.get(.id(id), as: context)
                return .json(try await access.store.list(request, paging, as: context))
            }
        }
    }

    var get: Route { reading(at: "{id}", documents.get) { call, _ in .id(try call.id()) } }

    /// - Parameters:
    ///   - place: where it lies below the resource's path.
    ///   - record: reads which record the call is about.
    func reading(at place: String, _ operation: Operation, _ record: @escaping @Sendable (Call, ResourceAccess) throws -> RecordKey)
        -> Route
    {
        .permitted(permission(.read), .get, "\(definition.path)/\(place)", operation) { call, context in
            let access = access(of: context)
            let key = try record(call, access)
            return try await access.following(key, as: context) {
                guard !call.query.items.isEmpty else { return access.answer(call, try await access.store.get(key, as: context)) }
                let (selection, expansions) = try access.lists.shape(of: call.query)
                if expansions.isEmpty { return access.answer(call, try await access.store.get(key, as: context, selection: selection)) }
                let record = try await access.store.get(key, as: context, selection: selection, expanding: expansions)
                // Changes when what is expanded changes.
                return EntityTag.reply(to: call, record.body, tag: EntityTag.of(Int64(record.version) ?? 0, body: record.body))
            }
        }
    }
}

extension ResourceAccess {
    fileprivate func answer(_ call: Call, _ record: Record) -> Reply { EntityTag.reply(to: call, record.body, tag: tag(of: record)) }
}
