-- What crm sends for GET /v1/leads?limit=50&score[gte]=90&sort=score, in one pipeline.
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
select lead.id, lead.version, lead.first_name, lead.last_name, lead.company, lead.title, lead.email, lead.phone, lead.website, lead.source,
    lead.status, lead.score, lead.owner_id, lead.tags, lead.address, case when not is_large then wide.description end as description,
    case when not is_large then wide.custom end as custom, lead.external_id, lead.created_at, lead.updated_at, lead.created_by, lead.updated_by,
    lead.id as cursor_id, lead.score as cursor_value, is_large
from (
    select * from lead where tenant_id = :tenant and score >= 90 and deleted_at is null order by score, id limit 51
) as lead
cross join lateral (
    select text.*, coalesce(octet_length(text.description) > 2048 or octet_length(text.custom) > 2048, false) as is_large
    from (select lead.description::text as description, lead.custom::text as custom offset 0) as text offset 0
) as wide
order by lead.score, lead.id;
\endpipeline
