insert into crm.task (tenant_id, id, subject, due_at, priority, status, completed_at, assignee_id, related, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('task', n, :total), left(pg_temp.pick(notes, w), 200), made + interval '1 day' * (1 + w % 40),
    (array['low', 'normal', 'high'])[1 + w % 3], case when n % 8 < 6 then 'done' when n % 8 = 6 then 'in_progress' else 'open' end,
    case when n % 8 < 6 then made + interval '1 day' * (w % 40) end, pg_temp.member_of(number, place % :members),
    case n % 3
        when 0 then row('lead', pg_temp.id_of('lead', pg_temp.number_of(number, place / 2, nullif(:leads, 0)), :leads))::record_reference
        when 1 then row('account', pg_temp.id_of('account', pg_temp.number_of(number, place / 2, nullif(:accounts, 0)), :accounts))::record_reference
    end, made, made, pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t
where case n % 3
    when 0 then pg_temp.number_of(number, place / 2, nullif(:leads, 0))
    when 1 then pg_temp.number_of(number, place / 2, nullif(:accounts, 0))
    else 0 end is not null;
