-- Fills crm.lead as a platform with some customers has it: 25 tenants with 2,000 leads each, one of them :tenant. Run by the
-- superuser, with triggers off: these rows are no changes that anyone audits. The open copy has the same rows and no row security.
set session_replication_role = replica;
set search_path = crm, extensions;
insert into lead (tenant_id, id, first_name, last_name, company, title, email, phone, source, status, score, tags, custom, description, created_at, created_by, updated_by)
select tenant, uuid_v7(), 'Greta', 'Fischer ' || n, 'Kestrel Freight', 'Plant Manager',
       'greta.fischer.' || n || '@kestrel.example', '+49405550101', 'referral', 'contacted', n % 100, '{emea,priority}',
       '{"tier":"gold","region":"north","seats":40,"trial":true,"plan":"annual","language":"de","rating":4.5,"campaign":"spring","partner":"none","stage":"second"}',
       'Asked about seats for the plant in Hamburg.', now() - make_interval(secs => n), :'tenant_user'::uuid, :'tenant_user'::uuid
from (select :'tenant'::uuid as tenant union all select gen_random_uuid() from generate_series(2, 25)) as tenants, generate_series(1, 2000) as n;
create schema if not exists bench;
create table bench.lead as table crm.lead;
alter table bench.lead add primary key (tenant_id, id);
create role martlet_bench login nosuperuser nobypassrls password :'password';
grant connect on database martlet to martlet_bench;
grant usage on schema bench to martlet_bench;
grant select on bench.lead to martlet_bench;
vacuum analyze crm.lead;
vacuum analyze bench.lead;
