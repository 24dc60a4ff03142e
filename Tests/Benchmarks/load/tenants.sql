-- :tenants tenants on the plan enterprise with :members members each, who all sign in with the password of the demo (:'password_hash'):
-- admin@load-0.test, member-1@load-0.test and so on.
set search_path = tenant, extensions;
create temporary table people as
    select number as tenant, m, pg_temp.member_of(number, m) as id,
        case m when 0 then 'admin' else 'member-' || m end || '@load-' || number || '.test' as email,
        pg_temp.pick(first_names, number + m * 5) || ' ' || pg_temp.pick(last_names, number + m * 5) as name,
        case m when 0 then 'tenant_admin' when 1 then 'manager' else 'sales' end as role
    from tenants, words, generate_series(0, :members - 1) as m;

set session_replication_role = replica;
insert into identity.user_account (id, email, email_key, name, status) select id, email, email, name, 'active' from people;
insert into identity.credential (user_id, password_hash) select id, :'password_hash' from people;
alter table tenant.tenant enable always trigger audit;
alter table tenant.member enable always trigger audit;
insert into tenant.tenant (tenant_id, name, slug, plan, overrides, currency, created_at, updated_at, created_by, updated_by)
select id, pg_temp.pick(brands, number) || ' ' || pg_temp.pick(companies, number) || ' ' || number, 'load-' || number, 'enterprise',
    '{"requests_per_second": 1000000}', pg_temp.pick(currencies, number), began, began, admin, admin
from tenants, words;
insert into tenant.member (tenant_id, user_id, email, name, role, created_at, updated_at, created_by, updated_by)
select tenants.id, people.id, email, name, role, began, began, admin, admin from people join tenants on number = tenant;
alter table tenant.tenant disable trigger audit;
alter table tenant.tenant enable trigger audit;
alter table tenant.member disable trigger audit;
alter table tenant.member enable trigger audit;
-- What crm and support will have from the log.
insert into crm.member_copy (tenant_id, user_id, email, name, role, status, version)
select tenants.id, people.id, email, name, role, 'active', 1 from people join tenants on number = tenant;
insert into support.member_copy table crm.member_copy on conflict do nothing;
vacuum analyze tenant.tenant;
vacuum analyze tenant.member;
vacuum analyze crm.member_copy;
vacuum analyze support.member_copy;
