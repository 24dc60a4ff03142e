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
    -- json and not jsonb: the text is kept to the byte, since the hash is over it.
    payload json not null,
    previous_hash text not null,
    hash text not null,
    constraint event_pkey primary key (tenant_id, sequence),
    -- What makes a repeated delivery change nothing.
    constraint event_id_unique unique (tenant_id, id)
);
create index event_record on event (tenant_id, aggregate, aggregate_id, sequence);
create index event_actor on event (tenant_id, actor, sequence);
create index event_kind on event (tenant_id, kind, sequence);

-- The last entry of each tenant's log; its row lock puts deliveries of one tenant one after another.
create table event_head (
    tenant_id uuid not null,
    sequence bigint not null default 0,
    hash text not null default '',
    constraint event_head_pkey primary key (tenant_id)
);

call isolate('event', 'select');
call open_to_system('event', 'select, insert');
call isolate('event_head', 'select');
call open_to_system('event_head', 'select, insert, update');
