import Core
import Postgres
import TestSupport
import Testing

/// What one tenant does, holds or waits for never slows the rest (threats.md, F17 and F21).
@Suite struct TenantShareTests {
    /// One tenant has more slow statements under way than there are shared connections, none of which times out; another tenant's
    /// batches are answered all the while.
    @Test func slowStatementsOfOneTenantLeaveSharedConnectionsToOthers() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 4
            configuration.fastStatementTimeout = .seconds(60)
            try await TestPostgres.withClient(configuration) { client in
                let (slow, other) = (member(), member(timeout: .seconds(5)))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<12 {
                        group.addTask { _ = try? await client.batch(as: slow, ["select pg_sleep(30)"]) }
                    }
                    try await eventually("they are under way") { client.statistics.inFlight == 12 }
                    for number in 0..<50 {
                        #expect(try await client.batch(as: other, ["select \(number)::int"])[0][0].decode(0) == number)
                    }
                    try await eventually("they still are") { client.statistics.inFlight == 12 }
                    group.cancelAll()
                }
            }
        }
    }

    /// Writes that wait for a row of their tenant's do not fill the connections that others need, however many they are.
    @Test func writesThatWaitForALockLeaveSharedConnectionsToOthers() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 4
            configuration.bulkConnections = 4
            configuration.fastLockTimeout = .seconds(60)
            try await database.makeTable()
            try await TestPostgres.withClient(configuration) { client in
                let (context, other) = (member(), member(timeout: .seconds(5)))
                let lock: SQL = "select pg_advisory_xact_lock(hashtextextended(\(database.schema), 2))"
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await client.transaction(as: context) { transaction in
                        try await transaction.query(lock)
                        for number in 0..<64 {
                            group.addTask { _ = try await client.batch(as: context, [lock, insert(context, "mine \(number)")]) }
                        }
                        try await eventually("they wait") { client.statistics.inFlight == 64 }
                        for number in 0..<50 { _ = try await client.batch(as: other, [insert(other, "item \(number)")]) }
                        try await eventually("they still wait") { client.statistics.inFlight == 64 }
                    }
                    try await group.waitForAll()
                }
                #expect(try await client.batch(as: context, ["select from item"])[0].count == 64)
            }
        }
    }

    @Test func aStatementThatRunsLongIsRunAgainByItselfAndThenAtOnce() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.fastStatementTimeout = .milliseconds(50)
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                let slow: SQL = "select pg_sleep(0.2), current_setting('statement_timeout')"
                #expect(try await client.batch(as: context, [slow])[0][0].text(1) == "1min")
                // Sent twice the first time, and once from then on.
                #expect(client.statistics.batches == 2)
                _ = try await client.batch(as: context, [slow])
                #expect(client.statistics.batches == 3)
                // Nobody else's statement of the same text is taken for slow.
                #expect(try await client.batch(as: member(), ["select current_setting('statement_timeout')"])[0][0].text(0) == "50ms")
                #expect(client.statistics.reconnects == 0)
            }
        }
    }

    /// What runs long has a quarter of the bulk lane, so that its tenant's transactions find room and the processors are not taken up.
    @Test func longBatchesOfOneTenantRunOneAfterAnother() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.bulkConnections = 4
            try await TestPostgres.withClient(configuration) { client in
                let (context, other) = (member(), member(timeout: .seconds(5)))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<5 {
                        group.addTask { _ = try? await client.batch(as: context, pace: .long, ["select pg_sleep(30)"]) }
                    }
                    try await eventually("one runs") { client.statistics.checkouts == 1 && client.statistics.waiting == 4 }
                    _ = try await client.batch(as: other, pace: .long, ["select 1"])
                    try await client.transaction(as: context) { _ = try await $0.query("select 1") }
                    try await eventually("the one goes on") { client.statistics.checkouts == 1 && client.statistics.waiting == 4 }
                    group.cancelAll()
                }
                try await eventually("the server has stopped what nobody waits for") {
                    let active: SQL = """
                        select count(*) from pg_stat_activity where application_name = \(database.schema) and query like '%pg_sleep(30)%' \
                        and state = 'active' and pid <> pg_backend_pid()
                        """
                    return try await client.batch(as: other, [active])[0][0].decode(0) == 0
                }
            }
        }
    }

    /// Who waits much waits for itself: another tenant's batch takes its turn, and when there is no more room the longest queue pays.
    @Test func aTenantWithManyWaitingDelaysAndCrowdsOutNobody() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.maximumDepth = 1
            configuration.maximumWaiting = 10
            configuration.fastStatementTimeout = .seconds(60)
            configuration.fastLockTimeout = .seconds(60)
            let locked = configuration
            try await TestPostgres.withClient(locked) { client in
                let (many, other) = (member(), member())
                let lock: SQL = "select pg_advisory_xact_lock(hashtextextended(\(database.schema), 3))"
                var refused = 0
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    try await client.transaction(as: many) { transaction in
                        try await transaction.query(lock)
                        group.addTask {
                            _ = try await client.batch(as: many, [lock]); return true
                        }
                        // The third, after those that opened the transaction and took its lock.
                        try await eventually("it waits for the lock") {
                            client.statistics.batches == 3 && client.statistics.inFlight == 1
                        }
                        for _ in 0..<10 {
                            group.addTask {
                                do { _ = try await client.batch(as: many, ["select 1"]) } catch let error as PostgresError {
                                    #expect(error.kind == .overloaded)
                                    return false
                                }
                                return true
                            }
                        }
                        try await eventually("the queue is full") { client.statistics.waiting == 10 }
                        group.addTask {
                            _ = try await client.batch(as: other, ["select 1"]); return true
                        }
                        try await eventually("one of the many was refused in its favour") { client.statistics.overloads == 1 }
                    }
                    for try await isServed in group where !isServed { refused += 1 }
                }
                #expect(refused == 1)
            }
        }
    }

    /// Statements that come up once leave those that are run all the time prepared.
    @Test func statementsThatAreRunOftenStayPrepared() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.maximumStatements = 8
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                let hot: SQL = "select count(*) from pg_prepared_statements where statement like 'select count(*) from pg_prepared%'"
                _ = try await client.batch(as: context, [hot])
                for number in 0..<100 {
                    _ = try await client.batch(as: context, ["select \(unescaped: String(number))"])
                    #expect(try await client.batch(as: context, [hot])[0][0].decode(0) == 1)
                }
                // What came once was not kept.
                let kept: Int = try await client.batch(as: context, ["select count(*) from pg_prepared_statements"])[0][0].decode(0)
                #expect(kept <= 3)
            }
        }
    }
}
