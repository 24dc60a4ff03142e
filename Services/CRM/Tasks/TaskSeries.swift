import Core
import Postgres
import Resources
import ServiceRuntime

/// Tasks that follow on each other by a rule.
///
/// The next one is made in the transaction in which one is done. What makes tasks done by another way than the API's writes, and what recurs by
/// date, asks for a job instead (`task_jobs`, `task_next_is_there` in the migration). Either does the same, and the table has one task of a number in a
/// series, so it is there once.
enum TaskSeries {
    static let followUp = FollowUp(when: { $0["status"] == "done" }) { id, transaction, context in
        let found = try await transaction.query(reading(id, as: context))
        do {
            if let next = try next(of: id, in: found, as: context) { _ = try await transaction.query(next) }
        } catch is JobFailure {
            // The task is done all the same. The table asks for the job as no next one is there, and among jobs it is seen that this one fails.
        }
    }

    struct Payload: Codable {
        var task: String
    }

    static let job = JobKind<Payload>("task-next").job { payload, context, run in
        guard let id = RecordID(payload.task) else { throw JobFailure("no_task") }
        let next = try next(of: id, in: try await run.write([reading(id, as: context)])[0], as: context)
        return .done(writing: next.map { [$0] } ?? [])
    }

    /// Whether another one follows on a task, as it is by now.
    private static let hasNext: SQL = """
        deleted_at is null and recurrence is not null
        and case recurrence_by when 'date' then status <> 'cancelled' and due_at <= clock_timestamp() else status = 'done' end
        """

    /// The task, if another one follows on it by now and is not there yet.
    private static func reading(_ id: RecordID, as context: RequestContext) -> SQL {
        """
        select recurrence, time_zone, due_at, remind_at, coalesce(occurs_at, due_at) as occurs_at,
            coalesce(series_starts_at, due_at) as starts_at, series_number
        from task
        where tenant_id = \(context.tenant) and id = \(id)
            and \(hasNext)
            and not exists (
                select from task as next
                where next.tenant_id = task.tenant_id and next.series_id = coalesce(task.series_id, task.id)
                    and next.series_number = task.series_number + 1)
        """
    }

    /// The statement that makes the next task; `nil` when there is none.
    private static func next(of id: RecordID, in found: PostgresResult, as context: RequestContext) throws -> SQL? {
        guard let row = found.first else { return nil }
        let number: Int = try row.decode("series_number")
        let text: String = try row.decode("recurrence")
        guard let rule = try? RecurrenceRule(text),
            let clock = TimeZoneName.clock(try row.decode("time_zone"))
        else { throw JobFailure("rule_not_understood") }
        if case .count(let count) = rule.end, number >= count { return nil }
        let due: Timestamp = try row.decode("due_at")
        let start: Timestamp = try row.decode("starts_at")
        // Those that nobody did are not made up for.
        let passed = max(try row.decode("occurs_at"), due, .now)
        guard let next = rule.next(after: passed, startingAt: start, in: clock) else { return nil }
        let remind = try row.decode("remind_at", as: Timestamp?.self).map { remind in
            clock.instant(clock.local(next).advanced(from: clock.local(due), to: clock.local(remind)))
        }
        return """
            insert into task (
                tenant_id, id, subject, description, due_at, remind_at, recurrence, recurrence_by, time_zone, priority, assignee_id, related,
                checklist, tags, custom, series_id, series_number, series_starts_at, occurs_at, created_by, updated_by)
            -- Whose it is without an assignee is told by who made it, and that is who made the first.
            select tenant_id, \(RecordID()), subject, description, \(next), \(remind.sqlValue), recurrence, recurrence_by, time_zone, priority,
                assignee_id, related,
                (select coalesce(jsonb_agg(item || '{"done": false}'::jsonb order by place), '[]')
                    from jsonb_array_elements(checklist) with ordinality as items (item, place)),
                tags, custom, coalesce(series_id, id), series_number + 1, \(start), \(next), created_by, \(context.user)
            from task where tenant_id = \(context.tenant) and id = \(id) and \(hasNext) and recurrence = \(text) and due_at = \(due)
            on conflict (tenant_id, series_id, series_number) where series_id is not null do nothing
            """
    }
}
