import Core
import Logging

/// Brings a schema from whatever state it is in to the newest one, forward only.
///
/// The table `migration` of the schema keeps what was applied, with a checksum; what is at hand must begin with exactly that.
/// An advisory lock lets one migrator of a schema work at a time; the others wait and then find nothing to do.
public struct Migrator: Sendable {
    private let configuration: PostgresConfiguration
    private let schema: String
    /// The longest that a statement waits for a lock, so that a migration does not stop the service's writes behind it.
    private let lockTimeout: Duration

    /// The configuration names the role that owns the schema. The schema is made when it is absent and the role may.
    public init(configuration: PostgresConfiguration, schema: String, lockTimeout: Duration = .seconds(5)) {
        var configuration = configuration
        configuration.schema = schema
        self.configuration = configuration
        self.schema = schema
        self.lockTimeout = lockTimeout
    }

    /// Applies what is missing, each migration in its own transaction, in the order of the sets.
    ///
    /// - Returns: The migrations applied now; none when all were there.
    /// - Throws: ``MigrationError``; those applied before a failing one stay.
    @discardableResult
    public func apply(
        _ sets: [MigrationSet], logger: Logger, progress: @escaping @Sendable (Migration) -> Void = { _ in }
    ) async throws -> [Migration] {
        try await withCheckedThrowingContinuation { continuation in
            startThread {
                continuation.resume(with: Result { try applyBlocking(sets, logger, progress) })
            }
        }
    }

    private func applyBlocking(_ sets: [MigrationSet], _ logger: Logger, _ progress: (Migration) -> Void) throws -> [Migration] {
        do {
            let connection = try BlockingConnection(parameters: configuration.parameters(settings: []))
            try connection.query("select pg_advisory_lock(hashtextextended(\("martlet.migration." + schema), 0))")
            try connection.query("select set_config('lock_timeout', \(lockTimeout.millisecondsText), false)")
            try prepareTable(connection)
            let missing = try History(rows: connection.query(History.query(schema: schema))).missing(
                of: sets, checksum: { try connection.query(History.checksum(of: $0))[0].decode(0) })
            for migration in missing {
                do {
                    try connection.script("begin")
                    try connection.script(migration.sql)
                    try connection.query(History.record(migration, schema: schema))
                    let end = try connection.script("commit")
                    guard end.commandTag == "COMMIT" else { throw MigrationError.failed(migration, "it ends its own transaction") }
                } catch let error as PostgresError {
                    throw MigrationError.failed(migration, error.migrationDescription)
                }
                logger.info("migration applied", metadata: ["migration": .string(migration.description), "schema": .string(schema)])
                progress(migration)
            }
            return missing
        } catch let error as ConnectFailure {
            throw MigrationError.notConnected(error.reason)
        } catch let error as PostgresError {
            throw MigrationError.server(error.migrationDescription)
        }
    }

    private func prepareTable(_ connection: BlockingConnection) throws(PostgresError) {
        let name = SQL(unescaped: History.quoted(schema))
        // All or none: a service that looks meanwhile must not find a table that it may not read.
        try connection.script("begin")
        let exists = try connection.query("select 1 from pg_namespace where nspname = \(schema)")
        if exists.isEmpty { try connection.query("create schema \(name)") }
        try connection.query(
            """
            create table if not exists \(name).migration (
                set text not null,
                version integer not null,
                name text not null,
                checksum text not null,
                applied_at timestamptz not null default now(),
                constraint migration_pkey primary key (set, version)
            )
            """)
        // A service looks here to tell whether it is ready; who may use the schema at all may see its history.
        try connection.query("grant select on \(name).migration to public")
        try connection.script("commit")
    }
}

extension PostgresClient {
    /// The migrations of the sets that the schema lacks, for readiness; the runtime role may ask. What a newer program has
    /// applied beyond them does not count: the one before it must be able to start while they are exchanged.
    ///
    /// - Throws: ``MigrationError`` `diverged` when one of the sets' own migrations was applied with another name or text,
    ///   ``PostgresError`` otherwise, with `42P01` when nothing was ever migrated.
    public func pending(_ sets: [MigrationSet], schema: String, as context: SystemContext) async throws -> [Migration] {
        let all = sets.flatMap(\.migrations)
        let results = try await batch(as: context, [History.query(schema: schema)] + all.map(History.checksum))
        var checksums: [Migration: String] = [:]
        for (migration, result) in zip(all, results.dropFirst()) { checksums[migration] = try result[0].decode(0) }
        return try History(rows: results[0]).missing(of: sets, allowsNewer: true) { checksums[$0] ?? "" }
    }
}
