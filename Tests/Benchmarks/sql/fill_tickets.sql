-- Fills support.ticket for the tenant :tenant with :count rows, and where :beside is true as many rows of tenants with 200 each beside it.
\set schema support
\set table ticket
\ir fill_begin.sql

set search_path = support, extensions;
insert into ticket (tenant_id, id, number, subject, description, status, priority, channel, assignee_id, tags, custom, created_at, updated_at, created_by, updated_by)
select tenant, uuid_v7(), row_number() over (partition by tenant order by n) + 1000000, 'The export stops at row ' || n,
    case when n % 100000 = 1 then 'unusual ' else '' end || 'common ' || (array['Nadia', 'printer', 'invoice', 'login'])[n % 4 + 1],
    (array['new', 'open', 'pending', 'solved', 'closed'])[n % 5 + 1], (array['low', 'normal', 'high', 'urgent'])[n % 4 + 1],
    (array['web', 'email', 'phone', 'chat', 'api'])[n % 5 + 1],
    case when n % 1000 = 1 then :'user'::uuid else md5((n % 50)::text)::uuid end,
    case when n % 100000 = 1 then '{rare}'::text[] else '{emea,priority}' end, jsonb_build_object('tier', 't' || n % 1000),
    now() - make_interval(secs => n), now() - make_interval(secs => n % 86400), :'user'::uuid, :'user'::uuid
from numbered;

select indexdef from dropped \gexec
