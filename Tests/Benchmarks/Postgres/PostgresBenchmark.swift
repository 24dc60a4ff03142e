import Core
import Glibc
import Logging
import Postgres

/// Reads one lead after another by id through `Shared/Postgres`, in the name of its tenant, with many callers at once, and prints
/// what it came to: `{"queries":…,"seconds":…,"cpu_us":…}`. Started by Tests/bench, which sets up the rows.
@main
struct PostgresBenchmark {
    /// Where the rows are, who reads which, and for how long; see ``init(environment:)`` for the names.
    let configuration: PostgresConfiguration
    let tenant: TenantID
    let leads: [RecordID]
    let duration: Duration
    let callers: Int

    static func main() async throws {
        let benchmark = try PostgresBenchmark(environment: setting)
        try await benchmark.run()
    }

    private static func setting(_ name: String) throws -> String {
        guard let value = getenv("BENCH_\(name)") else { throw MissingSetting(name: "BENCH_\(name)") }
        return String(cString: value)
    }

    init(environment setting: (String) throws -> String) throws {
        var configuration = PostgresConfiguration(
            host: "127.0.0.1", port: Int(try setting("POSTGRES_PORT")) ?? 5432, database: "martlet", user: "martlet_crm",
            password: try setting("POSTGRES_PASSWORD"), schema: "crm")
        configuration.fastConnections = Int(try setting("CONNECTIONS")) ?? 8
        self.configuration = configuration
        guard let tenant = TenantID(try setting("TENANT")) else { throw MissingSetting(name: "BENCH_TENANT") }
        self.tenant = tenant
        leads = try setting("LEADS").split(separator: " ").compactMap { RecordID($0) }
        duration = .seconds(Int(try setting("SECONDS")) ?? 5)
        callers = Int(try setting("CALLERS")) ?? 64
    }

    func run() async throws {
        let postgres = PostgresClient(configuration: configuration, logger: Logger(label: "bench"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await postgres.run() }
            // Connections and prepared statements first, so that the measured time has neither.
            _ = try await read(with: postgres, for: .seconds(1))
            let processorBefore = Self.processorMicroseconds
            let start = ContinuousClock.now
            let queries = try await read(with: postgres, for: duration)
            let elapsed = ContinuousClock.now - start
            let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
            print(#"{"queries":\#(queries),"seconds":\#(seconds),"cpu_us":\#(Self.processorMicroseconds - processorBefore)}"#)
            group.cancelAll()
        }
    }

    /// How many reads all callers together did.
    private func read(with postgres: PostgresClient, for duration: Duration) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            let end = ContinuousClock.now + duration
            for caller in 0..<callers {
                group.addTask(executorPreference: postgres.executor) { try await read(as: caller, with: postgres, until: end) }
            }
            return try await group.reduce(0, +)
        }
    }

    private func read(as caller: Int, with postgres: PostgresClient, until end: ContinuousClock.Instant) async throws -> Int {
        let edge = EdgeContext(requestID: "bench-\(caller)", deadline: Timestamp.now.advanced(by: .seconds(3600)))
        let context = RequestContext(
            tenant: tenant, user: UserID(), role: "tenant_admin", permissions: PermissionSet(), scopes: RowScopes(), plan: "enterprise",
            edge: edge)
        var count = 0
        while ContinuousClock.now < end {
            let id = leads[(caller + count) % leads.count]
            let rows = try await postgres.batch(
                as: context,
                [
                    """
                    select id, version, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags, \
                    address, description, custom, external_id, created_at, updated_at, created_by, updated_by \
                    from lead where tenant_id = \(tenant) and id = \(id) and deleted_at is null
                    """
                ])[0]
            guard rows.count == 1 else { throw WrongRow() }
            count += 1
        }
        return count
    }

    /// User and system time of this process so far.
    private static var processorMicroseconds: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }
}

struct MissingSetting: Error { var name: String }
/// A read did not bring exactly the one lead that was asked for.
struct WrongRow: Error {}
