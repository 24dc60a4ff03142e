import CRM
import Core
import Logging
import Operations
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

/// The queue of jobs in a schema of a test's own, with a table `trace` that jobs write to.
struct JobBench: Sendable {
    struct Work: Codable, Equatable {
        var name = ""
    }

    static let kind = JobKind<Work>("test")

    let database: TestPostgres
    /// As the role that serves requests.
    let postgres: PostgresClient
    let system: PostgresClient
    let log = JobLog()

    static func run(_ body: (JobBench) async throws -> Void) async throws {
        try await TestPostgres.run { database in
            let foundation = try ServiceHost.migrations(of: CRM.definition)[0]
            let trace = Migration(
                set: "own", version: 1, name: "trace",
                sql: """
                    create table trace (tenant_id uuid not null, name text not null, actor text not null default current_setting('app.user'));
                    call isolate('trace', 'select, insert');
                    """)
            try await Migrator(configuration: database.owner, schema: database.schema).apply(
                [foundation, try MigrationSet(name: "own", migrations: [trace])], logger: TestPostgres.logger)
            try await TestPostgres.withClient(database.runtime) { postgres in
                try await TestPostgres.withClient(database.system) { system in
                    try await body(JobBench(database: database, postgres: postgres, system: system))
                }
            }
        }
    }

    func runner(_ jobs: [Job], places: Int = 8) -> JobRunner {
        JobRunner(
            jobs: jobs, service: .crm, postgres: postgres, systemPostgres: system, metrics: JobMetrics(kinds: jobs.map(\.kind)),
            logger: Logger(label: "jobs") { _ in log }, places: places)
    }

    var queue: JobQueue { runner([]).queue }

    func member(of tenant: TenantID = TenantID()) -> RequestContext { RequestContext(tenant: tenant, user: UserID(), edge: .test()) }

    func trace(_ name: String, _ context: RequestContext) -> SQL {
        "insert into trace (tenant_id, name) values (\(context.tenant), \(name))"
    }

    @discardableResult
    func enqueue(_ name: String, as context: RequestContext, key: String? = nil, at due: Timestamp? = nil) async throws -> RecordID {
        try await postgres.batch(as: context, [try Self.kind.enqueue(Work(name: name), key: key, at: due)])[0][0].decode("id")
    }

    /// Many jobs of a tenant at once.
    func fill(_ tenant: TenantID, _ count: Int, status: String = "queued", at due: String = "now()") async throws {
        _ = try await system.batch(
            as: SystemContext(service: "test"), pace: .long,
            [
                """
                insert into job (tenant_id, kind, status, run_at, request_id)
                select \(tenant), 'test', \(status), \(unescaped: due), '' from generate_series(1, \(count))
                """
            ])
    }

    /// One column of text, as the role that works for no tenant.
    @discardableResult
    func texts(_ statement: SQL) async throws -> [String?] {
        try await system.batch(as: SystemContext(service: "test"), [statement])[0].map { $0.count == 0 ? nil : $0.text(0) }
    }

    func statuses() async throws -> [String?] { try await texts("select status from job order by created_at, id") }

    /// As if nobody had renewed the leases of what runs.
    func endLeases() async throws { try await texts("update job set lease_until = now() - interval '1 second' where status = 'running'") }

    /// As if the time had come for all that waits.
    func passTime() async throws { try await texts("update job set run_at = now() - interval '1 second' where status = 'scheduled'") }

    func traces(of context: RequestContext) async throws -> [String?] {
        try await postgres.batch(as: context, ["select name from trace where tenant_id = \(context.tenant) order by name"])[0].map {
            $0.text(0)
        }
    }

    func take(_ places: Int = 8, share: Int = 8, taken: [TenantID: Int] = [:], last: TenantID = TakenJob.noTenant) async throws
        -> [TakenJob]
    {
        var room = JobQueue.Room(places: places, share: share, taken: taken, last: last)
        return try await queue.take(&room)
    }
}

/// What a runner has logged, a line each.
final class JobLog: LogHandler, Sendable {
    private let all = Mutex<[String]>([])
    var lines: [String] { all.withLock { $0 } }

    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { all.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") } }
}
