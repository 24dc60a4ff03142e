-- One index for each order of a list, of live and of deleted records, and one for each filter by one value, in the order of creation.
drop index ticket_assignee_id, ticket_deleted;
create index ticket_channel on ticket (tenant_id, channel, created_at, id) where deleted_at is null;
-- Whose ticket it is: the assignee's, or while it has none, whoever has made it.
-- A case and no coalesce, which the server takes for leaky: under row security no index would serve it.
create index ticket_assignee_id on ticket (tenant_id, (case when assignee_id is null then created_by else assignee_id end), created_at, id) where deleted_at is null;
create index ticket_deleted_created_at on ticket (tenant_id, created_at, id) where deleted_at is not null;
create index ticket_deleted_updated_at on ticket (tenant_id, updated_at, id) where deleted_at is not null;
create index ticket_deleted_number on ticket (tenant_id, number, id) where deleted_at is not null;

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics ticket_status_of_tenant (mcv) on tenant_id, status, priority, channel from ticket;
alter statistics ticket_status_of_tenant set statistics 1000;

-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
alter table ticket set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
