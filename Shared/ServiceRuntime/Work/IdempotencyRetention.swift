import Core
import Operations
import Postgres

/// Removes idempotency keys after the 24 hours that they are kept.
struct IdempotencyRetention: Worker {
    let name = "idempotency-retention"
    let interval: Duration = .seconds(600)
    let postgres: PostgresClient
    let service: ServiceName

    func runOnce() async throws -> Bool {
        let results = try await postgres.batch(
            as: SystemContext(service: service.rawValue),
            [
                """
                delete from idempotency_key where ctid = any (array(
                    select ctid from idempotency_key where created_at < now() - interval '24 hours' limit 1000))
                """
            ])
        return (results.first?.affectedRows ?? 0) == 1000
    }
}
