-- What crm sends for POST /v1/leads with an Idempotency-Key, in one pipeline.
\set n random(1, 9000000000000000000)
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
with written as (
    insert into lead (tenant_id, id, created_by, updated_by, first_name, last_name, company, email, status)
    values (:tenant, gen_random_uuid(), :user, :user, 'Greta', 'Fischer', 'Kestrel Freight', 'greta.fischer@kestrel.example', 'new')
    returning id, version, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags,
        address, description, custom, external_id, created_at, updated_at, created_by, updated_by
), key as (
    insert into idempotency_key (tenant_id, caller, route, key, fingerprint, status, answer)
    select :tenant::uuid, :user::uuid, 'POST /v1/leads', 'bench-' || :n::text,
        '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', 201, array[
    'id,version,first_name,last_name,company,title,email,phone,phone_e164,website,source,status,score,owner_id,tags,address,description,custom,external_id,created_at,updated_at,created_by,updated_by',
    id::text, version::text, first_name::text, last_name::text, company::text, title::text, email::text, phone::text, phone_e164::text,
    website::text, source::text, status::text, score::text, owner_id::text, tags::text, address::text, description::text,
    custom::text, external_id::text, created_at::text, updated_at::text, created_by::text, updated_by::text]
    from written
)
select * from written;
\endpipeline
