import Core
import Foundation
import Postgres
import Resources
import ServiceRuntime

/// What the caller has to see to today: `GET /v1/me/today`.
struct TodayRoute: Sendable {
    let postgres: PostgresClient
    let tasks: Resource
    let leads: Resource
    let deals: Resource

    /// A list within the answer, and where it goes on.
    private struct Part {
        let name: String
        let excerpt: Excerpt
        let more: String
    }

    /// Leads and deals that are looked through, the newest of the caller's: no index has them by their owner and the order of their changes, as each
    /// change would pay for it.
    private static let lookedThrough = 5000
    private static let days: ClosedRange<Int> = 1...365

    var route: Route {
        .member(.get, "/v1/me/today", Self.operation) { call, context in
            try call.query.allowOnly(["untouched_days", "time_zone"])
            let days = try Self.days(call.query)
            let (zone, clock) = try Self.zone(call.query, of: context)
            let now = Timestamp.now
            let parts = parts(now, clock, untouchedFor: days, as: context)
            let results = parts.isEmpty ? [] : try await postgres.batch(as: context, parts.map(\.excerpt.statement))
            var body = Array("{\"date\":\"\(clock.local(now).day)\",\"time_zone\":".utf8) + JSON.string(zone).bytes
            for (part, result) in zip(parts, results) {
                let (records, hasMore) = part.excerpt.read(result)
                body += Array(",\"\(part.name)\":{\"data\":".utf8) + records
                body += Array(",\"more\":".utf8) + (hasMore ? JSON.string(part.more) : .null).bytes + Array("}".utf8)
            }
            body.append(UInt8(ascii: "}"))
            return .json(body)
        }
    }

    /// Those that the caller may read.
    private func parts(_ now: Timestamp, _ clock: WallClock, untouchedFor days: Int, as context: RequestContext) -> [Part] {
        let end = clock.day(of: now).end
        let touched = now.advanced(by: .seconds(-86_400 * days))
        func task(_ name: String, _ conditions: [SQL], _ filter: String) -> Part? {
            tasks.excerptOfOwn(of: ["due_at", "status", "assignee_id"], where: conditions, order: "open_due_at, id", as: context).map {
                Part(name: name, excerpt: $0, more: "/v1/tasks?assignee_id=\(context.user)&sort=due_at&\(filter)")
            }
        }
        let untouched = leads.excerptOfOwn(
            of: ["status", "owner_id"], where: ["updated_at < \(touched)", "status in ('new', 'contacted', 'qualified')"],
            order: "updated_at, id", amongNewest: Self.lookedThrough, as: context)
        let day = clock.local(now).day
        let ofDeals = "/v1/deals?owner_id=\(context.user)&status=open"
        let rotting = deals.excerptOfOwn(
            of: ["stage_id", "stage_changed_at", "status", "owner_id"],
            where: [
                "status = 'open'",
                """
                exists (
                    select from stage where stage.tenant_id = deal.tenant_id and stage.id = deal.stage_id
                        and deal.stage_changed_at < \(now)::timestamptz - make_interval(days => stage.rot_after_days))
                """,
            ], order: "stage_changed_at, id", amongNewest: Self.lookedThrough, as: context)
        let pastClose = deals.excerptOfOwn(
            of: ["expected_close_on", "status", "owner_id"], where: ["status = 'open'", "expected_close_on < \(day.description)::date"],
            order: "expected_close_on, id", amongNewest: Self.lookedThrough, as: context)
        return [
            task("tasks_overdue", ["open_due_at < \(now)"], "due=overdue"),
            task(
                "tasks_due", ["open_due_at >= \(now)", "open_due_at < \(end)"],
                "status=open,in_progress&due_at%5Bgte%5D=\(now)&due_at%5Blt%5D=\(end)"),
            untouched.map {
                Part(
                    name: "leads_untouched", excerpt: $0,
                    more: "/v1/leads?owner_id=\(context.user)&sort=updated_at&status=new,contacted,qualified&updated_at%5Blt%5D=\(touched)")
            },
            rotting.map { Part(name: "deals_rotting", excerpt: $0, more: ofDeals) },
            pastClose.map {
                Part(
                    name: "deals_past_close", excerpt: $0, more: "\(ofDeals)&sort=expected_close_on&expected_close_on%5Blt%5D=\(day)")
            },
        ].compactMap(\.self)
    }

    private static func days(_ query: Query) throws(Problem) -> Int {
        guard let text = query["untouched_days"] else { return 7 }
        guard let number = Int(text), days.contains(number) else {
            throw .invalidParameter("untouched_days", "Expected \(days.lowerBound) to \(days.upperBound).")
        }
        return number
    }

    private static func zone(_ query: Query, of context: RequestContext) throws(Problem) -> (String, WallClock) {
        guard let name = query["time_zone"] else { return (context.timeZone, context.clock) }
        guard let clock = TimeZoneName.clock(name) else {
            throw .invalidParameter("time_zone", "Expected a name of the IANA database such as Europe/Vienna.")
        }
        return (name, clock)
    }

    private static func part(_ description: String) -> JSON {
        let record: JSON = [
            "type": "object", "required": ["id", "version"],
            "properties": ["id": ["type": "string", "format": "uuid"], "version": ["type": "integer"]],
        ]
        return [
            "type": "object", "required": ["data", "more"], "description": .string(description),
            "properties": [
                "data": ["type": "array", "maxItems": .number(Paging.defaultLimit), "items": record],
                "more": ["type": ["string", "null"], "description": "A list that has them all, if there are more."],
            ],
        ]
    }

    private static let operation = Operation(
        id: "getToday", summary: "Read what is to be seen to today",
        description: """
            The caller's own, \(Paging.defaultLimit) of each at most, as the lists have them but for members that may be long (descriptions, checklists, \
            fields of one's own). What the caller may not read, or may not see a field of that decides it, is left out.
            """, tag: "tasks",
        parameters: [
            .init(
                "untouched_days", in: .query,
                schema: [
                    "type": "integer", "minimum": .number(days.lowerBound), "maximum": .number(days.upperBound), "default": 7,
                ], "Leads count as untouched that have not changed for so many days."),
            .init(
                "time_zone", in: .query, schema: ["type": "string", "maxLength": 64],
                "Whose day it is: a name of the IANA database; the tenant's unless given."),
        ],
        responses: [
            .init(
                200, "What is to be seen to.",
                schema: [
                    "type": "object", "required": ["date", "time_zone"],
                    "properties": [
                        "date": ["type": "string", "format": "date", "description": "Of today, where the time zone is."],
                        "time_zone": ["type": "string"],
                        "tasks_overdue": part("Tasks that are neither done nor cancelled and were due before now, the oldest first."),
                        "tasks_due": part("Those that become due today."),
                        "leads_untouched": part(
                            """
                            Leads that are new, contacted or qualified and have not changed for so long, the longest first; among the newest \
                            \(lookedThrough).
                            """),
                        "deals_rotting": part(
                            """
                            Open deals that have been in their stage for longer than its rot_after_days, the longest first; among the newest \
                            \(lookedThrough).
                            """),
                        "deals_past_close": part(
                            "Open deals whose expected_close_on has passed, the oldest first; among the newest \(lookedThrough)."),
                    ],
                ])
        ])
}
