import Core
import Postgres
import Synchronization
import TestSupport
import Testing

@Suite struct CancellationTests {
    private final class Tally: Sendable {
        let answered = Atomic<Int>(0)
        let cancelled = Atomic<Int>(0)
    }

    /// Goal: the answer to a cancelled caller's question never reaches another caller.
    /// Method: many callers on two connections ask different questions; about half are cancelled at every stage of the way, some
    /// run out of time, some fail; each answer that comes must be the one to its caller's question.
    @Test func aCallerCancelledMidFlightNeverShiftsAnothersAnswer() async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                try await client.ready()
                let tally = Tally()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in 0..<48 {
                        group.addTask {
                            for round in 0..<150 {
                                let question = caller * 1_000_000 + round
                                let asked = Task {
                                    try await Self.ask(question, client)
                                }
                                if (caller + round).isMultiple(of: 2) {
                                    for _ in 0..<Int.random(in: 0...20) { await Task.yield() }
                                    asked.cancel()
                                }
                                do {
                                    #expect(try await asked.value == [question, question + 1])
                                    tally.answered.add(1, ordering: .relaxed)
                                } catch let error as PostgresError {
                                    switch error.kind {
                                    case .cancelled: tally.cancelled.add(1, ordering: .relaxed)
                                    case .deadlineExceeded, .server("22012"): break
                                    default: throw error
                                    }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(tally.answered.load(ordering: .relaxed) > 1000)
                #expect(tally.cancelled.load(ordering: .relaxed) > 100)
                // What was abandoned has been drained, and both connections are the ones from the beginning.
                #expect(try await Self.ask(1, client) == [1, 2])
                #expect(client.statistics.reconnects == 0 && client.statistics.waiting == 0)
            }
        }
    }

    private static func ask(_ question: Int, _ client: PostgresClient) async throws -> [Int] {
        let context = member(timeout: question.isMultiple(of: 7) ? .milliseconds(3) : .seconds(30))
        var statements: [SQL] = ["select \(question)::int", "select \(question)::int + 1"]
        if question.isMultiple(of: 11) { statements.insert("select pg_sleep(0.002)", at: 0) }
        if question.isMultiple(of: 13) { statements.insert("select 1 / 0", at: 0) }
        let results = try await client.batch(as: context, statements)
        return try results.suffix(2).map { try $0[0].decode(0) }
    }

    @Test func aTaskThatIsCancelledAlreadySendsNothing() async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                try await client.ready()
                let before = client.statistics.batches
                let task = Task {
                    // Ends at once when cancelled, which is what is waited for here.
                    try? await Task.sleep(for: .seconds(60))
                    return try await client.batch(as: member(), ["select 1"])
                }
                task.cancel()
                let error = await #expect(throws: PostgresError.self) { try await task.value }
                #expect(error?.kind == .cancelled)
                try await client.ready()
                #expect(client.statistics.batches <= before + 1)
            }
        }
    }
}
