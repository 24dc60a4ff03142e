import Core
import Postgres
import ServiceLifecycle
import TestSupport
import Testing

/// A member of a tenant who gives the database so much time.
func member(of tenant: TenantID = TenantID(), limits: [String: Int] = [:], timeout: Duration = .seconds(30)) -> RequestContext {
    RequestContext(
        tenant: tenant, user: UserID(), role: "admin", permissions: PermissionSet(), scopes: RowScopes(), plan: "pro", limits: limits,
        edge: EdgeContext(requestID: "request-1", deadline: Timestamp.now.advanced(by: timeout)))
}

@Suite struct PostgresClientTests {
    @Test func valuesOfEveryKindComeBackAsTheyWent() async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                let id = RecordID()
                let instant = Timestamp(milliseconds: 1_769_851_800_123)
                let json: JSON = ["a": [1, "ü\n", nil]]
                let texts = ["", "a,b", "NULL", "q\"uo\\te", "{x}"]
                let row = try await client.batch(
                    as: member(),
                    [
                        """
                        select \(id)::uuid as id, \(instant)::timestamptz as instant, \(json)::json as json, \(texts)::text[] as texts,
                            \(true)::bool as flag, \(Int64.min)::bigint as big, \(1.5)::float8 as number, \("Ünïcödé") as text,
                            null::text as nothing, \([id])::uuid[] as ids
                        """
                    ])[0][0]
                #expect(try row.decode("id") == id)
                #expect(try row.decode("instant") == instant)
                #expect(try row.decode("json") == json)
                #expect(try row.decode("texts") == texts)
                #expect(try row.decode("flag") == true)
                #expect(try row.decode("big") == Int64.min)
                #expect(try row.decode("number") == 1.5)
                #expect(try row.decode("text") == "Ünïcödé")
                #expect(try row.decode("nothing", as: String?.self) == nil)
                #expect(try row.decode("ids") == [id])
                #expect(throws: PostgresError.self) { try row.decode("nothing", as: String.self) }
                #expect(throws: PostgresError.self) { try row.decode("text", as: Int.self) }
                #expect(throws: PostgresError.self) { try row.decode("absent", as: Int.self) }
            }
        }
    }

    @Test func theContextIsKnownInsideTheBatchAndGoneAfterIt() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            try await TestPostgres.withClient(configuration) { client in
                let settings: SQL = """
                    select current_setting('app.tenant'), current_setting('app.user'), current_setting('app.request'),
                        coalesce(current_setting('app.limits', true), '')
                    """
                let context = member(limits: ["users": 1, "leads": 100])
                let row = try await client.batch(as: context, [settings])[0][0]
                #expect(
                    (0..<4).map { row.text($0) } == [
                        context.tenant.description, context.user.description, "request-1", "leads=100&users=1",
                    ])
                let other = try await client.batch(as: SystemContext(service: "crm"), [settings])[0][0]
                #expect(other.text(0) == "" && other.text(1) == "" && other.text(3) == "")
                let third = try await client.batch(as: member(), [settings])[0][0]
                #expect(third.text(3) == "")
            }
        }
    }

    @Test func aFailingStatementIsNamedAndUndoesTheWholeBatch() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                _ = try await client.batch(as: context, [insert(context, "a")])
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: context, [insert(context, "b"), insert(context, "a"), insert(context, "c")])
                }
                #expect(error?.isUniqueViolation == true)
                #expect(error?.constraint == "item_name" && error?.table == "item" && error?.statementIndex == 1)
                #expect(error?.description.contains("(") == false, "the description must not hold a value")
                let names = try await client.batch(as: context, ["select name from item"])[0]
                #expect(names.map { $0.text(0) } == ["a"])
            }
        }
    }

    @Test func aConstraintCheckedAtCommitFailsTheBatch() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let context = member()
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(
                        as: context,
                        [insert(context, "a"), "update item set parent = gen_random_uuid() where tenant_id = \(context.tenant)"])
                }
                #expect(error?.isForeignKeyViolation == true && error?.constraint == "item_parent" && error?.statementIndex == nil)
                let names = try await client.batch(as: context, ["select name from item"])[0]
                #expect(names.isEmpty)
            }
        }
    }

    @Test func aTenantSeesItsOwnRowsOnly() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let one = member()
                let two = member()
                _ = try await client.batch(as: one, [insert(one, "a")])
                _ = try await client.batch(as: two, [insert(two, "b")])
                for (context, name) in [(one, "a"), (two, "b")] {
                    #expect(try await client.batch(as: context, ["select name from item"])[0].map { $0.text(0) } == [name])
                }
                #expect(try await client.batch(as: SystemContext(service: "crm"), ["select name from item"])[0].isEmpty)
                let error = await #expect(throws: PostgresError.self) { try await client.batch(as: one, [insert(two, "c")]) }
                #expect(error?.sqlState == "42501")
            }
        }
    }

    /// A prepare that was skipped because a statement before it failed must be known as not done.
    @Test func preparedStatementsSurviveAFailedBatch() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                for round in 0..<20 {
                    let fresh: SQL = "select \(round)::int + \(unescaped: String(round))"
                    await #expect(throws: PostgresError.self) {
                        try await client.batch(as: context, ["select 1 / \(0)::int", fresh])
                    }
                    let sums: [Int] = try await client.batch(as: context, [fresh, fresh]).map { try $0[0].decode(0) }
                    #expect(sums == [2 * round, 2 * round])
                }
            }
        }
    }

    @Test func moreStatementsThanAreKeptPreparedStillRun() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.maximumStatements = 5
            try await TestPostgres.withClient(configuration) { client in
                let context = member()
                for round in 0..<3 {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<40 {
                            group.addTask {
                                let sql: SQL = "select \(round)::int * 100 + \(unescaped: String(number % 13))"
                                let sum: Int = try await client.batch(as: context, [sql])[0][0].decode(0)
                                #expect(sum == round * 100 + number % 13)
                            }
                        }
                        try await group.waitForAll()
                    }
                }
                let kept = try await client.batch(as: context, ["select count(*) from pg_prepared_statements"])[0][0]
                #expect(try kept.decode(0, as: Int.self) <= 6)
            }
        }
    }

    @Test func aTextWithNULIsRefusedBeforeItIsSent() async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(), ["select \("a\u{0}b")"])
                }
                #expect(error?.sqlState == "22021" && error?.problem.code == .validationFailed)
            }
        }
    }

    /// F14: a full disk is an outage that ends, not a fault of the request.
    @Test(arguments: ["53100", "53200", "58030"])
    func aServerWithoutRoomIsUnavailable(_ state: String) async throws {
        try await TestPostgres.run { database in
            try await database.withClient { client in
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(), ["do \(unescaped: "$$ begin raise exception using errcode = '\(state)'; end $$")"])
                }
                #expect(error?.isOutage == true && error?.problem.code == .upstreamUnavailable && error?.problem.retryAfter == 5)
            }
        }
    }

    @Test func theDeadlineEndsTheWaitAndTheConnectionServesOthersAfterwards() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            try await TestPostgres.withClient(configuration) { client in
                let clock = ContinuousClock()
                let start = clock.now
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(timeout: .milliseconds(200)), ["select pg_sleep(3), 'late'"])
                }
                #expect(error?.kind == .deadlineExceeded && error?.problem.code == .deadlineExceeded)
                #expect(clock.now - start < .seconds(2))
                // The late answer comes first on this connection, and belongs to nobody.
                let mine = try await client.batch(as: member(), ["select 'mine'"])[0][0].text(0)
                #expect(mine == "mine")
                let passed = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(timeout: .milliseconds(-1)), ["select 1"])
                }
                #expect(passed?.kind == .deadlineExceeded)
            }
        }
    }

    @Test func aStatementThatRunsTooLongIsStoppedByTheServer() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.statementTimeout = .milliseconds(100)
            try await TestPostgres.withClient(configuration) { client in
                let error = await #expect(throws: PostgresError.self) {
                    try await client.batch(as: member(), ["select pg_sleep(10)"])
                }
                #expect(error?.sqlState == "57014" && error?.problem.code == .deadlineExceeded)
            }
        }
    }

    @Test func moreCallersThanMayWaitAreRefusedAtOnce() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 1
            configuration.maximumDepth = 2
            configuration.maximumWaiting = 3
            try await TestPostgres.withClient(configuration) { client in
                try await client.ready()
                let outcomes = await withTaskGroup(of: PostgresError.Kind?.self) { group in
                    for _ in 0..<10 {
                        group.addTask {
                            do {
                                _ = try await client.batch(as: member(), ["select pg_sleep(0.3)"])
                                return nil
                            } catch { return (error as? PostgresError)?.kind }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.count { $0 == nil } == 5)
                #expect(outcomes.count { $0 == .overloaded } == 5)
                #expect(client.statistics.overloads == 5)
                #expect(try await client.batch(as: member(), ["select 1"])[0].count == 1)
            }
        }
    }

    @Test func severalThreadsShareTheConnections() async throws {
        try await TestPostgres.run { database in
            var configuration = database.runtime
            configuration.fastConnections = 3
            configuration.bulkConnections = 1
            configuration.reactorThreads = 2
            try await TestPostgres.withClient(configuration) { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            let answer: Int = try await client.batch(as: member(), ["select \(number)::int"])[0][0].decode(0)
                            #expect(answer == number)
                        }
                    }
                    for _ in 0..<4 {
                        group.addTask { try await client.transaction(as: member()) { _ = try await $0.query("select 1") } }
                    }
                    try await group.waitForAll()
                }
                try await eventually("all connections are up") {
                    client.statistics.fastConnections == 3 && client.statistics.bulkConnections == 1
                }
            }
        }
    }

    @Test func aGracefulStopLetsCallersFinish() async throws {
        try await TestPostgres.run { database in
            let client = PostgresClient(configuration: database.runtime, logger: TestPostgres.logger)
            try await withThrowingTaskGroup(of: Void.self) { group in
                let services = ServiceGroup(services: [client], logger: TestPostgres.logger)
                group.addTask { try await services.run() }
                try await client.ready()
                for _ in 0..<10 {
                    group.addTask {
                        let answers = try await client.batch(as: member(), ["select pg_sleep(0.1)", "select 'done'"])
                        #expect(answers[1][0].text(0) == "done")
                    }
                }
                try await eventually("the callers wait") { client.statistics.inFlight == 10 }
                await services.triggerGracefulShutdown()
                try await group.waitForAll()
            }
            let error = await #expect(throws: PostgresError.self) { try await client.batch(as: member(), ["select 1"]) }
            #expect(error?.kind == .notConnected)
        }
    }

    @Test func aClientThatHasEndedRefuses() async throws {
        try await TestPostgres.run { database in
            let client = try await database.withClient { client in
                try await client.ready()
                return client
            }
            let error = await #expect(throws: PostgresError.self) { try await client.batch(as: member(), ["select 1"]) }
            #expect(error?.kind == .notConnected)
            #expect(!client.isReady)
        }
    }
}

func insert(_ context: RequestContext, _ name: String) -> SQL {
    "insert into item (tenant_id, id, name) values (\(context.tenant), \(RecordID()), \(name))"
}

extension TestPostgres {
    /// A client in the runtime role, with a table `item` under tenant isolation.
    func withTable<T>(_ body: (PostgresClient) async throws -> T) async throws -> T {
        try await makeTable()
        return try await withClient(body)
    }

    func makeTable() async throws {
        let tenant: SQL = "tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid)"
        try await asOwner([
            """
            create table item (
                tenant_id uuid not null, id uuid not null, name text not null, parent uuid,
                constraint item_pkey primary key (tenant_id, id),
                constraint item_name unique (tenant_id, name),
                constraint item_parent foreign key (tenant_id, parent) references item (tenant_id, id) deferrable initially deferred
            )
            """,
            "alter table item enable row level security",
            "alter table item force row level security",
            "create policy tenant on item to martlet_\(unescaped: schema) using (\(tenant)) with check (\(tenant))",
            "grant select, insert, update, delete on item to martlet_\(unescaped: schema)",
        ])
    }
}
