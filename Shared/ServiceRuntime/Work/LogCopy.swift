import Contracts
import Core
import Operations
import Postgres

/// What a service keeps of the records of another one: first as their owner has them, then as the log of events goes on.
public struct LogCopy: Sendable {
    /// The service whose records they are. What another says of records under the same names is not listened to.
    public var source: ServiceName
    /// The kind of records: `member`. A service has one copy of a kind.
    public var aggregate: String
    /// Raised by a release whose copies are of another form: they are then renewed from their owner. 1 or more.
    public var format: Int
    /// What is done for an event, after those of the same record before it; those of other records may come in any order. `nil` when it tells nothing, as what it told was refused or erased: the record is then in doubt. It must come to
    /// the same when the event was applied before, and must not undo what a later one has brought. For a record of which there is no copy
    /// ``doubt(_:_:_:unless:)``.
    ///
    /// - Throws: when the event cannot be understood; it is set aside with the error's description.
    public var statements: @Sendable (Event) throws -> [SQL]?
    /// Takes away the copy of a record in doubt, until its owner was asked; `nil` for an id that no record can have.
    public var removal: @Sendable (TenantID, _ id: String) -> [SQL]?
    /// Asks the owner for all its records, in an order of its own: those behind a place, none at first.
    ///
    /// - Throws: ``Problem``, also for an answer that is none, such as a page that leads back.
    public var all: @Sendable (Owner, _ after: String?) async throws -> Told
    /// Asks the owner for records of a tenant by their ids.
    public var named: @Sendable (Owner, TenantID, _ ids: [String]) async throws -> Told

    public init(
        source: ServiceName, aggregate: String, format: Int, statements: @escaping @Sendable (Event) throws -> [SQL]?,
        removal: @escaping @Sendable (TenantID, _ id: String) -> [SQL]?,
        all: @escaping @Sendable (Owner, _ after: String?) async throws -> Told,
        named: @escaping @Sendable (Owner, TenantID, _ ids: [String]) async throws -> Told
    ) {
        self.source = source
        self.aggregate = aggregate
        self.format = format
        self.statements = statements
        self.removal = removal
        self.all = all
        self.named = named
    }

    /// The service that is asked for records.
    public struct Owner: Sendable {
        let services: ServiceClient
        let name: ServiceName
        /// Who asks.
        let context: SystemContext

        /// - Throws: ``Problem`` `upstream_unavailable` when it cannot say.
        func ask(_ method: Core.Method, _ target: String, body: JSON? = nil) async throws -> JSON {
            let answer = try await services.call(name, method, target, body: body, as: context)
            guard answer.status == 200 else {
                throw Problem(
                    .upstreamUnavailable, "The records of another part of the platform cannot be told at the moment.", retryAfter: 1,
                    context: "\(name.rawValue): status \(answer.status)")
            }
            return answer.json
        }
    }

    /// What the owner has told, as what makes the copies equal to it, whatever they were: also without those that it does not have.
    public struct Told: Sendable {
        /// A record as the owner has it.
        public struct Record: Sendable {
            public var tenant: TenantID
            public var id: String
            /// Makes the copy equal to it; `nil` when what was told of it cannot be understood: it is left without a copy, and in doubt.
            public var statement: SQL?

            public init(_ tenant: TenantID, _ id: String, _ statement: SQL?) {
                self.tenant = tenant
                self.id = id
                self.statement = statement
            }
        }

        public var records: [Record]
        /// What else is to be done, for those that the owner does not have.
        public var statements: [SQL]
        /// The place that a page ends at; `nil` when no more follow.
        public var end: String?

        public init(_ statements: [SQL], of records: [Record] = [], end: String? = nil) {
            self.records = records
            self.statements = statements
            self.end = end
        }

        /// A page of all the owner's records in the order of their tenants and ids. Of those between its ends the copy has no others then.
        ///
        /// - Parameters:
        ///   - place: the end of the page before: `<tenant>.<id>`.
        ///   - next: the end of this one, as it was answered; null when no more follow.
        ///   - table: where they are copied.
        ///   - key: its column with their ids, UUIDs.
        /// - Throws: ``Problem`` `internal` when it is no page.
        init(page records: [Record], after place: String?, next: JSON?, of table: String, by key: String) throws(Problem) {
            let (first, last) = (place.flatMap { CopyPlace($0) }, next?.string.flatMap { CopyPlace($0) })
            // What is not on the page is taken away, so the page must be one. Without a next one it tells of the end.
            guard next == .null || last != nil else { throw LogCopy.noAnswer }
            if let first, let last, last <= first { throw LogCopy.noAnswer }
            var range: [SQL] = []
            if let first { range.append("(tenant_id, \(unescaped: key)) > (\(first.tenant)::uuid, \(first.id)::uuid)") }
            if let last { range.append("(tenant_id, \(unescaped: key)) <= (\(last.tenant)::uuid, \(last.id)::uuid)") }
            let others: SQL = """
                not exists (
                    select from unnest(\(records.map(\.tenant))::uuid[], \(records.map(\.id))::uuid[]) as told (tenant, record)
                    where tenant = tenant_id and record = \(unescaped: key))
                """
            self.init(
                ["delete from \(unescaped: table) where " + SQL.joined(range + [others], separator: " and ")], of: records,
                end: next?.string)
        }
    }

    /// What the owner of records has answered says nothing of them.
    static var noAnswer: Problem { .internal("what was told of copied records is no answer") }

    /// Puts a record in doubt.
    ///
    /// - Parameters:
    ///   - aggregate: the kind that it is of.
    ///   - condition: under which it is not.
    public static func doubt(_ aggregate: String, _ tenant: TenantID, _ id: String, unless condition: SQL = "false") -> SQL {
        """
        insert into followed_doubt (tenant_id, aggregate, record_id) select \(tenant)::uuid, \(aggregate)::text, \(id)::text where not (\(condition))
        on conflict on constraint followed_doubt_pkey do nothing
        """
    }
}
