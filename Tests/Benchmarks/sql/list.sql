-- What crm sends for GET /v1/leads?limit=50, in one pipeline.
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
select id, version, first_name, last_name, company, title, email, phone, website, source, status, score, owner_id, tags,
    address, case when octet_length(description::text) <= 2048 then description end as description,
    case when octet_length(custom::text) <= 2048 then custom end as custom, created_at, updated_at, created_by, updated_by,
    id as cursor_id, created_at as cursor_value,
    coalesce(octet_length(description::text) > 2048 or octet_length(custom::text) > 2048, false) as is_large
from lead where tenant_id = :tenant and deleted_at is null order by created_at desc, id desc limit 51;
\endpipeline
