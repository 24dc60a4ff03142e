import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

@Suite struct TodayTests {
    private static func instant(_ seconds: Int) -> JSON { .string(Timestamp.now.advanced(by: .seconds(seconds)).description) }

    @Test func whatIsToBeSeenToIsTheCallersOwn() async throws {
        try await TaskTests.run { bench in
            let zone = "Pacific/Kiritimati"
            let day = WallClock(offset: { _ in 14 * 3_600_000 }).day(of: .now)
            try await bench.create(["subject": "late", "due_at": Self.instant(-60), "description": "long"])
            try await bench.create(["subject": "done", "due_at": Self.instant(-60), "status": "done"])
            try await bench.create(["subject": "tonight", "due_at": .string(day.end.advanced(by: .milliseconds(-1)).description)])
            try await bench.create(["subject": "tomorrow", "due_at": .string(day.end.description)])
            let other = bench.member(.sales)
            try await bench.service.send(.post, "/v1/tasks", ["subject": "theirs", "due_at": Self.instant(-60)], as: other, expecting: 201)
            for name in ["Old", "New"] {
                try await bench.service.send(.post, "/v1/leads", ["last_name": .string(name)], as: bench.member, expecting: 201)
            }
            try await bench.service.send(
                .post, "/v1/leads", ["last_name": "Old", "status": "unqualified"], as: bench.member, expecting: 201)
            try await bench.database.query(
                in: .crm,
                [
                    "alter table lead disable trigger user",
                    "update lead set updated_at = now() - interval '8 days' where last_name = 'Old'",
                    "alter table lead enable trigger user",
                ])
            let today = try await bench.service.send(.get, "/v1/me/today?time_zone=\(zone)", as: bench.member, expecting: 200).json
            #expect(today["time_zone"]?.string == zone)
            #expect(today["date"]?.string == WallClock(offset: { _ in 14 * 3_600_000 }).local(.now).day.description)
            func names(_ part: String, _ member: String) -> [String]? { today[part]?["data"]?.array?.compactMap { $0[member]?.string } }
            #expect(names("tasks_overdue", "subject") == ["late"] && names("tasks_due", "subject") == ["tonight"], "\(today)")
            #expect(names("leads_untouched", "last_name") == ["Old"])
            #expect(today["tasks_overdue"]?["more"] == .null && today["tasks_overdue"]?["data"]?[0]?["description"] == nil)
            let pipeline = try await bench.service.send(.get, "/v1/pipelines?is_default=true", as: bench.member, expecting: 200).json[
                "data"]?[0]
            let days = try #require(pipeline?["stages"]?[0]?["rot_after_days"]?.integer)
            for (name, date) in [("slow", "2020-01-31"), ("new", "2999-01-31")] {
                let body: JSON = ["name": .string(name), "expected_close_on": .string(date)]
                try await bench.service.send(.post, "/v1/deals", body, as: bench.member, expecting: 201)
            }
            try await bench.database.query(
                in: .crm,
                [
                    "alter table deal disable trigger user",
                    "update deal set stage_changed_at = now() - make_interval(days => \(days)::integer + 1) where name = 'slow'",
                    "alter table deal enable trigger user",
                ])
            let deals = try await bench.service.send(.get, "/v1/me/today", as: bench.member, expecting: 200).json
            for part in ["deals_rotting", "deals_past_close"] {
                #expect(deals[part]?["data"]?.array?.compactMap { $0["name"]?.string } == ["slow"], "\(deals)")
            }
            let longer = try await bench.service.send(.get, "/v1/me/today?untouched_days=9", as: bench.member, expecting: 200).json
            #expect(longer["leads_untouched"]?["data"] == [] && longer["time_zone"] == "UTC")
            for query in ["untouched_days=0", "untouched_days=x", "time_zone=Mars/Base"] {
                let answer = try await bench.service.send(.get, "/v1/me/today?\(query)", as: bench.member, expecting: 400)
                #expect(answer.code == "invalid_parameter")
            }
            // Of another tenant there is nothing.
            let foreign = try await bench.service.send(.get, "/v1/me/today", as: AccountTests.member(.manager), expecting: 200).json
            #expect(foreign["tasks_overdue"]?["data"] == [] && foreign["leads_untouched"]?["data"] == [])
        }
    }

    @Test func whatTheRoleDoesNotShowIsLeftOut() async throws {
        try await TaskTests.run { bench in
            try await bench.create(["subject": "late", "due_at": Self.instant(-60)])
            var caller = bench.context
            caller.fields = FieldRules(["tasks": ["due_at": .hidden], "leads": ["phone": .hidden]])
            var today = try await bench.service.send(.get, "/v1/me/today", as: .member(caller), expecting: 200).json
            #expect(today.object?.names == ["date", "time_zone", "leads_untouched", "deals_rotting", "deals_past_close"])
            caller.fields = FieldRules(["tasks": ["subject": .hidden]])
            today = try await bench.service.send(.get, "/v1/me/today", as: .member(caller), expecting: 200).json
            #expect(today["tasks_overdue"]?["data"]?.array?.count == 1 && today["tasks_overdue"]?["data"]?[0]?["subject"] == nil)
            // Support has no leads.
            today = try await bench.service.send(.get, "/v1/me/today", as: bench.member(.support), expecting: 200).json
            #expect(today.object?.names == ["date", "time_zone", "tasks_overdue", "tasks_due"])
        }
    }

    @Test func whereThereIsMoreIsTold() async throws {
        try await TaskTests.run { bench in
            for start in [0, 30] {
                let operations = (0..<30).map { number -> JSON in
                    ["op": "create", "body": ["subject": .string("\(number)"), "due_at": Self.instant(-3600 - start - number)]]
                }
                try await bench.service.send(.post, "/v1/tasks/batch", ["operations": .array(operations)], as: bench.member, expecting: 200)
            }
            let part = try await bench.service.send(.get, "/v1/me/today", as: bench.member, expecting: 200).json["tasks_overdue"]
            #expect(part?["data"]?.array?.count == 50)
            let path = try #require(part?["more"]?.string)
            let list = try await bench.service.send(.get, path, as: bench.member, expecting: 200).json
            #expect(list["data"]?.array?.compactMap { $0["id"] } == part?["data"]?.array?.compactMap { $0["id"] })
            #expect(list["page"]?["next"]?.string != nil)
        }
    }
}
