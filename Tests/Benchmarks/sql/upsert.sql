-- What crm sends for PUT /v1/leads/by-external-id/{external_id} with three members, of which one is another, in one pipeline.
\set k random(0, 63)
\set n random(0, 100)
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
select pg_advisory_xact_lock(lock)
from (select distinct hashtextextended(name, 0) as lock from unnest(array['lead.external_id ' || :tenant || ' bench-' || :k::text]) as name order by lock) as locks;
with changed as (
    update lead set version = version + 1, updated_at = now(), updated_by = :user, last_name = 'Fischer', company = 'Kestrel Freight', score = :n
    where tenant_id = :tenant and external_id = 'bench-' || :k::text and deleted_at is null
        and (last_name is distinct from 'Fischer' or company is distinct from 'Kestrel Freight' or score is distinct from :n)
    returning id, version, first_name, last_name, company, title, email, phone, website, source, status, score, owner_id, tags,
        address, description, custom, external_id, created_at, updated_at, created_by, updated_by, false as is_new
), made as (
    insert into lead (tenant_id, id, created_by, updated_by, last_name, company, score, external_id)
    select :tenant, gen_random_uuid(), :user, :user, 'Fischer', 'Kestrel Freight', :n, 'bench-' || :k::text
    where not exists (select from lead where tenant_id = :tenant and external_id = 'bench-' || :k::text and deleted_at is null)
    on conflict (tenant_id, external_id) where deleted_at is null and external_id is not null do nothing
    returning id, version, first_name, last_name, company, title, email, phone, website, source, status, score, owner_id, tags,
        address, description, custom, external_id, created_at, updated_at, created_by, updated_by, true as is_new
)
select * from changed
union all
select id, version, first_name, last_name, company, title, email, phone, website, source, status, score, owner_id, tags,
    address, description, custom, external_id, created_at, updated_at, created_by, updated_by, false as is_new
from lead where tenant_id = :tenant and external_id = 'bench-' || :k::text and deleted_at is null
    and not (last_name is distinct from 'Fischer' or company is distinct from 'Kestrel Freight' or score is distinct from :n)
union all
select * from made;
\endpipeline
