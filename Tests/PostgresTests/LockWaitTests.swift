import Core
import Postgres
import TestSupport
import Testing

@Suite struct LockWaitTests {
    private func lock(in database: TestPostgres) -> SQL { "select pg_advisory_xact_lock(hashtextextended(\(database.schema), 1))" }

    /// One tenant holds a lock, and another batch of it waits for that. On the one shared connection, batches of another tenant
    /// are answered all the while; the batch that waits ends well as soon as the lock is free.
    @Test func aBatchThatWaitsForALockHoldsUpNobodyForLong() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.bulkConnections = 4
            // Ends only when the lock is free: the batch must have left the shared connection.
            configuration.lockTimeout = .seconds(25)
            try await database.makeTable()
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                let (lock, other) = (lock(in: database), member(timeout: .seconds(5)))
                let waiting = try await client.transaction(as: context) { transaction in
                    try await transaction.query(lock)
                    let waiting = Task { try await client.batch(as: context, [lock, insert(context, "a")]) }
                    try await eventually("the batch waits on a connection of its own") { client.statistics.checkouts == 2 }
                    for number in 0..<20 { _ = try await client.batch(as: other, [insert(other, "item \(number)")]) }
                    return waiting
                }
                _ = try await waiting.value
                #expect(try await client.batch(as: context, ["select from item"])[0].count == 1)
                try await eventually("the connection is given back") { client.statistics.checkouts == 0 }
                #expect(client.statistics.reconnects == 0)
            }
        }
    }

    @Test func aBatchThatWaitsTooLongOnItsOwnConnectionTooFailsAndLeavesNothing() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.bulkConnections = 4
            configuration.fastLockTimeout = .milliseconds(20)
            configuration.lockTimeout = .milliseconds(50)
            try await database.makeTable()
            try await TestPostgres.withClient(configuration) { client in
                let (context, lock) = (member(), lock(in: database))
                try await client.transaction(as: context) { transaction in
                    try await transaction.query(lock)
                    let error = await #expect(throws: PostgresError.self) {
                        try await client.batch(as: context, [insert(context, "a"), lock])
                    }
                    #expect(error?.sqlState == "55P03")
                    #expect(error?.statementIndex == 1)
                }
                #expect(try await client.batch(as: context, ["select from item"])[0].isEmpty)
                #expect(client.statistics.reconnects == 0)
            }
        }
    }

    /// One tenant has a transaction open and waits with another; a second tenant's passes.
    @Test func oneTenantLeavesConnectionsOfTheBulkLaneToOthers() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.bulkConnections = 2
            try await TestPostgres.withClient(configuration) { client in
                let (context, other) = (member(), member(timeout: .seconds(5)))
                let waiting = try await client.transaction(as: context) { _ in
                    let waiting = Task { try await client.transaction(as: context) { try await $0.query("select 1").count } }
                    try await eventually("the second waits") { client.statistics.waiting == 1 }
                    try await client.transaction(as: other) { _ = try await $0.query("select 1") }
                    #expect(client.statistics.waiting == 1)
                    return waiting
                }
                #expect(try await waiting.value == 1)
            }
        }
    }

    /// With several threads too, of which each has a part of the lane.
    @Test func oneTenantLeavesConnectionsOfEachThreadToOthers() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 4
            configuration.reactorThreads = 4
            configuration.bulkConnections = 4
            try await TestPostgres.withClient(configuration) { client in
                let (context, other) = (member(), member(timeout: .seconds(5)))
                let (end, ending) = AsyncStream<Void>.makeStream()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<6 {
                        group.addTask { try await client.transaction(as: context) { _ in for await _ in end {} } }
                    }
                    try await eventually("the tenant has its half") { client.statistics.checkouts == 2 && client.statistics.waiting == 4 }
                    for _ in 0..<8 { try await client.transaction(as: other) { _ = try await $0.query("select 1") } }
                    ending.finish()
                    try await group.waitForAll()
                }
            }
        }
    }
}
