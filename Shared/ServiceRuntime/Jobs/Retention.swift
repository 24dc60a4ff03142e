import Postgres

/// Removes rows that were kept long enough.
enum Retention {
    /// What every service keeps for a while only: idempotency keys, what was set aside by whoever was to take it, and jobs that have ended.
    /// What may hold a person's data goes after 90 days at the latest: no longer than the erasure of it may take.
    static let all: [Job] = [
        job("idempotency-retention", of: "idempotency_key", where: "created_at < now() - interval '24 hours'"),
        job("dead-letter-retention", of: "outbox_dead_letter", where: "set_aside_at < now() - interval '90 days'"),
        job("followed-dead-letter-retention", of: "followed_dead_letter", where: "set_aside_at < now() - interval '90 days'"),
        job("job-retention", of: "job", where: "status in ('succeeded', 'cancelled') and ended_at < now() - interval '7 days'"),
        // What it takes to undo an act has what people wrote.
        job("bulk-act-retention", of: "bulk_act", where: "created_at < now() - interval '30 days'"),
        job("bulk-act-record-retention", of: "bulk_act_record", where: "created_at < now() - interval '30 days'"),
        job("failed-job-retention", of: "job", where: "status = 'failed' and ended_at < now() - interval '90 days'"),
    ]

    static func job(_ kind: String, of table: String, where condition: String) -> Job {
        .periodic(kind, every: .seconds(600)) { _, run in
            let removed = try await run.write([
                """
                delete from \(unescaped: table) where ctid = any (array(
                    select ctid from \(unescaped: table) where \(unescaped: condition) limit \(batch)))
                """
            ])
            return removed[0].affectedRows == batch ? .more() : .done()
        }
    }

    private static let batch = 1000
}
