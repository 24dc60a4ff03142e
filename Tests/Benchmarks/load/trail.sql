-- Moves what the audit has recorded from the outboxes into the log of activity, each tenant's in the order of time, chained as activity chains it
-- (Services/Activity/Events/EventChain.swift).
set search_path = activity, extensions;
set session_replication_role = replica;
create temporary view waiting as
    select *, coalesce((payload #>> '{after,created_at}')::timestamptz, occurred_at) as happened_at,
        coalesce(payload #>> '{after,created_by}', actor) as done_by
    from (
        select 'tenant' as source, outbox.* from tenant.outbox where request_id = 'load'
        union all select 'crm', outbox.* from crm.outbox where request_id = 'load'
        union all select 'support', outbox.* from support.outbox where request_id = 'load'
    ) as outboxes;

create function pg_temp.chained() returns setof activity.event language plpgsql as $$
declare
    next record;
    entry activity.event;
begin
    for next in select * from waiting order by tenant_id, happened_at, source desc, id loop
        if entry.tenant_id is distinct from next.tenant_id then
            select sequence, hash into entry.sequence, entry.hash from event where tenant_id = next.tenant_id order by sequence desc limit 1;
            entry.tenant_id := next.tenant_id;
            entry.sequence := coalesce(entry.sequence, 0);
            entry.hash := coalesce(entry.hash, '');
        end if;
        entry.sequence := entry.sequence + 1;
        entry.id := next.event_id;
        entry.source := next.source;
        entry.aggregate := next.aggregatetype;
        entry.aggregate_id := next.aggregateid;
        entry.kind := next.type;
        entry.actor := next.done_by;
        entry.request_id := next.request_id;
        entry.occurred_at := next.happened_at;
        entry.recorded_at := next.happened_at;
        entry.format := 1;
        entry.payload := next.payload::text::json;
        entry.salt := uuid_send(gen_random_uuid());
        entry.payload_hash := encode(sha256(entry.salt || convert_to(entry.payload::text, 'UTF8')), 'hex');
        entry.previous_hash := entry.hash;
        entry.hash := encode(sha256(convert_to(
            concat(
                '{"format":1,"sequence":', entry.sequence, ',"id":"', entry.id, '","tenant_id":"', entry.tenant_id, '","occurred_at":"',
                rfc3339(entry.occurred_at), '","source":"', entry.source, '","action":"', entry.kind, '","resource":"', entry.aggregate,
                '","resource_id":"', entry.aggregate_id, '","actor":"', entry.actor, '","request_id":"', entry.request_id, '","payload_hash":"',
                entry.payload_hash, '","previous_hash":"', entry.previous_hash, '"}'),
            'UTF8')), 'hex');
        return next entry;
    end loop;
end
$$;

\set schema activity
\set table event
select count(*) as total from waiting \gset
truncate dropped;
insert into dropped select schemaname, indexname, indexdef from pg_indexes
    where schemaname = 'activity' and tablename = 'event' and :total >= 20000
        and not exists (select from pg_constraint where conname = indexname and connamespace = schemaname::regnamespace);
select format('drop index %I.%I', schemaname, indexname) from dropped \gexec

begin;
insert into event_log (tenant_id) select distinct tenant_id from waiting on conflict do nothing;
create temporary table added on commit drop as select * from pg_temp.chained();
insert into event (tenant_id, sequence, format, id, source, aggregate, aggregate_id, kind, actor, request_id, occurred_at, recorded_at, salt, payload,
    payload_hash, previous_hash, hash)
select tenant_id, sequence, format, id, source, aggregate, aggregate_id, kind, actor, request_id, occurred_at, recorded_at, salt, payload,
    payload_hash, previous_hash, hash from added;
insert into event_hour (tenant_id, hour, first_sequence, last_sequence)
select tenant_id, date_trunc('hour', occurred_at, 'UTC'), min(sequence), (max(sequence) + 999) / 1000 * 1000 from added group by 1, 2
on conflict (tenant_id, hour) do update set first_sequence = least(event_hour.first_sequence, excluded.first_sequence),
    last_sequence = greatest(event_hour.last_sequence, excluded.last_sequence);
-- The order over all tenants: one tenant's behind the other's.
insert into event_position (tenant_id, aggregate, first_position, last_position, first_sequence)
select tenant_id, aggregate, base + behind + 1, base + behind + count, first_sequence
from (
    select tenant_id, count(*) as count, min(sequence) as first_sequence, sum(count(*)) over (order by tenant_id) - count(*) as behind from added group by 1
) as run
join (select distinct tenant_id, aggregate from added) as kinds using (tenant_id)
cross join (select coalesce(max(last_position), 0) as base from event_position) as taken;
delete from tenant.outbox where request_id = 'load';
delete from crm.outbox where request_id = 'load';
delete from support.outbox where request_id = 'load';
commit;
select indexdef from dropped \gexec
vacuum analyze event;
vacuum analyze event_hour;
vacuum analyze event_position;
vacuum analyze tenant.outbox;
vacuum analyze crm.outbox;
vacuum analyze support.outbox;
