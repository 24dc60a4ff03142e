import Core
import Resources
import ServiceRuntime

/// Something that a member has to do.
public enum MemberTask {
    static let states = StateMachine(
        [
            "open": ["in_progress", "done", "cancelled"],
            "in_progress": ["open", "done", "cancelled"],
            "done": ["open", "in_progress"],
            "cancelled": ["open", "in_progress"],
        ], start: ["open", "in_progress", "done", "cancelled"])

    /// One of the things to do for it.
    private static let checklistItem = [
        Field("text", .text(max: 500), .required, example: "Print the contract"), Field("done", .boolean, default: .value(false)),
    ]

    public static let definition = ResourceDefinition(
        "tasks", singular: "task", permissions: .tasks, owner: "assignee_id",
        rules: ["recurrence_needs_due_at": "A task that recurs has due_at."], presets: [due], followUp: TaskSeries.followUp,
        fields: [
            Field("subject", .text(max: 200), [.required, .searchable, .importable], example: "Call about the offer"),
            Field("description", .longText(max: 10_000), [.searchable, .importable]),
            Field(
                "due_at", .timestamp, [.sortable, .filterable, .importable], "When it is to be done.", example: "2026-01-30T08:00:00.000Z"),
            Field(
                "remind_at", .timestamp, [.importable],
                "When the event task.reminded is written, unless it is done, cancelled or deleted by then."),
            Field(
                "recurrence", .form(recurrence), [.importable],
                """
                With this task done there is the next one: the same, due first by the rule after this one and after now, reminded as long before, \
                its checklist to be done anew. A task that is cancelled or deleted has none.
                """
            ),
            Field(
                "recurrence_by", .enumeration(["completion", "date"]), [.importable], default: .value("completion"),
                "By date the next task is there when this one becomes due, be it done or not."),
            Field(
                "time_zone", .form(timeZone), [.importable], default: .tenantTimeZone,
                "Whose clocks the recurrence goes by: they show the same time whenever it is due. The tenant's unless given."),
            Field("priority", .enumeration(["low", "normal", "high"]), [.filterable, .importable], default: .value("normal")),
            Field("status", .states(states), [.filterable, .importable]),
            Field("completed_at", .since("status", in: ["done"])),
            Field("assignee_id", .reference(.member), [.filterable], default: .caller, "Who has to do it; the creator unless given."),
            Field(
                "related", .related(["lead", "contact", "account", "deal", "ticket"], onDelete: .keep), [.filterable, .importable],
                "What it is about. A ticket is not expanded, as it is the support service's."),
            Field(
                "checklist", .list(checklistItem, maxCount: 100), [], "What there is to do for it.",
                example: [["text": "Print the contract"]]),
            Field("tags", .tags(maxCount: 50, maxLength: 50), [.importable]),
            Field("custom", .custom, [.importable], "Fields of the tenant's own."),
            Field(
                "series_id", .reference(.resource("tasks", onDelete: .keep)), [.readOnly, .filterable], tellsOf: "recurrence",
                "The first task of its series; null for that one."),
            Field(
                "series_number", .integer(1...Int64(Int32.max)), .readOnly, default: .value(1), tellsOf: "recurrence",
                "Which task of its series it is, against which COUNT counts."),
            Field(
                "series_starts_at", .timestamp, tellsOf: "due_at",
                """
                What the rule counts from (DTSTART of RFC 5545): due_at of the first task. Null for due_at itself; so a series goes on from a \
                due_at that was moved, where it would else be that task's alone.
                """
            ),
            Field("occurs_at", .timestamp, .readOnly, tellsOf: "due_at", "When it is due by the rule; null for the first of a series."),
        ])
}

extension MemberTask {
    private static let recurrence = TextForm(
        maximum: RecurrenceRule.maximumLength,
        rule: """
            A rule of RFC 5545 (RRULE) of the parts FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, \
            BYSETPOS, WKST; kept with its parts in one order. There must be a day that all of them hold for. What recurs on the 31st does so in \
            months that have one; BYMONTHDAY=-1 is a month's last day.
            """,
        example: "FREQ=WEEKLY;BYDAY=MO,TH"
    ) { text throws(ValueFault) in try RecurrenceRule(text).description }

    private static let timeZone = TextForm(
        maximum: 64, rule: "A name of the IANA database.", example: "Europe/Vienna"
    ) { name throws(ValueFault) in
        guard TimeZoneName.isValid(name) else { throw .format("a name of the IANA database such as Europe/Vienna") }
        return name
    }

    private static let due = ListPreset(
        "due", ["overdue", "today"], column: "open_due_at", of: ["due_at", "status"],
        "Tasks that are neither done nor cancelled: overdue, due before now; today, due on this day by the tenant's clocks, be it over or not."
    ) { value, context, now in
        guard value == "today" else { return .init(before: now) }
        let day = context.clock.day(of: now)
        return .init(from: day.start, before: day.end)
    }
}
