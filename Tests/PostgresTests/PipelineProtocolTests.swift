import Core
import Glibc
import TestSupport
import Testing

@testable import Postgres

@Suite struct PipelineProtocolTests {
    /// Goal: what makes a batch safe is that settings and statement share one implicit transaction.
    /// Method: by hand, the same with a Sync between them, which ends the transaction: no row may be seen, of any tenant.
    @Test func aSyncBetweenSettingsAndStatementYieldsNoRows() async throws {
        try await TestPostgres.run { database in
            let context = member()
            try await database.withTable { client in
                _ = try await client.batch(as: context, [insert(context, "a")])
            }
            let select: SQL = "select name from item"
            let settings = ContextSettings.sql(for: context)
            #expect(try await rows(of: [settings, select], syncAfter: [1], database.runtime) == 1)
            #expect(try await rows(of: [settings, select], syncAfter: [0, 1], database.runtime) == 0)
            #expect(try await rows(of: [select], syncAfter: [0], database.runtime) == 0)
        }
    }

    /// Sends the statements over a connection of its own; gives the number of rows of the last one.
    private func rows(of statements: [SQL], syncAfter syncs: Set<Int>, _ configuration: PostgresConfiguration) async throws -> Int {
        try await withCheckedThrowingContinuation { continuation in
            startThread {
                continuation.resume(
                    with: Result {
                        let handle = try ConnectionHandle(parameters: configuration.parameters(for: .fast))
                        let buffer = ParameterBuffer()
                        for (index, statement) in statements.enumerated() {
                            #expect(handle.sendUnprepared(statement.text, statement.binds, buffer))
                            if syncs.contains(index) { #expect(handle.sendSync()) }
                        }
                        #expect(handle.flush() == .done)
                        var rows = -1
                        var open = syncs.count
                        while open > 0 {
                            switch handle.nextAnswer(isExpected: true) {
                            case .wait:
                                var socket = pollfd(fd: handle.socket, events: Int16(POLLIN), revents: 0)
                                poll(&socket, 1, 1000)
                                guard handle.consumeInput() else { throw ConnectFailure(reason: "lost") }
                            case .success(let result): rows = result.rows
                            case .failure(let result): throw PostgresError(result: result, statementIndex: nil)
                            case .sync: open -= 1
                            case .end, .skipped: break
                            case .broken: throw ConnectFailure(reason: "lost")
                            }
                        }
                        return rows
                    })
            }
        }
    }

    /// Goal: a client that only writes while the server only writes stands still for ever once both sides' buffers are full.
    /// Method: hundreds of statements in one go, with more than any buffer holds in both directions, from several callers.
    @Test(.timeLimit(.minutes(2))) func fullBuffersOnBothSidesDoNotDeadlock() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.statementTimeout = .seconds(60)
            try await TestPostgres.withClient(configuration) { client in
                let text = String(repeating: "0123456789abcdef", count: 8192)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in 0..<4 {
                        group.addTask {
                            let statements: [SQL] = (0..<100).map { "select \("\(caller)-\($0)-" + text)::text" }
                            let results = try await client.batch(as: member(timeout: .seconds(100)), statements)
                            #expect(results.count == 100)
                            for (index, result) in results.enumerated() {
                                let isRight = result[0].withBytes(0) { bytes in
                                    let prefix = "\(caller)-\(index)-"
                                    return bytes.map { $0.starts(with: prefix.utf8) && $0.count == prefix.utf8.count + text.utf8.count }
                                }
                                #expect(isRight == true)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
