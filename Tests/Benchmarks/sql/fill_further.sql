-- Gives the tenant :tenant of seed.sql 500 accounts, 2,000 contacts of theirs, and 64 leads that another system knows; beside it 24 tenants
-- with as many accounts and contacts. Run by the superuser, with triggers off: these rows are no changes that anyone audits.
\set ON_ERROR_STOP on
set session_replication_role = replica;
set search_path = crm, extensions;
create temporary table tenants as select :'tenant'::uuid as tenant union all select md5('further ' || n)::uuid from generate_series(2, 25) as n;
insert into account (tenant_id, id, name, domain, industry, employees, annual_revenue_minor, currency, tags, custom, created_at, created_by, updated_by)
select tenant, md5(tenant || ' ' || n)::uuid, 'Kestrel Freight ' || n, 'kestrel' || n || '.example', 'Logistics', n, 1000 * n, 'EUR',
    '{emea,priority}', '{"tier":"gold","region":"north","seats":40}', now() - make_interval(secs => n), :'user'::uuid, :'user'::uuid
from tenants, generate_series(1, 500) as n;
insert into contact (tenant_id, id, first_name, last_name, account_id, title, email, phone, tags, custom, created_at, created_by, updated_by)
select tenant, uuid_v7(), 'Greta', 'Fischer ' || n, md5(tenant || ' ' || n % 500 + 1)::uuid, 'Plant Manager', 'greta.fischer.' || n || '@kestrel.example',
    '+49405550101', '{emea,priority}', '{"tier":"gold","region":"north","seats":40}', now() - make_interval(secs => n), :'user'::uuid, :'user'::uuid
from tenants, generate_series(1, 2000) as n;
update lead set external_id = 'bench-' || known.n
from (select id, row_number() over (order by created_at) - 1 as n from lead where tenant_id = :'tenant' limit 64) as known
where lead.tenant_id = :'tenant' and lead.id = known.id;
vacuum analyze account;
vacuum analyze contact;
vacuum analyze lead;
