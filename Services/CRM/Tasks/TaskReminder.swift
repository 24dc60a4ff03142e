import Core
import Postgres
import ServiceRuntime

/// Reminds of a task: writes the event `task.reminded`, once. The job is asked for by the table's trigger with each change that sets the time; one that
/// comes after another change finds the task otherwise and does nothing.
enum TaskReminder {
    struct Payload: Codable {
        var task: String
        var at: String
    }

    static let job = JobKind<Payload>("task-reminder").job { payload, context, _ in
        guard let id = RecordID(payload.task), let instant = Timestamp(payload.at) else { throw JobFailure("no_task") }
        return .done(writing: [
            """
            select emit_event('task.reminded', 'task', id::text, jsonb_build_object(
                'subject', subject, 'assignee_id', assignee_id, 'due_at', rfc3339(due_at), 'remind_at', rfc3339(remind_at)))
            from task
            where tenant_id = \(context.tenant) and id = \(id) and deleted_at is null and status in ('open', 'in_progress')
                and remind_at = \(instant)
            """
        ])
    }
}
