import Core

/// Records by the ids that another system knows them by.
extension Resource {
    var routesByExternalID: [Route] {
        [
            reading(at: Self.place, documents.getByExternalID, record), upsert,
            changing(at: Self.place, documents.updateByExternalID, record),
            removing(at: Self.place, documents.deleteByExternalID, record),
        ]
    }

    private static let place = "by-external-id/{external_id}"

    /// The record that the path names. What no record can have is of none.
    private func record(_ call: Call, _ access: ResourceAccess) throws(Problem) -> RecordKey {
        guard let id = try? externalID(call, access) else { throw .notFound }
        return .external(id)
    }

    /// - Throws: ``ValueFault`` when no record can have it.
    private func externalID(_ call: Call, _ access: ResourceAccess) throws(ValueFault) -> String {
        guard let text = call.text("external_id") else { throw .format("percent-encoded UTF-8 without a NUL") }
        return try access.reader.externalID(.string(text))
    }

    /// The route itself asks for `read`, as its answer shows the record; making and changing one ask for their own.
    private var upsert: Route {
        .permitted(permission(.read), .put, "\(definition.path)/\(Self.place)", documents.upsert) { call, context in
            try call.query.allowOnly([])
            let access = access(of: context)
            let key = try IdempotencyKey(call)
            let occasion = try UpsertOccasion(call, tagsHashBody: true)
            let json = try call.json()
            let id: String
            do throws(ValueFault) {
                id = try externalID(call, access)
            } catch {
                throw Problem.invalid([.init(pointer: "/external_id", code: error.code, detail: error.detail)])
            }
            let (upsert, members) = try access.reader.upsert(json, of: id, occasion, as: context)
            return try await access.answer(.upsert(upsert), members: members, as: context, key: key)
        }
    }
}
