import Core
import Postgres
import TestSupport
import Testing

@Suite struct TransactionTests {
    private struct Refusal: Error {}

    private func names(_ client: PostgresClient, _ context: RequestContext) async throws -> [String?] {
        try await client.batch(as: context, ["select name from item order by name"])[0].map { $0.text(0) }
    }

    @Test func aTransactionCommitsWhatItsStatementsDid() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                let count = try await client.transaction(as: context) { transaction in
                    try await transaction.query(insert(context, "a"))
                    try await transaction.batch([insert(context, "b"), insert(context, "c")])
                    return try await transaction.query("select from item").count
                }
                #expect(count == 3)
                #expect(try await names(client, context) == ["a", "b", "c"])
                #expect(try await names(client, member()) == [])
            }
        }
    }

    @Test func aTransactionThatThrowsLeavesNothing() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                await #expect(throws: Refusal.self) {
                    try await client.transaction(as: context) { transaction in
                        try await transaction.query(insert(context, "a"))
                        throw Refusal()
                    }
                }
                let kept = try await names(client, context)
                #expect(kept.isEmpty)
                #expect(client.statistics.reconnects == 0)
            }
        }
    }

    @Test func aFailureThatTheClosureSwallowsFailsTheCommit() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                let error = await #expect(throws: PostgresError.self) {
                    try await client.transaction(as: context) { transaction in
                        try await transaction.query(insert(context, "a"))
                        _ = try? await transaction.query("select 1 / 0")
                    }
                }
                #expect(error?.sqlState == "25P02")
                let kept = try await names(client, context)
                #expect(kept.isEmpty)
            }
        }
    }

    /// The statement is still running when its caller gives up; the connection with the open transaction must serve nobody else.
    @Test func aTransactionCancelledMidFlightIsRolledBackAndItsStatementStopped() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.bulkConnections = 1
            try await database.makeTable()
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                let task = Task {
                    try await client.transaction(as: context) { transaction in
                        try await transaction.query(insert(context, "a"))
                        try await transaction.query("select pg_sleep(50) as sleeping")
                    }
                }
                let running: SQL = """
                    select from pg_stat_activity where application_name = \(database.schema) and query like '%50) as sleeping'
                        and state = 'active'
                    """
                let system = SystemContext(service: "test")
                try await eventually("the statement runs") { try await !client.batch(as: system, [running])[0].isEmpty }
                task.cancel()
                let error = await #expect(throws: PostgresError.self) { try await task.value }
                #expect(error?.kind == .cancelled)
                try await eventually("the statement is stopped") { try await client.batch(as: system, [running])[0].isEmpty }
                let seen = try await client.transaction(as: context) { try await $0.query("select from item").count }
                #expect(seen == 0)
            }
        }
    }

    @Test func transactionsWaitForAFreeConnection() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            try await client.transaction(as: context) { transaction in
                                _ = try await transaction.query(insert(context, "item \(number)"))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await names(client, context).count == 20)
                #expect(client.statistics.checkouts == 0)
            }
        }
    }

    @Test func aSessionHoldsALockUntilItEnds() async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                let system = SystemContext(service: "test")
                let lock: SQL = "select pg_try_advisory_lock(hashtextextended(\(database.schema), 0))"
                try await client.session(as: system) { session in
                    #expect(try await session.query(lock)[0].decode(0) == true)
                    #expect(try await session.query("select 1").count == 1)
                    try await client.session(as: system) { other in
                        let isOurs: Bool = try await other.query(lock)[0].decode(0)
                        #expect(!isOurs)
                    }
                }
                // The server lets go of it when it notices that the connection was closed.
                try await eventually("the lock is free") {
                    try await client.session(as: system) { try await $0.query(lock)[0].decode(0) }
                }
            }
        }
    }
}
