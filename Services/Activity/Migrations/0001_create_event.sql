-- The event log: everything that happened to a tenant's data, in one order a tenant, each entry chained to the one before.
-- Nobody may change or remove an entry: the runtime role reads, the system role reads and appends.
create table event (
    tenant_id uuid not null,
    -- 1, 2, 3, … without a gap.
    sequence bigint not null,
    id uuid not null,
    source text not null,
    aggregate text not null,
    aggregate_id text not null,
    kind text not null,
    actor text not null,
    request_id text not null,
    occurred_at timestamptz(3) not null,
    recorded_at timestamptz(3) not null default now(),
    format smallint not null,
    -- The chain covers a salted digest of each payload instead of the payload: a payload that is erased together with its salt leaves an
    -- entry that still proves its place, and nobody can find out from the digest what it said. Nothing else of an entry ever changes.
    -- json and not jsonb: the text is kept to the byte, since the digest is over it.
    payload json,
    salt bytea,
    payload_hash text not null,
    -- What a page of the trail is measured by, without reading the payloads that it has no room for.
    bytes integer not null generated always as (coalesce(octet_length(payload::text), 0)) stored,
    previous_hash text not null,
    hash text not null,
    constraint event_pkey primary key (tenant_id, sequence),
    -- What makes a repeated delivery change nothing.
    constraint event_id_unique unique (tenant_id, id),
    constraint event_payload_sealed check ((payload is null) = (salt is null)),
    constraint event_salt_length check (octet_length(salt) = 16)
);
-- One index for each filter of the trail; those that lead with one value also give the order.
create index event_record on event (tenant_id, aggregate_id, sequence);
create index event_resource on event (tenant_id, aggregate, sequence);
create index event_actor on event (tenant_id, actor, sequence);
create index event_kind on event (tenant_id, kind, sequence);

-- The lock of each tenant's log, which puts deliveries of one tenant one after another. It never changes: under a snapshot that stays
-- open for long (a dump) each delivery would walk over all its versions since.
create table event_log (
    tenant_id uuid not null,
    constraint event_log_pkey primary key (tenant_id)
);

-- Between which sequence numbers the events of an hour are: a range of time becomes a range of the log, which every filter's index
-- ends with. An index of all times took 40 bytes an entry for it. The last number may be higher than any of the hour.
create table event_hour (
    tenant_id uuid not null,
    hour timestamptz(0) not null,
    first_sequence bigint not null,
    last_sequence bigint not null,
    constraint event_hour_pkey primary key (tenant_id, hour)
);

-- The fence of each service's relay, the highest that was seen: deliveries of a relay that has lost its lease are refused.
create table event_source (
    source text not null,
    fence bigint not null,
    constraint event_source_pkey primary key (source)
);
do $$ begin
    execute format('grant select, insert, update on event_source to %I', 'martlet_' || current_schema() || '_system');
end $$;

-- Holds for everybody, the owner too: the roles' rights alone would let him rewrite the log.
create function keep_event() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        old.payload := null;
        old.salt := null;
        old.bytes := 0;
        if new operator(pg_catalog.*=) old then return null; end if;
    end if;
    raise exception 'the log of events keeps its entries: only payload and salt can be erased, together' using errcode = '42501';
end
$$;
create trigger keep_entries after update or delete on event for each row execute function keep_event();
create trigger keep before truncate on event for each statement execute function refuse_truncate();

call isolate('event', 'select');
call open_to_system('event', 'select, insert');
call isolate('event_log', 'select');
call open_to_system('event_log', 'select, insert, update');
call isolate('event_hour', 'select');
call open_to_system('event_hour', 'select, insert, update');
