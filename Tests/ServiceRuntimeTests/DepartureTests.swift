import CRM
import Core
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct DepartureTests {
    /// A statement that nobody waits for any more stops: the client ends its request, and the server has nothing left to run.
    @Test func whatAClientNoLongerWaitsForIsStopped() async throws {
        var definition = CRM.definition
        definition.build = { dependencies in
            ServiceParts(routes: [
                .service(.get, "/internal/sleep") { _, context in
                    _ = try await dependencies.postgres.batch(as: context, pace: .long, ["select pg_sleep(60)"])
                    return .noContent
                }
            ])
        }
        try await TestDatabase.run([definition]) { [definition] database in
            try await RunningService.run(definition, on: database) { service in
                let caller = Caller.service(SystemContext(service: ContextPair.gateway, timeout: .seconds(60)))
                let request = Task { try await service.send(.get, "/internal/sleep", as: caller) }
                func sleeping() async throws -> Int {
                    let query: SQL = """
                        select count(*) from pg_stat_activity where datname = \(database.name) and state = 'active' \
                        and query like 'select pg_sleep(60)%'
                        """
                    return try await TestPostgres.withClient(database.superuser) { client in
                        try await client.batch(as: SystemContext(service: "test"), [query])[0][0].decode(0)
                    }
                }
                try await eventually("the statement runs") { try await sleeping() == 1 }
                request.cancel()
                try await eventually("it was stopped") { try await sleeping() == 0 }
                _ = try? await request.value
            }
        }
    }
}
