-- What crm sends for GET /v1/leads/{id}, in one pipeline.
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
select id, version, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags,
    address, description, custom, external_id, created_at, updated_at, created_by, updated_by
from lead where tenant_id = :tenant and id = :lead and deleted_at is null;
\endpipeline
