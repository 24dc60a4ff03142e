import Core
import Logging

/// Brings a schema from whatever state it is in to the newest one, forward only, while the service is in use.
///
/// The table `migration` of the schema keeps what was applied, with a checksum; what is at hand must begin with exactly that.
/// An advisory lock lets one migrator of a schema work at a time; the others wait and then find nothing to do.
public struct Migrator: Sendable {
    private let configuration: PostgresConfiguration
    private let schema: String
    private let lockTimeout: Duration
    private let patience: Duration

    /// The configuration names the role that owns the schema. The schema is made when it is absent and the role may.
    ///
    /// - Parameters:
    ///   - lockTimeout: The longest that a statement waits for a lock, as everybody who comes for the table meanwhile, readers too,
    ///     waits behind it. Default 200 ms. Then the migration is rolled back, and begins again after a pause that grows to 2 s.
    ///   - patience: How long it goes on like that. Default 2 min.
    public init(
        configuration: PostgresConfiguration, schema: String, lockTimeout: Duration = .milliseconds(200), patience: Duration = .seconds(120)
    ) {
        var configuration = configuration
        configuration.schema = schema
        self.configuration = configuration
        self.schema = schema
        self.lockTimeout = lockTimeout
        self.patience = patience
    }

    /// Applies what is missing in the order of the sets, each migration in its own transaction, or, marked as such
    /// (``Migration/outsideMark``), outside of one.
    ///
    /// - Returns: The migrations applied now; none when all were there.
    /// - Throws: ``MigrationError``; those applied before a failing one stay.
    @discardableResult
    public func apply(
        _ sets: [MigrationSet], logger: Logger, progress: @escaping @Sendable (MigrationProgress) -> Void = { _ in }
    ) async throws -> [Migration] {
        try await withCheckedThrowingContinuation { continuation in
            startThread {
                continuation.resume(with: Result { try applyBlocking(sets, logger, progress) })
            }
        }
    }

    private func applyBlocking(
        _ sets: [MigrationSet], _ logger: Logger, _ progress: (MigrationProgress) -> Void
    ) throws -> [Migration] {
        do {
            let connection = try BlockingConnection(parameters: configuration.parameters(settings: []))
            try takeTurn(on: connection)
            try prepareTable(connection)
            let missing = try History(rows: connection.query(History.query(schema: schema))).missing(
                of: sets, checksum: { try connection.query(History.checksum(of: $0))[0].decode(0) })
            for migration in missing {
                do {
                    try connection.query("select set_config('app.request', \(migration.requestID), false)")
                    if migration.isOutsideTransaction {
                        try applyOutsideTransaction(migration, on: connection)
                    } else {
                        try applyInTransaction(migration, on: connection, progress)
                    }
                } catch let error as PostgresError {
                    throw MigrationError.failed(migration, error.migrationDescription)
                }
                logger.info("migration applied", metadata: ["migration": .string(migration.description), "schema": .string(schema)])
                progress(.applied(migration))
            }
            return missing
        } catch let error as ConnectFailure {
            throw MigrationError.notConnected(error.reason)
        } catch let error as PostgresError {
            throw MigrationError.server(error.migrationDescription)
        }
    }

    /// Waits until no other migrator is at work. Asks again and again: a statement that waited would hold a snapshot, which the
    /// other's `create index concurrently` waits for in turn.
    private func takeTurn(on connection: BlockingConnection) throws {
        while true {
            let taken = try connection.query("select pg_try_advisory_lock(hashtextextended(\("martlet.migration." + schema), 0))")
            if try taken[0].decode(0) { return }
            pauseThread(.milliseconds(100))
        }
    }

    private func applyInTransaction(
        _ migration: Migration, on connection: BlockingConnection, _ progress: (MigrationProgress) -> Void
    ) throws {
        try connection.query("select set_config('lock_timeout', \(lockTimeout.millisecondsText), false)")
        let giveUp = monotonicNow() + patience.nanoseconds
        var pause = Duration.milliseconds(100)
        while true {
            do {
                try connection.script("begin")
                try connection.script(migration.sql)
                try connection.query(History.record(migration, schema: schema))
                let end = try connection.script("commit")
                guard end.commandTag == "COMMIT" else { throw MigrationError.failed(migration, "it ends its own transaction") }
                return
            } catch let error as PostgresError where error.isLockConflict && monotonicNow() < giveUp {
                try connection.script("rollback")
                progress(.waiting(migration))
                pauseThread(pause)
                pause = min(pause * 2, .seconds(2))
            }
        }
    }

    /// What such a statement waits for holds up nobody else, so it waits as long as it takes.
    private func applyOutsideTransaction(_ migration: Migration, on connection: BlockingConnection) throws {
        try connection.script("set lock_timeout = 0")
        // An index whose building was cut off is there and of no use; `if not exists` would take it for the wanted one.
        let broken = try connection.query(
            """
            select format('%I.%I', \(schema)::text, relname) from pg_index join pg_class on pg_class.oid = indexrelid
            where relnamespace = (select oid from pg_namespace where nspname = \(schema)::text) and relkind = 'i' and not indisvalid
            order by 1
            """)
        for row in broken { try connection.query("drop index concurrently \(unescaped: row.decode(0))") }
        // As a statement with values, of which a text may have one only: several would be a transaction.
        try connection.query(SQL(unescaped: migration.sql))
        try connection.query(History.record(migration, schema: schema))
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

extension PostgresError {
    /// Others held a lock for too long, or waited for one of this transaction's in a circle.
    fileprivate var isLockConflict: Bool { sqlState == "55P03" || sqlState == "40P01" }
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
