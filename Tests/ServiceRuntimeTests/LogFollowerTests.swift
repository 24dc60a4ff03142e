import Activity
import CRM
import Contracts
import Core
import Foundation
import Operations
import Postgres
import Tenant
import TestSupport
import Testing

@testable import ServiceRuntime

/// crm's copy of the members, made from the log of a real activity.
@Suite struct LogFollowerTests {
    private struct Log: Sendable {
        let activity: RunningService
        let database: TestDatabase

        /// Puts an event of a member into the log, as the tenant service hands it over.
        func tell(
            _ kind: String, _ tenant: TenantID, _ user: UserID, _ payload: String, as source: String = "tenant"
        ) async throws {
            let event = Event(
                id: EventID(), tenant: tenant, source: source, aggregate: "member", aggregateID: user.description, kind: kind,
                actor: "system", requestID: "", occurredAt: .now, payload: payload)
            let bytes = Event.encode([event])
            let context = activity.signed(.service(SystemContext(service: source, edge: .test())), "POST", "/internal/events", bytes: bytes)
            try await APIClient(url: activity.url).send(
                "POST", "/internal/events", bytes: bytes, headers: [(ContextSigner.headerName, context)], expecting: 204)
        }

        func created(_ tenant: TenantID, _ user: UserID, name: String = "Ada", teams: [TeamID] = []) async throws {
            let teams = teams.map { "\"\($0)\"" }.joined(separator: ",")
            try await tell(
                "member.created", tenant, user,
                #"{"before":null,"after":{"id":"\#(user)","email":"a@b.test","name":"\#(name)","role":"sales","teams":[\#(teams)],"status":"active","version":1}}"#
            )
        }

        func updated(_ tenant: TenantID, _ user: UserID, version: Int, _ after: String, kind: String = "member.updated") async throws {
            try await tell(kind, tenant, user, #"{"before":{},"after":{"version":\#(version)\#(after)}}"#)
        }

        /// As one that has followed the log since there are members: there is nobody to be asked for.
        func beginAtItsBeginning() async throws {
            try await database.query(
                in: .crm, ["insert into log_follower (aggregate, format) values ('member', \(LogCopy.members.format))"])
        }

        func follow(_ body: @escaping @Sendable (RunningService) async throws -> Void) async throws {
            let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": activity.url]
            try await RunningService.run(CRM.definition, on: database, settings: settings, body)
        }

        /// The copies, a line each.
        func copies() async throws -> [String] {
            try await lines(
                "select name || ' ' || role || ' ' || case when is_removed then 'removed' else status end || ' ' || version || ' ' || cardinality(teams) from crm.member_copy order by name"
            )
        }

        func teams() async throws -> [String] {
            try await lines("select team_id::text || ' ' || user_id::text from crm.team_member_copy order by 1")
        }

        func lines(_ query: SQL) async throws -> [String] { try await database.query([query])[0].map { try $0.decode(0) } }

        func position() async throws -> Int { try await database.query([Self.position])[0][0].decode(0) }

        static let position: SQL = "select position from crm.log_follower where aggregate = 'member'"
    }

    private typealias TeamID = RecordID

    private func run(_ body: @escaping @Sendable (Log) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition, Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { activity in
                let log = Log(activity: activity, database: database)
                try await log.beginAtItsBeginning()
                try await body(log)
            }
        }
    }

    @Test func copiesFollowWhatIsTold() async throws {
        try await run { log in
            let (tenant, ada, ben) = (TenantID(), UserID(), UserID())
            let (east, west) = (TeamID(), TeamID())
            try await log.created(tenant, ada, teams: [east])
            try await log.follow { _ in
                try await eventually("what was there before is copied") { try await log.copies() == ["Ada sales active 1 1"] }
                try await log.created(tenant, ben, name: "Ben")
                try await log.updated(tenant, ada, version: 2, #","role":"manager","teams":["\#(west)","\#(east)"]"#)
                try await log.updated(tenant, ben, version: 3, #","name":"Benno""#)
                try await eventually("both have changed") {
                    try await log.copies() == ["Ada manager active 2 2", "Benno sales active 3 0"]
                }
                #expect(try await Set(log.teams()) == ["\(east) \(ada)".lowercased(), "\(west) \(ada)".lowercased()])
                try await log.updated(tenant, ada, version: 3, #","teams":[],"status":"disabled""#)
                try await log.updated(tenant, ada, version: 4, "", kind: "member.deleted")
                try await eventually("one was removed") { try await log.copies().first == "Ada manager removed 4 0" }
                #expect(try await log.teams().isEmpty)
                try await log.updated(tenant, ada, version: 5, #","role":"support""#, kind: "member.restored")
                try await eventually("and has come back as she was") { try await log.copies().first == "Ada support disabled 5 0" }
            }
            #expect(try await log.position() == 7)
        }
    }

    /// Nothing is there twice: the log is followed once more from its beginning, with the copies as they are, and an older version comes again.
    @Test func whatComesAgainChangesNothing() async throws {
        try await run { log in
            let (tenant, ada) = (TenantID(), UserID())
            try await log.created(tenant, ada)
            try await log.updated(tenant, ada, version: 2, #","role":"manager""#)
            try await log.follow { _ in
                try await eventually("it is copied") { try await log.copies() == ["Ada manager active 2 0"] }
            }
            try await log.database.query(["update crm.log_follower set position = 0 where aggregate = 'member'"])
            try await log.updated(tenant, ada, version: 1, #","role":"support""#)
            try await log.follow { _ in
                try await eventually("all was followed again") { try await log.position() == 3 }
                #expect(try await log.copies() == ["Ada manager active 2 0"])
            }
        }
    }

    /// Events that cannot be understood, or that the database refuses, are set aside in their place, and the others are applied.
    @Test func aPoisonEventIsSetAsideAndStopsNoOther() async throws {
        try await run { log in
            let tenant = TenantID()
            let users = (0..<6).map { _ in UserID() }
            for (number, user) in users.enumerated() { try await log.created(tenant, user, name: "N\(number)") }
            try await log.updated(tenant, users[1], version: 2, #","status":"asleep""#)
            try await log.updated(tenant, users[2], version: 2, #","role":"manager""#)
            try await log.tell("member.updated", tenant, users[3], #"{"before":{}}"#)
            try await log.updated(tenant, users[4], version: 2, #","teams":["no id"]"#)
            try await log.tell("member.married", tenant, users[4], #"{"after":{}}"#)
            try await log.updated(tenant, users[5], version: 2, #","role":"support""#)
            try await log.follow { crm in
                try await eventually("all was followed") { try await log.position() == 12 }
                #expect(
                    try await log.copies() == [
                        "N0 sales active 1 0", "N2 manager active 2 0", "N5 support active 2 0",
                    ])
                // What was known of the others may be what they have lost, and is not kept.
                #expect(
                    try await Set(log.lines("select record_id from crm.followed_doubt"))
                        == Set([1, 3, 4].map { users[$0].description }))
                let reasons = try await log.lines(
                    "select position || ' ' || kind || ' ' || reason from crm.followed_dead_letter order by position")
                #expect(reasons.map { $0.prefix { $0 != " " } } == ["7", "9", "10", "11"])
                #expect(reasons[0].contains("member_copy_status_known"))
                #expect(reasons[1] == "9 member.updated no member 'after'")
                #expect(reasons[3] == "11 member.married no kind of event that is known of members")
                // What they say stays in activity.
                let letters = try await log.lines("select letter::text from crm.followed_dead_letter as letter order by position")
                #expect(letters.count == 4 && !letters.contains { $0.contains("asleep") || $0.contains("no id") })
                try await log.database.query([
                    "update crm.followed_dead_letter set set_aside_at = now() - interval '91 days' where position = 7"
                ])
                try await crm.runJob("followed-dead-letter-retention")
                #expect(try await log.lines("select position::text from crm.followed_dead_letter order by position").count == 3)
            }
        }
    }

    /// The log beside a tenant service that knows its members.
    private func runBesideOwner(_ body: @escaping @Sendable (Log, _ owner: RunningService) async throws -> Void) async throws {
        try await TestDatabase.run([TenantService.definition, CRM.definition, Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { activity in
                try await RunningService.run(TenantService.definition, on: database) { owner in
                    try await body(Log(activity: activity, database: database), owner)
                }
            }
        }
    }

    /// Makes members of a tenant as they are by now, without a word in the log.
    private static func hold(_ log: Log, _ tenant: TenantID, _ members: [(id: UserID, name: String, version: Int)]) async throws {
        var statements: [SQL] = [
            """
            insert into tenant (tenant_id, name, slug, created_by, updated_by)
            values (\(tenant), 'Acme', \("t-" + tenant.description.suffix(12)), \(UserID()), \(UserID()))
            """
        ]
        for member in members {
            statements.append(
                """
                insert into member (tenant_id, user_id, email, name, role, version, created_by, updated_by)
                values (\(tenant), \(member.id), 'a@b.test', \(member.name), 'support', \(member.version), \(UserID()), \(UserID()))
                """)
        }
        try await log.database.query(in: .tenant, statements)
    }

    /// Goal: copies that are renewed (those of another form, of another log, and the first ones) show nothing that has been, at no moment.
    /// Method: the log tells of a member's beginnings; everything that is written to the copies is noted down.
    @Test(arguments: ["format = 0, position = 0", "format = 7, position = 2", "position = 900"])
    func renewedCopiesShowNothingThatHasBeen(state: String) async throws {
        try await runBesideOwner { log, owner in
            let (tenant, ada, ben, gone) = (TenantID(), UserID(), UserID(), UserID())
            let team = TeamID()
            try await log.created(tenant, ada, teams: [team])
            try await log.updated(tenant, ada, version: 2, #","role":"super_admin""#)
            try await Self.hold(log, tenant, [(ada, "Ada", 3), (ben, "Ben", 1)])
            // Copies of another world: later ones, one of somebody who never was.
            try await log.beginAtItsBeginning()
            try await log.database.query(
                in: .crm,
                [
                    """
                    insert into crm.member_copy (tenant_id, user_id, email, name, role, teams, status, version)
                    values (\(tenant), \(ada), 'a@b.test', 'Ada', 'manager', \([team])::uuid[], 'active', 9), (\(tenant), \(gone), '', 'Gone', 'sales', '{}', 'active', 1)
                    """,
                    "update crm.log_follower set \(unescaped: state)",
                    "create table public.seen (at serial, line text)",
                    """
                    create function public.see() returns trigger language plpgsql security definer as $$ begin
                        insert into public.seen (line) values (new.name || ' ' || new.role || ' ' || new.version || ' ' || cardinality(new.teams));
                        return null;
                    end $$
                    """,
                    "create trigger see after insert or update on crm.member_copy for each row execute function public.see()",
                ])
            let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": log.activity.url, "MARTLET_TENANT_URL": owner.url]
            try await RunningService.run(CRM.definition, on: log.database, settings: settings) { _ in
                try await eventually("the copies are as the owner has them") {
                    try await log.copies() == ["Ada support active 3 0", "Ben support active 1 0"]
                }
                #expect(try await log.teams().isEmpty)
                #expect(try await Set(log.lines("select line from public.seen")) == ["Ada support 3 0", "Ben support 1 0"])
                #expect(
                    try await log.lines(
                        "select format || ' ' || position || ' ' || (renewed_to is null) from crm.log_follower where aggregate = 'member'")
                        == ["\(LogCopy.members.format) 2 true"])
                // And then the log goes on.
                try await log.updated(tenant, ben, version: 2, #","role":"sales""#)
                try await eventually("what comes is applied") { try await log.copies().last == "Ben sales active 2 0" }
            }
        }
    }

    /// Goal: what is known of a member without an event that told nothing is not kept, and asked of the owner.
    @Test(arguments: ["poison", "unknown", "gap", "erased member", "erased payload", "no copy"])
    func aMemberInDoubtIsAskedFor(event: String) async throws {
        try await runBesideOwner { log, owner in
            let (tenant, ada, gone) = (TenantID(), UserID(), UserID())
            try await log.beginAtItsBeginning()
            try await Self.hold(log, tenant, [(ada, "Ada", 3)])
            if event != "no copy" { for user in [ada, gone] { try await log.created(tenant, user, teams: [TeamID()]) } }
            for user in [ada, gone] {
                switch event {
                case "poison": try await log.updated(tenant, user, version: 2, #","status":"asleep""#)
                case "unknown": try await log.tell("member.married", tenant, user, #"{"after":{}}"#)
                case "gap": try await log.tell(Event.gap, tenant, user, "{}")
                case "erased member": try await log.tell("member.erased", tenant, user, "{}")
                case "erased payload": try await log.tell("member.updated", tenant, user, LogPage.noPayload)
                default: try await log.updated(tenant, user, version: 2, #","role":"manager""#)
                }
            }
            try await log.follow { _ in
                try await eventually("both are in doubt") { try await log.lines("select record_id from crm.followed_doubt").count == 2 }
                #expect(try await log.copies().isEmpty)
                #expect(try await log.teams().isEmpty)
            }
            // Nobody was there to be asked; now there is.
            let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": log.activity.url, "MARTLET_TENANT_URL": owner.url]
            try await RunningService.run(CRM.definition, on: log.database, settings: settings) { _ in
                try await eventually("it is as the owner has it") { try await log.copies() == ["Ada support active 3 0"] }
                try await eventually("nobody is in doubt") { try await log.lines("select record_id from crm.followed_doubt").isEmpty }
            }
        }
    }

    /// Goal: what the copies do not take of one member holds up neither the others, in doubt or not, of whichever tenant, nor the log.
    /// Method: the owner tells of a status that no release knows; then all is renewed.
    @Test func whatTheCopiesDoNotTakeOfOneMemberHoldsUpNobodyElse() async throws {
        try await runBesideOwner { log, owner in
            let tenants = [TenantID(), TenantID()].sorted()
            let (bad, good, other) = (UserID(), UserID(), UserID())
            try await log.database.query(in: .tenant, ["alter table member drop constraint member_status_known"])
            try await Self.hold(log, tenants[0], [(bad, "Bad", 3), (good, "Good", 3)])
            try await Self.hold(log, tenants[1], [(other, "Other", 3)])
            try await log.database.query(in: .tenant, ["update member set status = 'asleep' where user_id = \(bad)"])
            try await log.beginAtItsBeginning()
            for (tenant, user) in [(tenants[0], bad), (tenants[0], good), (tenants[1], other)] {
                try await log.tell("member.married", tenant, user, #"{"after":{}}"#)
            }
            let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": log.activity.url, "MARTLET_TENANT_URL": owner.url]
            try await RunningService.run(CRM.definition, on: log.database, settings: settings) { _ in
                try await eventually("the others are as the owner has them") {
                    try await log.copies() == ["Good support active 3 0", "Other support active 3 0"]
                }
                try await eventually("the one is in doubt") {
                    try await log.lines("select record_id from crm.followed_doubt") == [bad.description]
                }
                try await log.updated(tenants[0], good, version: 4, #","role":"sales""#)
                try await eventually("the log is followed") { try await log.copies().first == "Good sales active 4 0" }
            }
            try await log.database.query(["update crm.log_follower set format = 7 where aggregate = 'member'"])
            try await log.database.query(in: .tenant, ["update member set version = 5 where user_id <> \(bad)"])
            try await RunningService.run(CRM.definition, on: log.database, settings: settings) { _ in
                try await eventually("the others are renewed") {
                    try await log.copies() == ["Good support active 5 0", "Other support active 5 0"]
                }
                try await eventually("the copies are whole") {
                    try await log.lines("select 'x' from crm.log_follower where aggregate = 'member' and renewed_to is null").count == 1
                }
                #expect(try await log.lines("select record_id from crm.followed_doubt") == [bad.description])
                // Once its owner says what is known, it is copied.
                try await log.database.query(in: .tenant, ["update member set status = 'disabled' where user_id = \(bad)"])
                try await eventually("it is copied", within: .seconds(10)) { try await log.copies().first == "Bad support disabled 3 0" }
                try await eventually("nobody is in doubt") { try await log.lines("select record_id from crm.followed_doubt").isEmpty }
            }
        }
    }

    /// Goal: two transactions of which the one that began first commits last are both applied.
    /// Method: the tenant service's own relay, and two of its members made so.
    @Test func whatCommitsLateIsAppliedToo() async throws {
        try await TestDatabase.run([TenantService.definition, CRM.definition, Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { activity in
                let log = Log(activity: activity, database: database)
                try await log.beginAtItsBeginning()
                let settings = ["MARTLET_WORKERS": "true", "MARTLET_ACTIVITY_URL": activity.url]
                try await RunningService.run(TenantService.definition, on: database, settings: settings) { _ in
                    try await log.follow { _ in try await Self.makeTwoMembers(log) }
                }
            }
        }
    }

    private static func makeTwoMembers(_ log: Log) async throws {
        let tenant = TenantID()
        func member(_ name: String) -> SQL {
            """
            insert into tenant.member (tenant_id, user_id, email, name, role, created_by, updated_by)
            values (\(tenant), \(UserID()), 'a@b.test', \(name), 'sales', \(UserID()), \(UserID()))
            """
        }
        try await log.database.query(
            in: .tenant,
            [
                """
                insert into tenant.tenant (tenant_id, name, slug, created_by, updated_by)
                values (\(tenant), 'Acme', 'acme', \(UserID()), \(UserID()))
                """
            ])
        var configuration = log.database.superuser
        configuration.bulkConnections = 1
        configuration.schema = "tenant"
        try await TestPostgres.withClient(configuration) { late in
            try await late.transaction(as: SystemContext(service: "test")) { transaction in
                try await transaction.query(member("Early"))
                try await log.database.query(in: .tenant, [member("Late")])
                try await eventually("the one that came second is copied first") { try await log.copies() == ["Late sales active 1 0"] }
            }
        }
        try await eventually("both are copied") { try await log.copies() == ["Early sales active 1 0", "Late sales active 1 0"] }
    }

    /// What another service says of members is not listened to.
    @Test func onlyTheOwnerOfTheRecordsIsListenedTo() async throws {
        try await run { log in
            let (tenant, ada) = (TenantID(), UserID())
            try await log.created(tenant, ada)
            try await log.tell("member.updated", tenant, ada, #"{"after":{"version":9,"role":"super_admin"}}"#, as: "support")
            try await log.follow { _ in
                try await eventually("all was followed") { try await log.position() == 2 }
                #expect(try await log.copies() == ["Ada sales active 1 0"])
            }
        }
    }

    /// The holder of an earlier fence applies nothing, whatever it still believes.
    @Test func aFollowerWithoutItsLeaseAppliesNothing() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            var configuration = database.superuser
            configuration.bulkConnections = 2
            configuration.schema = "crm"
            try await TestPostgres.withClient(configuration) { client in
                try await client.session(as: SystemContext(service: "test")) { session in
                    let lease = try #require(try await Lease.take(.follower(of: "member"), session))
                    try await session.query("insert into log_follower (aggregate) values ('member')")
                    try await session.batch([lease.hold, "update log_follower set position = 1"])
                    try await session.query("update lease set fence = fence + 1 where name = 'follower of member'")
                    let refused = await #expect(throws: PostgresError.self) {
                        try await session.batch([lease.hold, "update log_follower set position = 2"])
                    }
                    #expect(refused?.sqlState == Lease.lost)
                }
            }
            #expect(try await database.query([Log.position])[0][0].decode(0, as: Int.self) == 1)
        }
    }
}
