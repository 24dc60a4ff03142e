-- How the outbox is handed over: in lanes by tenant, by one process at a time, past what is delivered, and what activity refuses leaves
-- a gap (Shared/Decisions/0012 and 0005).

-- What one process of the service does at a time, and which, as `relay`, which hands over the outbox; whoever asks for one first makes its row. A
-- lease is free when its time is over, or when the session that took it is gone. Each taking has the next fence; nothing is taken from a holder of an earlier one.
create table lease (
    name text not null,
    fence bigint not null default 0,
    session_pid integer,
    session_start timestamptz,
    expires_at timestamptz not null default '-infinity',
    constraint lease_pkey primary key (name)
);
do $$ begin
    execute format('grant select, insert, update on lease to %I', 'martlet_' || current_schema() || '_system');
    -- The last id taken tells the relay how far it can be sure of what it has seen.
    execute format('grant select on sequence outbox_id_seq to %I', 'martlet_' || current_schema() || '_system');
end $$;

do $do$ begin
    -- The id of the gap that stands for an event, made from the event's own: whoever reads both knows that they belong together, also when
    -- what the gap says was erased. It has the form of a UUIDv8.
    execute $f$
        create function gap_id(event uuid) returns uuid language sql stable as $$
            select overlay(overlay(encode(substr(sha256(convert_to('audit.gap ' || event::text, 'UTF8')), 1, 16), 'hex')
                placing '8' from 13) placing '8' from 17)::uuid
        $$
    $f$;
    -- Moves a refused event out of the way of the others. In its place, under its id, comes an event `audit.gap` of the same record that
    -- says what is missing, so that the trail shows the loss. A gap that is refused too leaves none. Returns the gap; nothing, and does
    -- nothing, when another has taken the relay's lease.
    execute format($f$
        create function set_aside(holder bigint, refused_lane smallint, refused_id bigint, refusal text) returns setof %1$I.outbox
        language sql volatile as $$
            with refused as (
                delete from %1$I.outbox
                where lane = refused_lane and id = refused_id and exists (select from %1$I.lease where name = 'relay' and fence = holder for share)
                returning *
            ), kept as (
                insert into %1$I.outbox_dead_letter
                    (id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at, lane, reason)
                select id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at, lane, refusal
                from refused where type <> 'audit.gap'
            )
            insert into %1$I.outbox (id, event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
            overriding system value
            select id, %1$I.gap_id(event_id), tenant_id, aggregatetype, aggregateid, 'audit.gap', jsonb_build_object(
                    'event_id', event_id, 'action', type, 'resource', aggregatetype, 'resource_id', aggregateid, 'actor', actor,
                    'occurred_at', %1$I.rfc3339(occurred_at), 'reason', refusal,
                    'payload_sha256', encode(sha256(convert_to(payload::text, 'UTF8')), 'hex')),
                actor, request_id, lane
            from refused where type <> 'audit.gap'
            returning *
        $$
    $f$, current_schema());
    -- Hands over once more what was set aside, for whoever has mended the reason; the event comes at the end of the trail, and closes its
    -- gap there.
    execute format($f$
        create function put_back(event uuid) returns void language sql volatile as $$
            with mended as (
                delete from %1$I.outbox_dead_letter where event_id = event returning *
            )
            insert into %1$I.outbox (event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at, lane)
            select event_id, tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, occurred_at, lane from mended
        $$
    $f$, current_schema());
end $do$;
