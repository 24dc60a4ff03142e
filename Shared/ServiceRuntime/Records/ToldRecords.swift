import Core
import Postgres
import Resources

extension ServiceDependencies {
    /// The routes by which other services are told whose the records of a resource are, and which are there, for their copies of it
    /// (``RecordCopy``). The system role may select the columns `tenant_id`, `id`, the owner's, `created_by`, `version` and `deleted_at`.
    public func told(_ resource: ResourceDefinition) -> [Route] {
        ToldRecords(resource: resource, postgres: systemPostgres).routes
    }
}

private struct ToldRecords: Sendable {
    let resource: ResourceDefinition
    let postgres: PostgresClient

    private var path: String { RecordCopy.path(of: resource.singular) }

    var routes: [Route] { [all, named] }

    /// All of them, a page at a time.
    private var all: Route {
        .service(.get, path) { call, context in
            let page = try CopyPage(call)
            let rows = try await postgres.batch(as: context, [selection + page.clause(by: "id")])[0]
            return page.reply(try rows.map(record))
        }
    }

    /// Those of a tenant by their ids, deleted ones too; what is none is left out.
    private var named: Route {
        .service(.post, path) { call, context in
            let body = try call.json()
            let given = body["ids"]?.array ?? []
            let ids = given.compactMap { $0.string.flatMap { RecordID($0) } }
            guard let tenant = body["tenant"]?.string.flatMap({ TenantID($0) }), ids.count == given.count, (1...200).contains(ids.count)
            else {
                throw Problem.invalid([.init(pointer: "/ids", code: .invalidFormat, detail: "Expected a tenant and 1 to 200 ids.")])
            }
            let rows = try await postgres.batch(
                as: context, [selection + "where tenant_id = \(tenant) and id = any (\(ids)::uuid[])"])[0]
            return .json(["data": .array(try rows.map(record))])
        }
    }

    private var selection: SQL {
        "select tenant_id, id, \(unescaped: resource.owner) as owner_id, created_by, version, deleted_at from \(unescaped: resource.table) "
    }

    private func record(_ row: PostgresRow) throws -> JSON {
        [
            "tenant": .string(try row.decode("tenant_id")), "id": .string(try row.decode("id")),
            "owner_id": try row.decode("owner_id", as: String?.self).map { .string($0) } ?? .null,
            "created_by": .string(try row.decode("created_by")), "version": .number(try row.decode("version", as: Int64.self)),
            "deleted_at": try row.decode("deleted_at", as: Timestamp?.self).map { .string($0.description) } ?? .null,
        ]
    }
}
