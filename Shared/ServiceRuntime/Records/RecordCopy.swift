import Contracts
import Core
import Operations
import Postgres
import Resources

/// A resource of another service to which records of this one refer (Shared/Decisions/0035): what is copied of it, and from where.
public struct RecordCopy: Sendable {
    public let resource: CopiedResource
    public let source: ServiceName

    public init(of resource: CopiedResource, from source: ServiceName) {
        self.resource = resource
        self.source = source
    }

    /// How its table follows the log.
    public var log: LogCopy {
        LogCopy(
            source: source, aggregate: resource.singular, format: 1, statements: statements,
            removal: { tenant, id in RecordID(id).map { [removal(tenant, $0)] } },
            all: { owner, place in
                let answer = try await owner.ask(.get, "\(path)?limit=\(Self.pageLength)" + (place.map { "&after=\($0)" } ?? ""))
                return try LogCopy.Told(page: told(answer), after: place, next: answer["next"], of: table, by: "id")
            },
            named: { owner, tenant, ids in
                let asked = ids.compactMap { RecordID($0) }
                let records = try await ask(owner, for: asked, of: tenant)
                let missing = Set(asked).subtracting(records.map(\.id)).sorted()
                return LogCopy.Told(missing.map { removal(tenant, $0) }, of: records.map(told))
            })
    }

    private var table: String { resource.table }
    private var path: String { Self.path(of: resource.singular) }

    // MARK: From events

    /// An event that says nothing of whose the record is, as most do not, changes nothing, the version neither: it is that of the last change that did.
    private func statements(for event: Event) throws -> [SQL]? {
        guard let id = RecordID(event.aggregateID) else { throw MalformedEvent(reason: "no id of a record") }
        let kind = event.kind.split(separator: ".").last
        if event.kind == Event.gap || kind == "erased" { return nil }
        let payload = try JSONParser.parse(event.payload)
        if payload == .null { return nil }
        guard let after = payload["after"], let version = after["version"]?.integer else {
            throw MalformedEvent(reason: "no member 'after' with a version")
        }
        var assignments: [SQL] = ["version = \(version)"]
        if let owner = after[resource.owner], resource.owner != "created_by" {
            assignments.append("owner_id = \(owner.string.sqlValue)::uuid")
        }
        switch kind {
        case "created":
            guard let record = CopiedRecord(event.tenant, id, json: after, owner: resource.owner) else {
                throw MalformedEvent(reason: "not all of a record")
            }
            return [record.insertion(into: table)]
        case "updated": if assignments.count == 1 { return [] }
        case "deleted": assignments.append("deleted_at = \(event.occurredAt)")
        case "restored": assignments.append("deleted_at = null")
        default: throw MalformedEvent(reason: "no kind of event that is known of records")
        }
        let row: SQL = "tenant_id = \(event.tenant) and id = \(id)"
        return [
            "update \(unescaped: table) set " + SQL.joined(assignments, separator: ", ") + " where \(row) and version < \(version)",
            LogCopy.doubt(
                resource.singular, event.tenant, id.description, unless: "exists (select from \(unescaped: table) where \(row))"),
        ]
    }

    private func removal(_ tenant: TenantID, _ id: RecordID) -> SQL {
        "delete from \(unescaped: table) where tenant_id = \(tenant) and id = \(id)"
    }

    // MARK: From the other service

    /// Where a service tells of its records of a kind.
    static func path(of kind: String) -> String { "/internal/records/\(kind)" }
    private static let pageLength = 500

    /// Of the ids those that are records of the tenant, deleted ones too: 200 at most.
    func ask(_ owner: LogCopy.Owner, for ids: [RecordID], of tenant: TenantID) async throws -> [CopiedRecord] {
        if ids.isEmpty { return [] }
        let answer = try await owner.ask(
            .post, path, body: ["tenant": .string(tenant.description), "ids": .array(ids.map { .string($0.description) })])
        let records = try records(answer)
        guard records.allSatisfy({ $0.tenant == tenant }) else { throw LogCopy.noAnswer }
        return records
    }

    private func records(_ answer: JSON) throws(Problem) -> [CopiedRecord] {
        guard let data = answer["data"]?.array else { throw LogCopy.noAnswer }
        return try data.map { json throws(Problem) in
            guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let id = json["id"]?.string.flatMap({ RecordID($0) }),
                let record = CopiedRecord(tenant, id, json: json, owner: "owner_id")
            else { throw LogCopy.noAnswer }
            return record
        }
    }

    private func told(_ answer: JSON) throws(Problem) -> [LogCopy.Told.Record] { try records(answer).map(told) }

    private func told(_ record: CopiedRecord) -> LogCopy.Told.Record {
        .init(record.tenant, record.id.description, record.insertion(into: table, isTold: true))
    }
}

/// A row of a copy: whose a record of another service is, and whether it is there.
struct CopiedRecord: Sendable {
    var tenant: TenantID
    var id: RecordID
    var owner: UserID?
    var createdBy: UserID
    var version: Int64
    var deletedAt: Timestamp?

    /// Whose it is.
    var isOf: UserID { owner ?? createdBy }

    /// Reads `created_by`, `version`, the owner by its name, and `deleted_at` of one that is deleted; `nil` when it is not all of a record.
    init?(_ tenant: TenantID, _ id: RecordID, json: JSON, owner: String) {
        guard let createdBy = json["created_by"]?.string.flatMap({ UserID($0) }), let version = json["version"]?.integer else { return nil }
        self.tenant = tenant
        self.id = id
        self.owner = json[owner]?.string.flatMap { UserID($0) }
        self.createdBy = createdBy
        self.version = version
        deletedAt = json["deleted_at"]?.string.flatMap { Timestamp($0) }
    }

    /// - Parameter isTold: whether it is what the other service has said, to the one process that also applies the events: then nothing later was
    ///   applied, and it stands whatever version is there.
    func insertion(into table: String, isTold: Bool = false) -> SQL {
        """
        insert into \(unescaped: table) as copy (tenant_id, id, owner_id, created_by, version, deleted_at)
        values (\(tenant), \(id), \(owner.sqlValue), \(createdBy), \(version), \(deletedAt.sqlValue))
        on conflict on constraint \(unescaped: table)_pkey do update
            set owner_id = excluded.owner_id, created_by = excluded.created_by, version = excluded.version, deleted_at = excluded.deleted_at
        """ + (isTold ? "" : " where copy.version < excluded.version")
    }
}
