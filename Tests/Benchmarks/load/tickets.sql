insert into support.ticket (
    tenant_id, id, number, subject, description, status, solved_at, priority, channel, assignee_id, tags, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('ticket', n, :total), place + 1, pg_temp.pick(brands, w) || ': ' || pg_temp.pick(notes, w), pg_temp.pick(notes, w + n / 16), state,
    case when state in ('solved', 'closed') then made end, (array['low', 'normal', 'normal', 'high', 'urgent'])[n % 5 + 1],
    (array['web', 'email', 'phone', 'chat', 'api'])[n / 5 % 5 + 1], pg_temp.member_of(number, place % :members), '{}', made, made,
    pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (
    select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made,
        (array['new', 'open', 'open', 'pending', 'solved', 'closed', 'closed'])[n / 3 % 7 + 1] as state offset 0
) as row
join tenants on number = t;
