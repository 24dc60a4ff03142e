-- One index for each filter of the trail; those that lead with one value also give the order. Holds the log while it runs, as the
-- next one does; no installation is older than these.
drop index event_record;
create index event_record on event (tenant_id, aggregate_id, sequence);
create index event_resource on event (tenant_id, aggregate, sequence);
create index event_time on event (tenant_id, occurred_at);
