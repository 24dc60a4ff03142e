-- What crm sends for PATCH /v1/leads/{id} with {"score":…}, in one pipeline.
\set n random(0, 100)
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
update lead set version = version + 1, updated_at = now(), updated_by = :user, score = :n
where tenant_id = :tenant and id = :lead and deleted_at is null and (score is distinct from :n)
returning id, version, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags,
    address, description, custom, external_id, created_at, updated_at, created_by, updated_by;
\endpipeline
