-- One index for each order of a list, of live and of deleted records; texts by the root of the Unicode collation. Filters by one value
-- that are no text have theirs in the order of creation; the exact values of texts are among the words of `search`.
drop index lead_last_name, lead_company, lead_owner_id, lead_email, lead_deleted;
create index lead_last_name on lead (tenant_id, last_name collate "und-x-icu", id) where deleted_at is null;
create index lead_company on lead (tenant_id, company collate "und-x-icu", id) where deleted_at is null;
-- Whose record it is: the owner's, or while it has none, whoever has made it.
-- A case and no coalesce, which the server takes for leaky: under row security no index would serve it.
create index lead_owner_id on lead (tenant_id, (case when owner_id is null then created_by else owner_id end), created_at, id) where deleted_at is null;
create index lead_deleted_created_at on lead (tenant_id, created_at, id) where deleted_at is not null;
create index lead_deleted_updated_at on lead (tenant_id, updated_at, id) where deleted_at is not null;
create index lead_deleted_last_name on lead (tenant_id, last_name collate "und-x-icu", id) where deleted_at is not null;
create index lead_deleted_company on lead (tenant_id, company collate "und-x-icu", id) where deleted_at is not null;
create index lead_deleted_score on lead (tenant_id, score, id) where deleted_at is not null;

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics lead_status_of_tenant (mcv) on tenant_id, status from lead;
alter statistics lead_status_of_tenant set statistics 1000;

-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
alter table lead set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
