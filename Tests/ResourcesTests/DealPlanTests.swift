import CRM
import Core
import Postgres
import Resources
import Testing

@Suite struct DealPlanTests {
    @Test func everyListOfDealsIsLedByAnIndex() async throws {
        try await ResourceAPI.run(Deal.definition, Account.definition, Contact.definition, Pipeline.definition) { api in
            let (one, count) = (api.colleague.description, 20_000)
            try await api.write([
                """
                insert into deal (tenant_id, id, external_id, name, account_id, contact_id, pipeline_id, stage_id, stage_changed_at, status, \
                amount_minor, currency, probability, expected_close_on, closed_at, owner_id, created_at, updated_at, created_by, updated_by) \
                select case when n <= \(count)::int then \(api.tenant)::uuid else md5((n % 200)::text)::uuid end, gen_random_uuid(), 'other' || n, \
                    'name' || n, case when n % 1000 = 1 then \(api.colleague)::uuid else gen_random_uuid() end, \
                    case when n % 1000 = 2 then \(api.colleague)::uuid else gen_random_uuid() end, \
                    case when n % 1000 = 3 then \(api.colleague)::uuid else gen_random_uuid() end, \
                    case when n % 1000 = 4 then \(api.colleague)::uuid else gen_random_uuid() end, now(), \
                    case when n % 90 = 0 then 'open' when n % 90 = 1 then 'lost' else 'won' end, n, 'EUR', 50, date '2020-01-01' + n, \
                    case when n % 90 > 0 then timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' end, \
                    case when n % 1000 = 5 then \(api.colleague)::uuid else gen_random_uuid() end, \
                    made, made, gen_random_uuid(), gen_random_uuid() \
                from generate_series(1, 2 * \(count)::int) as n cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as made) as row
                """, "analyze deal",
            ])
            let values = [
                "account_id": one, "contact_id": one, "pipeline_id": one, "stage_id": one, "owner_id": one, "status": "open",
                "amount_minor": "5", "amount_minor[gt]": "39990", "amount_minor[gte]": "39990", "amount_minor[lt]": "5",
                "amount_minor[lte]": "5",
                "expected_close_on": "2020-01-05", "expected_close_on[gt]": "2129-01-01", "expected_close_on[gte]": "2129-01-01",
                "expected_close_on[lt]": "2020-01-05", "expected_close_on[lte]": "2020-01-05",
                "closed_at": "2020-01-01T00:01:31.000Z", "closed_at[gt]": "2020-01-01T11:00:00Z", "closed_at[gte]": "2020-01-01T11:00:00Z",
                "closed_at[lt]": "2020-01-01T00:02:00Z", "closed_at[lte]": "2020-01-01T00:02:00Z",
                "created_at[gt]": "2020-01-01T11:00:00Z", "created_at[gte]": "2020-01-01T11:00:00Z",
                "updated_at[gt]": "2999-01-01T00:00:00Z", "updated_at[gte]": "2999-01-01T00:00:00Z",
            ]
            let faults = try await SchemaCheck.planFaults(of: Deal.definition, values: values, on: api.postgres, as: api.member())
            #expect(faults.isEmpty, "\(faults.joined(separator: "\n\n"))")
        }
    }
}
