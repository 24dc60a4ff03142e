-- What crm sends for GET /v1/contacts?limit=50&expand=account, in one pipeline.
\startpipeline
select set_config('app.tenant', :tenant, true), set_config('app.user', :user, true), set_config('app.request', :request, true);
select
    contact.id, contact.version, contact.first_name, contact.last_name, contact.account_id, expanded_account.id as "account.id",
    expanded_account.version as "account.version", expanded_account.name as "account.name", expanded_account.domain as "account.domain",
    expanded_account.industry as "account.industry", expanded_account.employees as "account.employees",
    expanded_account.annual_revenue_minor as "account.annual_revenue_minor", expanded_account.currency as "account.currency",
    expanded_account.phone as "account.phone", expanded_account.website as "account.website", expanded_account.status as "account.status",
    expanded_account.parent_id as "account.parent_id", expanded_account.owner_id as "account.owner_id", expanded_account.tags as
    "account.tags", expanded_account.address as "account.address", case when not is_large then wide."account.custom" end as
    "account.custom", expanded_account.external_id as "account.external_id", expanded_account.created_at as "account.created_at",
    expanded_account.updated_at as "account.updated_at", expanded_account.created_by as "account.created_by", expanded_account.updated_by
    as "account.updated_by", contact.title, contact.email, contact.phone, contact.owner_id, contact.tags, contact.address,
    contact.do_not_contact, case when not is_large then wide.custom end as custom, contact.external_id, contact.created_at,
    contact.updated_at, contact.created_by, contact.updated_by, contact.id as cursor_id, contact.created_at as cursor_value, is_large
from (
    select * from contact where tenant_id = :tenant and deleted_at is null order by created_at desc, id desc limit 51
) as contact
left join lateral (
    select id, version, name, domain, industry, employees, annual_revenue_minor, currency, phone, website, status, parent_id, owner_id,
    tags, address, custom, external_id, created_at, updated_at, created_by, updated_by
    from account as expanded where expanded.tenant_id = :tenant and expanded.id = contact.account_id and deleted_at is null offset 0
) as expanded_account on true
cross join lateral (
    select text.*, coalesce(octet_length(text."account.custom") > 2048 or octet_length(text.custom) > 2048, false) as is_large
    from (select expanded_account.custom::text as "account.custom", contact.custom::text as custom offset 0) as text offset 0
) as wide
order by contact.created_at desc, contact.id desc;
\endpipeline
