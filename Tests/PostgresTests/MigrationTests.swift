import Core
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct MigrationTests {
    private static let steps = [
        ("create_item", "create table item (id uuid, constraint item_pkey primary key (id)); create index item_age on item (id desc);"),
        ("add_name", "alter table item add column name text; insert into item values (gen_random_uuid(), 'one');"),
        ("require_name", "update item set name = name || '$1'; alter table item alter column name set not null;"),
    ]

    private func set(_ count: Int, name: String = "crm") throws -> MigrationSet {
        try MigrationSet(
            name: name,
            migrations: Self.steps.prefix(count).enumerated().map {
                Migration(set: name, version: $0.offset + 1, name: $0.element.0, sql: $0.element.1)
            })
    }

    private func migrator(_ database: TestPostgres) -> Migrator { Migrator(configuration: database.owner, schema: database.schema) }

    private func shape(_ database: TestPostgres) async throws -> [String?] {
        try await TestPostgres.withClient(database.owner) { client in
            let columns: SQL = """
                select concat_ws(' ', column_name, data_type, is_nullable) from information_schema.columns
                where table_schema = \(database.schema) and table_name = 'item' order by 1
                """
            let results = try await client.batch(as: SystemContext(service: "test"), [columns, "select name from item"])
            return results.flatMap { $0.map { $0.text(0) } }
        }
    }

    @Test func theResultIsTheSameFromEmptyAndFromEachEarlierState() async throws {
        var shapes: [[String?]] = []
        for earlier in 0...3 {
            try await TestPostgres.run { database in
                let first = try await migrator(database).apply([set(earlier)], logger: TestPostgres.logger)
                let second = try await migrator(database).apply([set(3)], logger: TestPostgres.logger)
                #expect(first.count == earlier && second.count == 3 - earlier)
                #expect(try await migrator(database).apply([set(3)], logger: TestPostgres.logger).isEmpty)
                shapes.append(try await shape(database))
            }
        }
        #expect(shapes[0] == ["id uuid NO", "name text NO", "one$1"])
        #expect(Set(shapes).count == 1)
    }

    @Test func aMigrationThatWasChangedAfterwardsStopsEverything() async throws {
        try await TestPostgres.run { database in
            _ = try await migrator(database).apply([set(2)], logger: TestPostgres.logger)
            var migrations = try set(3).migrations
            migrations[0].sql += " "
            let changed = try MigrationSet(name: "crm", migrations: migrations)
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([changed], logger: TestPostgres.logger)
            }
            #expect(error?.description.contains("crm 0001_create_item was changed") == true)
            let older = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([set(1)], logger: TestPostgres.logger)
            }
            #expect(older?.description.contains("2 migrations of the set crm, 1 are known") == true)
            #expect(try await migrator(database).apply([set(3)], logger: TestPostgres.logger).map(\.version) == [3])
        }
    }

    @Test func aFailingMigrationIsRolledBackAndThoseBeforeItStay() async throws {
        try await TestPostgres.run { database in
            let broken = try MigrationSet(
                name: "crm",
                migrations: set(1).migrations + [
                    Migration(set: "crm", version: 2, name: "broken", sql: "create table other (id int); select 1 / 0;")
                ])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([broken], logger: TestPostgres.logger)
            }
            #expect(error?.description.contains("crm 0002_broken failed") == true)
            #expect(try await migrator(database).apply([set(3)], logger: TestPostgres.logger).map(\.version) == [2, 3])
        }
    }

    @Test(arguments: [
        ("create unique index item_name on item (name)", "23505, constraint item_name"),
        ("alter table item alter column name type int using name::int", "22P02"),
        ("alter table item add constraint item_short check (length(name) < 3)", "23514, constraint item_short"),
        ("select nothing from item", "column \"nothing\" does not exist"),
    ])
    func aFailureTellsItsReasonButNoRowsValues(sql: String, reason: String) async throws {
        try await TestPostgres.run { database in
            let rows = "create table item (name text); insert into item values ('jane@doe'), ('jane@doe');"
            let broken = try MigrationSet(
                name: "crm",
                migrations: [
                    Migration(set: "crm", version: 1, name: "rows", sql: rows), Migration(set: "crm", version: 2, name: "rule", sql: sql),
                ])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([broken], logger: TestPostgres.logger)
            }
            #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
            #expect(error?.description.contains("jane") == false)
        }
    }

    @Test func migratorsThatStartTogetherApplyEachMigrationOnce() async throws {
        try await TestPostgres.run { database in
            let applied = try await withThrowingTaskGroup(of: [Migration].self) { group in
                for _ in 0..<4 {
                    group.addTask { try await migrator(database).apply([set(3)], logger: TestPostgres.logger) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(applied.map(\.version) == [1, 2, 3])
        }
    }

    @Test func theRuntimeRoleSeesWhatIsPending() async throws {
        try await TestPostgres.run { database in
            let foundation = try set(1, name: "foundation")
            let other = try MigrationSet(
                name: "crm", migrations: [Migration(set: "crm", version: 1, name: "create_other", sql: "create table other (id int)")])
            _ = try await migrator(database).apply([foundation], logger: TestPostgres.logger)
            try await database.withClient { client in
                let context = SystemContext(service: "crm")
                let pending = try await client.pending([foundation, other], schema: database.schema, as: context)
                #expect(pending.map(\.description) == ["crm 0001_create_other"])
                _ = try await migrator(database).apply([foundation, other], logger: TestPostgres.logger)
                #expect(try await client.pending([foundation, other], schema: database.schema, as: context).isEmpty)
            }
        }
    }

    /// A program that is started again after a newer one has migrated finds nothing missing; only a migrator is strict.
    @Test func whatANewerProgramAppliedIsNotPendingButAChangedMigrationIsRefused() async throws {
        try await TestPostgres.run { database in
            let newSet = try MigrationSet(
                name: "later", migrations: [Migration(set: "later", version: 1, name: "create_later", sql: "create table later (id int)")])
            _ = try await migrator(database).apply([set(3), newSet], logger: TestPostgres.logger)
            try await database.withClient { client in
                let context = SystemContext(service: "crm")
                #expect(try await client.pending([set(2)], schema: database.schema, as: context).isEmpty)
                var migrations = try set(2).migrations
                migrations[1].sql += " "
                let changed = try MigrationSet(name: "crm", migrations: migrations)
                let error = await #expect(throws: MigrationError.self) {
                    try await client.pending([changed], schema: database.schema, as: context)
                }
                #expect(error?.description.contains("crm 0002_add_name was changed") == true)
            }
            await #expect(throws: MigrationError.self) { try await migrator(database).apply([set(3)], logger: TestPostgres.logger) }
        }
    }

    /// `create_item`, then the statements, each a migration.
    private func set(_ statements: [String]) throws -> MigrationSet {
        let texts = [Self.steps[0].1] + statements
        return try MigrationSet(
            name: "crm", migrations: texts.enumerated().map { Migration(set: "crm", version: $0 + 1, name: "step", sql: $1) })
    }

    private func outside(_ statement: String) -> String { "\(Migration.outsideMark)\n-- Why.\n\(statement);\n" }

    /// A transaction that has written keeps the index waiting, and a reader an alteration; meanwhile others write and read.
    @Test func anIndexIsBuiltWhileTheTableIsWritten() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let statement = outside("create index concurrently if not exists item_of_name on item (tenant_id, name, id)")
                let index = try MigrationSet(
                    name: "crm", migrations: [Migration(set: "crm", version: 1, name: "index_names", sql: statement)])
                let (holder, other) = (member(), member())
                let building = try await client.transaction(as: holder) { transaction in
                    try await transaction.query(insert(holder, "a"))
                    let building = Task { try await migrator(database).apply([index], logger: TestPostgres.logger) }
                    try await eventually("the index is being built") { try await isWaiting("create index", database) }
                    for number in 0..<20 { _ = try await client.batch(as: other, [insert(other, "item \(number)")]) }
                    #expect(try await isWaiting("create index", database))
                    return building
                }
                #expect(try await building.value.count == 1)
                #expect(try await indexes(database) == ["item_name", "item_of_name", "item_pkey"])
            }
        }
    }

    @Test func aMigrationThatWaitsForALockLetsOthersThrough() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let change = try MigrationSet(
                    name: "crm",
                    migrations: [Migration(set: "crm", version: 1, name: "add_size", sql: "alter table item add column size integer")])
                let (holder, other) = (member(), member())
                let (waits, noteWait) = AsyncStream.makeStream(of: Void.self)
                let changing = try await client.transaction(as: holder) { transaction in
                    try await transaction.query("select from item")
                    let changing = Task {
                        try await migrator(database).apply([change], logger: TestPostgres.logger) { progress in
                            if case .waiting = progress { noteWait.yield() }
                        }
                    }
                    var iterator = waits.makeAsyncIterator()
                    // Three times it has asked for the lock and stepped back; readers and writers pass each time.
                    for attempt in 0..<3 {
                        _ = await iterator.next()
                        _ = try await client.batch(as: other, ["select from item", insert(other, "item \(attempt)")])
                    }
                    return changing
                }
                #expect(try await changing.value.count == 1)
                #expect(try await client.batch(as: other, ["select size from item"])[0].count == 3)
            }
        }
    }

    @Test func aMigrationThatNeverGetsItsLockFailsAndLeavesNothing() async throws {
        try await TestPostgres.run { database in
            try await database.withTable { client in
                let change = try MigrationSet(
                    name: "crm",
                    migrations: [
                        Migration(
                            set: "crm", version: 1, name: "add_size",
                            sql: "create table size (id int); alter table item add column size int")
                    ])
                let impatient = Migrator(
                    configuration: database.owner, schema: database.schema, lockTimeout: .milliseconds(20), patience: .milliseconds(200))
                let error = try await client.transaction(as: member()) { transaction in
                    try await transaction.query("select from item")
                    return await #expect(throws: MigrationError.self) { try await impatient.apply([change], logger: TestPostgres.logger) }
                }
                #expect(error?.description.contains("crm 0001_add_size failed") == true && error?.description.contains("55P03") == true)
                #expect(try await migrator(database).apply([change], logger: TestPostgres.logger).count == 1)
            }
        }
    }

    /// What is left of the first attempt is an index that serves nobody.
    @Test func anIndexWhoseBuildingWasCutOffIsBuiltAgain() async throws {
        try await TestPostgres.run { database in
            let statements = ["alter table item add column name text", "insert into item (id, name) values (gen_random_uuid(), 'one')"]
            let unique = outside("create unique index concurrently if not exists item_of_name on item (name)")
            _ = try await migrator(database).apply([set(statements + [statements[1]])], logger: TestPostgres.logger)
            let all = try set(statements + [statements[1], unique])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([all], logger: TestPostgres.logger)
            }
            #expect(error?.description.contains("23505, constraint item_of_name") == true)
            #expect(try await indexes(database, isValid: false) == ["item_of_name"])
            try await database.asOwner(["delete from item where ctid = (select max(ctid) from item)"])
            #expect(try await migrator(database).apply([all], logger: TestPostgres.logger).count == 1)
            #expect(try await indexes(database, isValid: false).isEmpty)
            #expect(try await indexes(database).contains("item_of_name"))
        }
    }

    /// A migrator that waits for another must not hold what `create index concurrently` waits for.
    @Test func migratorsThatStartTogetherBuildOneIndex() async throws {
        try await TestPostgres.run { database in
            let all = try set([outside("create index concurrently if not exists item_by_id on item (id)")])
            let applied = try await withThrowingTaskGroup(of: [Migration].self) { group in
                for _ in 0..<4 { group.addTask { try await migrator(database).apply([all], logger: TestPostgres.logger) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(applied.map(\.version) == [1, 2])
        }
    }

    @Test func whatRunsOutsideOfATransactionIsOneStatementThatCanBeRepeated() async throws {
        for statement in ["create index concurrently item_by_id on item (id)", "update item set name = ''", "drop index item_age", ""] {
            #expect(throws: MigrationError.self, "\(statement)") { try set([outside(statement)]) }
        }
        try await TestPostgres.run { database in
            let two = try set([outside("call nothing(); drop table item")])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator(database).apply([two], logger: TestPostgres.logger)
            }
            #expect(error?.description.contains("multiple commands") == true)
        }
    }

    private func isWaiting(_ query: String, _ database: TestPostgres) async throws -> Bool {
        let rows = try await TestPostgres.withClient(TestPostgres.superuser()) { client in
            try await client.batch(
                as: SystemContext(service: "test"),
                [
                    """
                    select from pg_stat_activity where usename = \(database.owner.user) and wait_event_type = 'Lock'
                        and query like '%' || \(query) || '%'
                    """
                ])[0]
        }
        return !rows.isEmpty
    }

    private func indexes(_ database: TestPostgres, isValid: Bool = true) async throws -> [String] {
        try await database.withClient { client in
            try await client.batch(
                as: SystemContext(service: "test"),
                [
                    """
                    select relname from pg_index join pg_class on pg_class.oid = indexrelid
                    where indrelid = to_regclass('item') and indisvalid = \(isValid)::bool order by 1
                    """
                ])[0].map { try $0.decode(0) }
        }
    }

    // `migrate` waits for a server that does not answer and for a role that is not there yet, and for nothing else.
    @Test func noConnectionIsToldFromARefusal() async throws {
        func isNotConnected(_ error: any Error) -> Bool { if case MigrationError.notConnected = error { true } else { false } }
        try await TestPostgres.run { database in
            var absent = database.owner
            absent.user = "martlet_nobody"
            var silent = database.owner
            (silent.host, silent.port) = ("127.0.0.1", 1)
            for configuration in [absent, silent] {
                await #expect {
                    try await Migrator(configuration: configuration, schema: database.schema).apply([set(1)], logger: TestPostgres.logger)
                } throws: { isNotConnected($0) }
            }
            let refused = try MigrationSet(name: "crm", migrations: [Migration(set: "crm", version: 1, name: "wrong", sql: "no sql")])
            await #expect {
                try await migrator(database).apply([refused], logger: TestPostgres.logger)
            } throws: { !isNotConnected($0) }
        }
    }

    @Test func aFolderWithAGapOrAWrongNameIsRefused() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func write(_ name: String) throws { try "select 1".write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
        try write("0001_first.sql")
        try write("0002_second_step.sql")
        try write(".keep")
        let set = try MigrationSet.load("crm", from: folder)
        #expect(set.migrations.map(\.description) == ["crm 0001_first", "crm 0002_second_step"])
        try write("0004_late.sql")
        #expect(throws: MigrationError.self) { try MigrationSet.load("crm", from: folder) }
        try write("0003_between.sql")
        #expect(try MigrationSet.load("crm", from: folder).migrations.count == 4)
        try write("5_short.sql")
        #expect(throws: MigrationError.self) { try MigrationSet.load("crm", from: folder) }
        #expect(throws: MigrationError.self) { try MigrationSet.load("crm", from: folder + "/absent") }
    }
}
