import Core
import Postgres
import Synchronization
import TestSupport
import Testing

@Suite struct ConnectionLossTests {
    /// What the callers were told about the rows they wrote.
    private final class Ledger: Sendable {
        let isOver = Atomic<Bool>(false)
        let outcomes = Mutex<(kept: Set<Int>, unknown: Set<Int>, lost: Set<Int>)>(([], [], []))
    }

    /// Goal: each caller that waits when the server dies is told once, with the truth about its write, and later calls work.
    /// Method: callers write numbered rows while a private server is killed (SIGKILL) and started again, several times. A second
    /// answer to one caller would trap in its continuation. Afterwards the table is compared with what the callers were told.
    @Test(.timeLimit(.minutes(3))) func aServerKilledMidPipelineFailsEachCallerOnceAndTheClientComesBack() async throws {
        try await PrivatePostgres.run { server in
            var configuration = server.superuser
            configuration.fastConnections = 4
            try await TestPostgres.withClient(configuration) { client in
                let system = SystemContext(service: "test", timeout: .seconds(120))
                _ = try await client.batch(as: system, ["create table entry (number bigint primary key)"])
                let ledger = Ledger()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in 0..<32 {
                        group.addTask {
                            var round = 0
                            while !ledger.isOver.load(ordering: .relaxed) {
                                round += 1
                                let number = caller * 1_000_000 + round
                                do {
                                    _ = try await client.batch(
                                        as: SystemContext(service: "test", timeout: .seconds(20)),
                                        ["insert into entry values (\(number))", "select pg_sleep(0.001)"])
                                    ledger.outcomes.withLock { _ = $0.kept.insert(number) }
                                } catch let error as PostgresError {
                                    switch error.kind {
                                    case .connectionLost(mayHaveCommitted: true): ledger.outcomes.withLock { _ = $0.unknown.insert(number) }
                                    case .connectionLost(mayHaveCommitted: false), .notConnected:
                                        ledger.outcomes.withLock { _ = $0.lost.insert(number) }
                                    default: throw error
                                    }
                                }
                            }
                        }
                    }
                    for _ in 0..<3 {
                        let before = ledger.outcomes.withLock { $0.kept.count }
                        try await eventually("rows are written") { ledger.outcomes.withLock { $0.kept.count } >= before + 200 }
                        try await server.kill()
                        try await server.start()
                    }
                    let before = ledger.outcomes.withLock { $0.kept.count }
                    try await eventually("rows are written again") { ledger.outcomes.withLock { $0.kept.count } >= before + 200 }
                    ledger.isOver.store(true, ordering: .relaxed)
                    try await group.waitForAll()
                }
                let stored = try await client.batch(as: system, ["select number from entry"])[0].map { try $0.decode(0, as: Int.self) }
                let (kept, unknown, lost) = ledger.outcomes.withLock { $0 }
                let present = Set(stored)
                #expect(kept.isSubset(of: present), "acknowledged rows must be there")
                #expect(present.isDisjoint(with: lost), "rows said to be rolled back must not be there")
                #expect(present.isSubset(of: kept.union(unknown)))
                #expect(!unknown.isEmpty, "the kill must have met someone on the way")
                #expect(client.statistics.reconnects >= 3 && client.isReady)
            }
        }
    }

    @Test(.timeLimit(.minutes(1))) func whileThereIsNoServerCallersAreRefusedSoonAndAgainServedLater() async throws {
        try await PrivatePostgres.run { server in
            try await server.stop()
            var configuration = server.superuser
            configuration.unavailableTimeout = .milliseconds(300)
            try await TestPostgres.withClient(configuration) { client in
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: SystemContext(service: "test"), ["select 1"])
                }
                #expect(error?.kind == .notConnected && error?.problem.code == .upstreamUnavailable && error?.problem.retryAfter == 1)
                let transaction = await #expect(throws: PostgresError.self) {
                    try await client.transaction(as: SystemContext(service: "test")) { try await $0.query("select 1").count }
                }
                #expect(transaction?.kind == .notConnected)
                #expect(!client.isReady)
                try await server.start()
                try await eventually("the client comes back") { (try? await client.ready()) != nil }
                #expect(client.isReady)
            }
        }
    }

    @Test func aConnectionEndedByTheServerFailsItsCallersAndIsReplaced() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            try await TestPostgres.withClient(configuration) { client in
                let process: Int = try await client.batch(as: member(), ["select pg_backend_pid()"])[0][0].decode(0)
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(), ["select pg_terminate_backend(pg_backend_pid())", "select 1"])
                }
                #expect(error?.kind == .connectionLost(mayHaveCommitted: false))
                let next: Int = try await client.batch(as: member(), ["select pg_backend_pid()"])[0][0].decode(0)
                #expect(next != process && client.statistics.reconnects == 1)
            }
        }
    }
}
