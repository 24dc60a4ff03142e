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

    /// All of them in the order of tenants and ids: `next` is the place to go on from, null at the end.
    private var all: Route {
        .service(.get, path) { call, context in
            try call.query.allowOnly(["after", "limit"])
            guard let limit = Int(call.query["limit"] ?? "500"), (1...1000).contains(limit) else {
                throw Problem.invalidParameter("limit", "Give a number from 1 to 1000.")
            }
            let place = try call.query["after"].map { text throws(Problem) in
                let ids = text.split(separator: ".").map(String.init)
                guard ids.count == 2, let tenant = TenantID(ids[0]), let id = RecordID(ids[1]) else {
                    throw .invalidParameter("after", "Give back what the page before has as its next.")
                }
                return (tenant: tenant, id: id)
            }
            let condition: SQL = place.map { "where (tenant_id, id) > (\($0.tenant)::uuid, \($0.id)::uuid)" } ?? ""
            let rows = try await postgres.batch(as: context, [selection + condition + " order by tenant_id, id limit \(limit + 1)"])[0]
            let page = try rows.prefix(limit).map(record)
            let next = rows.count > limit ? page.last.map { "\($0["tenant"]?.string ?? "").\($0["id"]?.string ?? "")" } : nil
            return .json(["data": .array(page), "next": next.map { .string($0) } ?? .null])
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
