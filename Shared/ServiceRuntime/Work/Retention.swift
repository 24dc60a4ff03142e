import Core
import Operations
import Postgres

/// Removes rows of a table that were kept long enough.
struct Retention: Worker {
    let name: String
    let interval: Duration = .seconds(600)
    let postgres: PostgresClient
    let service: ServiceName
    /// The table, the column with the time since when a row is kept, and for how long, as an interval of Postgres.
    let table: String
    let column: String
    let period: String

    /// What every service keeps for a while only: idempotency keys, and events that were set aside by whoever was to take them.
    static func all(postgres: PostgresClient, service: ServiceName) -> [Retention] {
        [
            Retention(
                name: "idempotency-retention", postgres: postgres, service: service, table: "idempotency_key", column: "created_at",
                period: "24 hours"),
            Retention(
                name: "dead-letter-retention", postgres: postgres, service: service, table: "outbox_dead_letter", column: "set_aside_at",
                period: "90 days"),
            Retention(
                name: "followed-dead-letter-retention", postgres: postgres, service: service, table: "followed_dead_letter",
                column: "set_aside_at", period: "90 days"),
        ]
    }

    func runOnce() async throws -> Bool {
        let results = try await postgres.batch(
            as: SystemContext(service: service.rawValue),
            [
                """
                delete from \(unescaped: table) where ctid = any (array(
                    select ctid from \(unescaped: table) where \(unescaped: column) < now() - \(period)::interval limit 1000))
                """
            ])
        return (results.first?.affectedRows ?? 0) == 1000
    }
}
