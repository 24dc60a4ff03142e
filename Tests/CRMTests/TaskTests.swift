import CRM
import Core
import Operations
import Postgres
import Resources
import TestSupport
import Testing

/// What is special about tasks; what every resource has is tested with the engine.
@Suite struct TaskTests {
    struct Bench: Sendable {
        let service: RunningService
        let database: TestDatabase
        let context: RequestContext

        var member: Caller { .member(context) }

        /// Another member of the tenant.
        func member(_ role: BuiltInRole) -> Caller { AccountTests.member(role, tenant: context.tenant) }

        @discardableResult
        func create(_ body: JSON, sourceLocation: SourceLocation = #_sourceLocation) async throws -> (id: String, json: JSON) {
            let answer = try await service.send(.post, "/v1/tasks", body, as: member, expecting: 201, sourceLocation: sourceLocation)
            return (answer.json["id"]?.string ?? "", answer.json)
        }

        func patch(_ id: String, _ body: JSON, sourceLocation: SourceLocation = #_sourceLocation) async throws -> JSON {
            try await service.send(.patch, "/v1/tasks/\(id)", body, as: member, expecting: 200, sourceLocation: sourceLocation).json
        }

        func list(_ query: String, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [JSON] {
            try await service.send(.get, "/v1/tasks?\(query)", as: member, expecting: 200, sourceLocation: sourceLocation).json["data"]?
                .array ?? []
        }

        /// The tasks that follow on the first of a series, in their order.
        func series(of id: String) async throws -> [JSON] { try await list("series_id=\(id)&sort=created_at&limit=200") }

        func texts(_ statement: SQL) async throws -> [String] {
            try await database.query(in: .crm, [statement])[0].map { $0.text(0) ?? "" }
        }

        /// The events of a kind that wait for the relay, by the ids of their records.
        func events(_ kind: String) async throws -> [String] {
            try await texts("select aggregateid from outbox where type = \(kind) order by id")
        }
    }

    /// - Parameter settings: with `MARTLET_WORKERS` jobs are done too.
    static func run(settings: [String: String] = [:], _ body: @escaping @Sendable (Bench) async throws -> Void) async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database, settings: settings) { service in
                guard case .member(let context) = AccountTests.member(.manager) else { return }
                try await body(Bench(service: service, database: database, context: context))
            }
        }
    }

    private static func instant(_ seconds: Int) -> String { Timestamp.now.advanced(by: .seconds(seconds)).description }
    private static let day = 86_400

    // MARK: Members

    @Test func aTaskIsAboutARecordAndHasAChecklist() async throws {
        try await Self.run { bench in
            let lead = try await bench.service.send(.post, "/v1/leads", ["last_name": "Okafor"], as: bench.member, expecting: 201).json
            let related: JSON = ["type": "lead", "id": lead["id"] ?? .null]
            let task = try await bench.create([
                "subject": "Call about the offer", "related": related, "priority": "high", "due_at": "2030-01-30T08:00:00+01:00",
                "checklist": [["text": " Print the contract "], ["text": "Sign it", "done": true]], "tags": ["offer"],
            ])
            #expect(
                task.json["checklist"] == [["done": false, "text": "Print the contract"], ["done": true, "text": "Sign it"]], "\(task.json)"
            )
            #expect(task.json["status"] == "open" && task.json["completed_at"] == .null && task.json["time_zone"] == "UTC")
            #expect(task.json["assignee_id"]?.string == bench.context.user.description && task.json["due_at"] == "2030-01-30T07:00:00.000Z")
            #expect(task.json["series_number"] == 1 && task.json["series_id"] == .null && task.json["occurs_at"] == .null)
            let query =
                "related=lead:\(lead["id"]?.string ?? "")&priority=high&tag=offer&q=offer&status%5Bnot%5D=done&expand=related,assignee,series"
            let found = try await bench.list(query)
            #expect(found.count == 1 && found[0]["related_record"] == lead && found[0]["series"] == .null)
            // As a whole, or not at all.
            let ticked = try await bench.patch(
                task.id, ["checklist": [["text": "Print the contract", "done": true]], "status": "in_progress"])
            #expect(ticked["checklist"] == [["done": true, "text": "Print the contract"]] && ticked["version"] == 2)
            #expect(try await bench.patch(task.id, ["checklist": [["done": true, "text": "Print the contract"]]])["version"] == 2)
            #expect(try await bench.patch(task.id, ["checklist": nil])["checklist"] == [])
            let done = try await bench.patch(task.id, ["status": "done"])
            #expect(done["completed_at"]?.string != nil)
            #expect(try await bench.patch(task.id, ["status": "open"])["completed_at"] == .null)
            #expect(try await bench.events("task.updated").count == 4)
        }
    }

    private static let refusals: [(body: JSON, pointer: String, word: String)] = [
        (["subject": "A", "recurrence": "FREQ=DAILY;BYHOUR=9", "due_at": "2030-01-01T00:00:00Z"], "/recurrence", "BYHOUR"),
        (["subject": "A", "recurrence": "FREQ=DAILY"], "/recurrence", "due_at"),
        (
            ["subject": "A", "recurrence": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "due_at": "2030-01-01T00:00:00Z"], "/recurrence",
            "BYMONTH"
        ),
        (["subject": "A", "recurrence": "FREQ=MONTHLY;BYDAY=2MO;BYMONTHDAY=1", "due_at": "2030-01-01T00:00:00Z"], "/recurrence", "never"),
        (["subject": "A", "time_zone": "Mars/Base"], "/time_zone", "IANA"), (["subject": "A", "time_zone": nil], "/time_zone", "null"),
        (["subject": "A", "recurrence_by": "whim"], "/recurrence_by", "completion"),
        (["subject": "A", "checklist": [["done": true]]], "/checklist/0/text", "text"),
        (["subject": "A", "checklist": [["text": ""]]], "/checklist/0/text", "empty"),
        (["subject": "A", "checklist": [["text": "B", "done": nil]]], "/checklist/0/done", "null"),
        (["subject": "A", "checklist": [["text": "B"], 1]], "/checklist/1", "object"),
        (["subject": "A", "checklist": .array(Array(repeating: ["text": "B"], count: 101))], "/checklist", "100"),
        (["subject": "A", "checklist": [["text": .string(String(repeating: "x", count: 501))]]], "/checklist/0/text", "500"),
        (["subject": "A", "related": ["type": "team", "id": "01a20922-d6ba-7e1d-b402-13919357caf0"]], "/related/type", "lead"),
        (["subject": "A", "series_number": 2], "/series_number", "set"), (["subject": "A", "occurs_at": nil], "/occurs_at", "set"),
        (["due_at": "2030-01-01T00:00:00Z"], "/subject", "required"),
    ]

    @Test func whatNoTaskCanBeIsRefused() async throws {
        try await Self.run { bench in
            for (body, pointer, word) in Self.refusals {
                let answer = try await bench.service.send(.post, "/v1/tasks", body, as: bench.member, expecting: 422)
                let fault = answer.json["errors"]?[0]
                #expect(fault?["pointer"]?.string == pointer && fault?["detail"]?.string?.contains(word) == true, "\(answer.text)")
            }
        }
    }

    @Test func aTaskIsWhoseItIsAssignedTo() async throws {
        try await Self.run { bench in
            let sales = bench.member(.sales)
            let mine = try await bench.create(["subject": "Mine"])
            try await bench.service.send(.get, "/v1/tasks/\(mine.id)", as: sales, expecting: 404)
            try await bench.service.send(.patch, "/v1/tasks/\(mine.id)", ["status": "done"], as: sales, expecting: 404)
            let theirs = try await bench.service.send(.post, "/v1/tasks", ["subject": "Theirs"], as: sales, expecting: 201).json
            try await bench.service.send(.patch, "/v1/tasks/\(theirs["id"]?.string ?? "")", ["status": "done"], as: sales, expecting: 200)
            #expect(try await bench.service.send(.get, "/v1/tasks", as: sales, expecting: 200).json["data"]?.array?.count == 1)
            let reader = bench.member(.readOnly)
            try await bench.service.send(.get, "/v1/tasks/\(mine.id)", as: reader, expecting: 200)
            try await bench.service.send(.post, "/v1/tasks", ["subject": "B"], as: reader, expecting: 403)
            try await bench.service.send(.get, "/v1/tasks/\(mine.id)", as: AccountTests.member(.manager), expecting: 404)
            let stale = try await bench.service.send(
                .patch, "/v1/tasks/\(mine.id)", ["subject": "C"], as: bench.member, headers: [("if-match", "\"7\"")], expecting: 412)
            #expect(stale.code == "version_mismatch")
        }
    }

    // MARK: Due

    @Test func whatIsDueIsFound() async throws {
        try await Self.run { bench in
            let day = WallClock.utc.day(of: .now)
            let midnight = day.end.advanced(by: .milliseconds(-1)).description
            for (subject, due, status) in [
                ("late", Self.instant(-60), "open"), ("older", Self.instant(-40 * Self.day), "in_progress"),
                ("done", Self.instant(-60), "done"),
                ("given up", Self.instant(-60), "cancelled"), ("tonight", midnight, "open"), ("tomorrow", day.end.description, "open"),
            ] {
                try await bench.create(["subject": .string(subject), "due_at": .string(due), "status": .string(status)])
            }
            try await bench.create(["subject": "some day"])
            func subjects(_ query: String) async throws -> [String] {
                try await bench.list(query + "&sort=due_at&fields=subject").compactMap { $0["subject"]?.string }
            }
            #expect(try await subjects("due=overdue") == ["older", "late"])
            #expect(try await subjects("due=overdue&status=in_progress&assignee_id=\(bench.context.user)") == ["older"])
            #expect(try await subjects("due=today").last == "tonight")
            #expect(try await subjects("due_at%5Bgte%5D=\(day.end)") == ["tomorrow"])
            #expect(try await subjects("due=overdue&due_at%5Bnull%5D=true").isEmpty)
            #expect(try await bench.list("due=overdue&deleted=only").isEmpty)
            let page = try await bench.service.send(.get, "/v1/tasks?due=overdue&limit=1&count=exact", as: bench.member, expecting: 200)
                .json
            #expect(page["page"]?["total"] == 2)
            let rest = try await bench.list("due=overdue&limit=1&after=\(page["page"]?["next"]?.string ?? "")")
            #expect(rest.count == 1 && rest[0]["id"] != page["data"]?[0]?["id"])
            let refused = try await bench.service.send(.get, "/v1/tasks?due=tomorow", as: bench.member, expecting: 400)
            #expect(refused.code == "invalid_parameter" && refused.text.contains("today"), "\(refused.text)")
            // A day is the tenant's: with clocks that are half a day ahead, tonight is on another one, or late is.
            var ahead = bench.context
            ahead.timeZone = "Pacific/Kiritimati"
            let there = WallClock { _ in 14 * 3_600_000 }.day(of: .now)
            let found = try await bench.service.send(.get, "/v1/tasks?due=today&fields=due_at", as: .member(ahead), expecting: 200).json
            for task in found["data"]?.array ?? [] {
                let due = try #require(task["due_at"]?.string.flatMap { Timestamp($0) })
                #expect(due >= there.start && due < there.end)
            }
            let made = try await bench.service.send(.post, "/v1/tasks", ["subject": "A"], as: .member(ahead), expecting: 201).json
            #expect(made["time_zone"] == "Pacific/Kiritimati")
            // Who does not see when tasks are due does not ask for it.
            var blind = bench.context
            blind.fields = FieldRules(["tasks": ["due_at": .hidden]])
            let unknown = try await bench.service.send(.get, "/v1/tasks?due=today", as: .member(blind), expecting: 400)
            #expect(unknown.code == "unknown_parameter")
            let shown = try await bench.service.send(.get, "/v1/tasks", as: .member(blind), expecting: 200)
            #expect(!shown.text.contains("due_at") && !shown.text.contains("occurs_at") && !shown.text.contains("series_starts_at"))
        }
    }

    // MARK: Recurrence

    /// Whoever does it late is not made to do it again for what has passed.
    @Test func whoDoesATaskThatRecursHasTheNextOne() async throws {
        try await Self.run { bench in
            let start = try #require(Timestamp("2020-03-02T08:00:00Z"))
            let first = try await bench.create([
                "subject": "Report", "due_at": .string(start.description), "remind_at": "2020-03-01T16:30:00Z",
                "recurrence": "freq=weekly;byday=mo", "time_zone": "Europe/Berlin", "checklist": [["text": "Figures", "done": true]],
                "tags": ["weekly"], "custom": ["size": 3], "external_id": "report",
            ])
            #expect(first.json["recurrence"] == "FREQ=WEEKLY;BYDAY=MO")
            #expect(try await bench.series(of: first.id).isEmpty)
            _ = try await bench.patch(first.id, ["status": "in_progress"])
            #expect(try await bench.series(of: first.id).isEmpty)
            _ = try await bench.patch(first.id, ["status": "done"])
            let next = try #require(try await bench.series(of: first.id).first)
            let due = try #require(next["due_at"]?.string.flatMap { Timestamp($0) })
            let clock = try #require(Self.berlin)
            let local = clock.local(due)
            #expect(due > .now && due < Timestamp.now.advanced(by: .seconds(8 * Self.day)))
            #expect(local.time == 9 * 3_600_000, "nine by the clocks of Berlin, in summer and winter")
            #expect(next["occurs_at"] == next["due_at"] && next["series_starts_at"]?.string == start.description)
            #expect(next["series_number"] == 2 && next["series_id"]?.string == first.id && next["status"] == "open")
            #expect(
                next["checklist"] == [["done": false, "text": "Figures"]] && next["tags"] == ["weekly"] && next["custom"] == ["size": 3])
            #expect(next["external_id"] == .null && next["version"] == 1 && next["time_zone"] == "Europe/Berlin")
            let remind = try #require(next["remind_at"]?.string.flatMap { Timestamp($0) })
            #expect(clock.local(remind).time == 17 * 3_600_000 + 30 * 60_000)
            // Opened and done once more, deleted and done again: it has been made.
            for body in [["status": "open"], ["status": "done"], ["subject": "Report 2"]] as [JSON] {
                _ = try await bench.patch(first.id, body)
            }
            let path = "/v1/tasks/\(next["id"]?.string ?? "")"
            try await bench.service.send(.delete, path, as: bench.member, expecting: 204)
            for status in ["open", "done"] { _ = try await bench.patch(first.id, ["status": .string(status)]) }
            #expect(try await bench.series(of: first.id).isEmpty)
            #expect(try await bench.events("task.created").count == 2)
            #expect(try await bench.texts("select kind from job where kind = 'task-next'").isEmpty, "nothing was left to a job")
        }
    }

    private static let berlin =
        WallClock(offset: { instant in
            // Enough for a test: the last Sundays of March and October, at 01:00 UTC.
            func lastSunday(_ month: Int64) -> Timestamp {
                let year = WallClock.utc.local(instant).day.year
                let last = CivilDay(year: year, month: month, day: 31)
                return Timestamp(milliseconds: (last.days - (last.days + 4) % 7) * 86_400_000 + 3_600_000)
            }
            return instant >= lastSunday(3) && instant < lastSunday(10) ? 7_200_000 : 3_600_000
        }) as WallClock?

    /// Goal: twenty who do it at the same moment have made one. Method: as many requests at once, and each once more with its key.
    @Test func theNextOneIsMadeOnce() async throws {
        try await Self.run { bench in
            let first = try await bench.create(["subject": "A", "due_at": .string(Self.instant(Self.day)), "recurrence": "FREQ=DAILY"])
            for round in 0..<2 {
                let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            try await bench.service.send(
                                .patch, "/v1/tasks/\(first.id)", ["status": "done"], as: bench.member,
                                headers: [("idempotency-key", "done-\(number)")]
                            ).status
                        }
                    }
                    return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
                }
                #expect(statuses == [200: 20], "round \(round)")
            }
            #expect(try await bench.series(of: first.id).count == 1)
            #expect(try await bench.events("task.updated").count == 1)
            let done = try await bench.service.send(.get, "/v1/tasks/\(first.id)", as: bench.member, expecting: 200)
            #expect(done.json["version"] == 2)
        }
    }

    /// In batches of both kinds, by the id of another system, and when it is made as done.
    @Test func howeverItIsDoneThereIsTheNextOne() async throws {
        try await Self.run { bench in
            let body: [(String, JSON)] = [
                ("subject", "A"), ("due_at", .string(Self.instant(Self.day))), ("recurrence", "FREQ=DAILY;COUNT=3"),
            ]
            func with(_ members: (String, JSON)...) -> JSON {
                var object = JSONObject()
                for (name, value) in body + members { object[name] = value }
                return .object(object)
            }
            var firsts: [String] = []
            for isAtomic in [true, false] {
                let (one, other) = (try await bench.create(with()), try await bench.create(with(("external_id", .string("b\(isAtomic)")))))
                let operations: JSON = [
                    ["op": "update", "id": .string(one.id), "body": ["status": "done"]],
                    ["op": "upsert", "external_id": .string("b\(isAtomic)"), "body": ["status": "done"]],
                    ["op": "update", "id": .string(one.id), "body": ["status": "done"]],
                ]
                let answer = try await bench.service.send(
                    .post, "/v1/tasks/batch", ["atomic": .bool(isAtomic), "operations": operations], as: bench.member, expecting: 200)
                #expect(answer.json["results"]?.array?.compactMap { $0["status"]?.integer } == [200, 200, 200], "\(answer.text)")
                firsts += [one.id, other.id]
            }
            let put = try await bench.service.send(
                .put, "/v1/tasks/by-external-id/p", with(("status", "done")), as: bench.member, expecting: 201)
            firsts.append(put.json["id"]?.string ?? "")
            for first in firsts { #expect(try await bench.series(of: first).count == 1) }
            // Three in all, and not more.
            var last = try #require(try await bench.series(of: firsts[0]).last)
            for _ in 0..<3 {
                _ = try await bench.patch(last["id"]?.string ?? "", ["status": "done"])
                last = try #require(try await bench.series(of: firsts[0]).last)
            }
            #expect(try await bench.series(of: firsts[0]).map { $0["series_number"]?.integer } == [2, 3])
            // What fails with the change it is made by is not there.
            let failing: JSON = [
                ["op": "update", "id": last["series_id"] ?? .null, "body": ["status": "open"]],
                ["op": "update", "id": .string(RecordID().description), "body": ["status": "done"]],
            ]
            try await bench.service.send(
                .post, "/v1/tasks/batch", ["atomic": true, "operations": failing], as: bench.member, expecting: 404)
        }
    }

    /// A series goes on from where it began, unless it is told to go on from here.
    @Test func aTaskThatIsMovedMovesNoOther() async throws {
        try await Self.run { bench in
            let start = try #require(Timestamp("2040-01-02T09:00:00Z"))
            let first = try await bench.create(["subject": "A", "due_at": .string(start.description), "recurrence": "FREQ=WEEKLY"])
            _ = try await bench.patch(first.id, ["status": "done"])
            var next = try #require(try await bench.series(of: first.id).last)
            #expect(next["due_at"] == "2040-01-09T09:00:00.000Z")
            // A day earlier: the one after is where it was.
            _ = try await bench.patch(next["id"]?.string ?? "", ["due_at": "2040-01-08T11:00:00Z", "status": "done"])
            next = try #require(try await bench.series(of: first.id).last)
            #expect(next["due_at"] == "2040-01-16T09:00:00.000Z" && next["series_number"] == 3)
            _ = try await bench.patch(
                next["id"]?.string ?? "", ["due_at": "2040-01-17T10:00:00Z", "series_starts_at": nil, "status": "done"])
            next = try #require(try await bench.series(of: first.id).last)
            #expect(next["due_at"] == "2040-01-24T10:00:00.000Z" && next["series_starts_at"] == "2040-01-17T10:00:00.000Z")
            // Given up, it has come to its end.
            _ = try await bench.patch(next["id"]?.string ?? "", ["status": "cancelled"])
            #expect(try await bench.series(of: first.id).count == 3)
        }
    }

    /// By a statement of the service's own, or a migration's: the job makes what the API would have.
    @Test func whatIsDonePastTheAPIHasTheNextOneSoonAfter() async throws {
        try await Self.run(settings: ["MARTLET_WORKERS": "true"]) { bench in
            let first = try await bench.create(["subject": "A", "due_at": .string(Self.instant(Self.day)), "recurrence": "FREQ=DAILY"])
            try await bench.database.query(
                in: .crm,
                [
                    "select set_config('app.tenant', \(bench.context.tenant.description), true)",
                    "update task set status = 'done', version = version + 1 where id = \(first.id)::uuid",
                ])
            try await eventually("the next task") { try await bench.series(of: first.id).count == 1 }
            #expect(try await bench.series(of: first.id)[0]["series_number"] == 2)
        }
    }

    /// As of a release that knows other rules.
    @Test func aTaskWhoseRuleIsNotUnderstoodIsDoneAllTheSame() async throws {
        try await Self.run { bench in
            let task = try await bench.create(["subject": "A", "due_at": .string(Self.instant(0)), "recurrence": "FREQ=DAILY"])
            try await bench.database.query(in: .crm, ["update task set recurrence = 'FREQ=SECONDLY'"])
            #expect(try await bench.patch(task.id, ["status": "done"])["status"] == "done")
            #expect(try await bench.series(of: task.id).isEmpty)
            #expect(try await bench.texts("select key from job where kind = 'task-next'") == [task.id])
        }
    }

    @Test func whatRecursByDateIsThereWhenTheOneBeforeIsDue() async throws {
        try await Self.run(settings: ["MARTLET_WORKERS": "true"]) { bench in
            func rent(_ due: Int, _ members: (String, JSON)...) async throws -> String {
                var body: JSONObject = JSONObject()
                for (name, value) in [
                    ("subject", "Rent"), ("due_at", .string(Self.instant(due))), ("recurrence", "FREQ=DAILY"), ("recurrence_by", "date"),
                ] + members { body[name] = value }
                return try await bench.create(.object(body)).id
            }
            let (due, later) = (try await rent(-10), try await rent(3600))
            let (cancelled, deleted) = (try await rent(1), try await rent(1))
            _ = try await bench.patch(cancelled, ["status": "cancelled"])
            try await bench.service.send(.delete, "/v1/tasks/\(deleted)", as: bench.member, expecting: 204)
            try await eventually("the next task") { try await bench.series(of: due).count == 1 }
            let next = try await bench.series(of: due)[0]
            #expect(next["status"] == "open" && next["due_at"]?.string.flatMap { Timestamp($0) }.map { $0 > .now } == true)
            // Done before it is due, it does not come earlier.
            _ = try await bench.patch(later, ["status": "done"])
            #expect(try await bench.series(of: later).isEmpty)
            // Moved to now.
            _ = try await bench.patch(later, ["due_at": .string(Self.instant(-1))])
            try await eventually("the next task") { try await bench.series(of: later).count == 1 }
            try await eventually("jobs have ended") {
                try await bench.texts("select 1 from job where kind = 'task-next' and run_at < now() and ended_at is null").isEmpty
            }
            for first in [cancelled, deleted] { #expect(try await bench.series(of: first).isEmpty) }
            #expect(try await bench.series(of: due).count == 1)
        }
    }

    // MARK: Reminders

    @Test func aReminderComesOnceAndOnlyOfWhatIsStillToBeDone() async throws {
        try await Self.run(settings: ["MARTLET_WORKERS": "true"]) { bench in
            func task(_ remind: Int) async throws -> String {
                try await bench.create(["subject": "A", "remind_at": .string(Self.instant(remind))]).id
            }
            let (past, soon) = (try await task(-5), try await task(1))
            let (moved, cleared, done, deleted) = (try await task(1), try await task(1), try await task(1), try await task(1))
            _ = try await bench.patch(moved, ["remind_at": .string(Self.instant(3600))])
            _ = try await bench.patch(cleared, ["remind_at": nil])
            _ = try await bench.patch(done, ["status": "done"])
            try await bench.service.send(.delete, "/v1/tasks/\(deleted)", as: bench.member, expecting: 204)
            try await eventually("reminders") { try await Set(bench.events("task.reminded")) == [past, soon] }
            try await eventually("jobs have ended") {
                try await bench.texts(
                    "select 1 from job where kind = 'task-reminder' and run_at < now() + interval '2 seconds' and ended_at is null"
                ).isEmpty
            }
            // Opened again behind its time: that has passed.
            _ = try await bench.patch(done, ["status": "open"])
            _ = try await bench.patch(past, ["status": "in_progress"])
            _ = try await bench.patch(moved, ["remind_at": .string(Self.instant(-1))])
            try await eventually("the one that was moved") { try await bench.events("task.reminded").count == 3 }
            #expect(try await Set(bench.events("task.reminded")) == [past, soon, moved])
            let details = try await bench.texts("select payload::text from outbox where type = 'task.reminded' and aggregateid = \(soon)")
            let body = try JSONParser.parse(details[0])
            #expect(
                body["assignee_id"]?.string == bench.context.user.description && body["subject"] == "A" && body["remind_at"]?.string != nil)
            #expect(
                try await bench.texts("select 1 from job where status not in ('succeeded', 'scheduled') and kind = 'task-reminder'").isEmpty
            )
        }
    }
}
