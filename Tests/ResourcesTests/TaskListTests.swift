import CRM
import Core
import Postgres
import Resources
import Testing

extension ListTests {
    /// As leads are checked: each filter of tasks, and what is due, in each order, on a table with tenants of very unlike size, in which most has
    /// been done.
    @Test func everyListOfTasksIsLedByAnIndex() async throws {
        try await ResourceAPI.tasks { api in
            let first = RecordID()
            try await api.write([
                """
                insert into task (tenant_id, id, subject, due_at, created_at, created_by, updated_by)
                values (\(api.tenant), \(first), 'first', now(), '2019-12-31T00:00:00Z', gen_random_uuid(), gen_random_uuid())
                """,
                """
                insert into task (tenant_id, id, external_id, subject, due_at, status, priority, assignee_id, series_id, series_number, \
                    created_at, updated_at, created_by, updated_by) \
                select case when n <= 20000 then \(api.tenant)::uuid else md5((n % 200)::text)::uuid end, md5('task' || n)::uuid, 'other' || n, \
                    'subject ' || n, now() + (n % 4000 - 3900) * interval '1 hour', \
                    case when n % 100 = 1 then 'open' when n % 90 = 0 then 'cancelled' else 'done' end, \
                    case when n % 80 = 0 then 'high' when n % 90 = 5 then 'normal' else 'low' end, \
                    case when n % 1000 = 2 then \(api.colleague)::uuid else gen_random_uuid() end, \
                    case when n <= 20000 and n % 2000 = 3 then \(first)::uuid when n between 21 and 20000 and n % 20 > 10 then md5('task' || n / 20 * 20)::uuid end, \
                    n, \
                    made, made, gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 40000) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
                """,
                "analyze task",
            ])
            let late = "2020-01-01T11:00:00Z"
            let (soon, never) = (Timestamp.now.advanced(by: .seconds(98 * 3600)).description, "2019-01-01T00:00:00Z")
            let values = [
                "status": "open", "status[not]": "done", "priority": "high", "assignee_id": api.colleague.description,
                "series_id": first.description, "due_at": soon, "due_at[gt]": soon, "due_at[gte]": soon, "due_at[lt]": never,
                "due_at[lte]": never, "created_at[gt]": late, "created_at[gte]": late, "updated_at[gt]": "2999-01-01T00:00:00Z",
                "updated_at[gte]": "2999-01-01T00:00:00Z",
            ]
            let faults = try await SchemaCheck.planFaults(of: MemberTask.definition, values: values, on: api.postgres, as: api.member())
            #expect(faults.isEmpty, "\(faults.joined(separator: "\n\n"))")
        }
    }

    /// What somebody has to do today is read in order of an index, whatever there is of others and of what was done.
    @Test func whatIsOnesOwnIsReadInItsOrder() async throws {
        try await ResourceAPI.tasks { api in
            let caller = api.member()
            try await api.write([
                """
                insert into task (tenant_id, id, subject, due_at, status, assignee_id, created_by, updated_by) \
                select \(api.tenant)::uuid, gen_random_uuid(), 'subject ' || n, now() + (n % 4000 - 3900) * interval '1 hour', \
                    case when n % 10 = 1 then 'open' else 'done' end, \
                    case when n % 100 = 1 then \(caller.user)::uuid else gen_random_uuid() end, gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 20000) as n
                """,
                "analyze task",
            ])
            let excerpt = try #require(
                api.resource.excerptOfOwn(
                    of: ["due_at"], where: ["open_due_at < \(Timestamp.now)"], order: "open_due_at, id", limit: 10, as: caller))
            let plan = try await api.postgres.batch(as: caller, ["explain (costs off) " + excerpt.statement])[0]
                .map { try $0.decode(0, as: String.self) }.joined(separator: "\n")
            #expect(plan.contains("task_open_due_at_of_assignee") && plan.contains("open_due_at <"), "\(plan)")
            #expect(!plan.split(separator: "Limit").dropFirst().joined().contains("Sort"), "\(plan)")
        }
    }
}
