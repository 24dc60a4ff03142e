-- Tickets: what customers need help with. Each tenant counts its own from 1.
create table ticket_counter (
    tenant_id uuid not null,
    last bigint not null,
    constraint ticket_counter_pkey primary key (tenant_id)
);

create table ticket (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    number bigint not null,
    subject text not null,
    description text,
    status text not null default 'new',
    priority text not null default 'normal',
    channel text not null default 'api',
    assignee_id uuid,
    tags text[] not null default '{}',
    custom jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (
        to_tsvector('pg_catalog.simple', subject || ' ' || coalesce(description, ''))
    ) stored,
    constraint ticket_pkey primary key (tenant_id, id),
    constraint ticket_number_key unique (tenant_id, number),
    constraint ticket_status_check check (status in ('new', 'open', 'pending', 'on_hold', 'solved', 'closed')),
    constraint ticket_priority_check check (priority in ('low', 'normal', 'high', 'urgent')),
    constraint ticket_channel_check check (channel in ('web', 'email', 'phone', 'chat', 'api')),
    constraint ticket_custom_check check (key_count(custom) <= 50)
);

create index ticket_created_at on ticket (tenant_id, created_at, id) where deleted_at is null;
create index ticket_updated_at on ticket (tenant_id, updated_at, id) where deleted_at is null;
create index ticket_number on ticket (tenant_id, number, id) where deleted_at is null;
create index ticket_status on ticket (tenant_id, status, created_at, id) where deleted_at is null;
create index ticket_priority on ticket (tenant_id, priority, created_at, id) where deleted_at is null;
create index ticket_assignee_id on ticket (tenant_id, assignee_id, created_at, id) where deleted_at is null;
create index ticket_deleted on ticket (tenant_id, created_at, id) where deleted_at is not null;
create index ticket_search on ticket using gin (tenant_id, search);

-- Draws the number in the insert's own transaction: creations of one tenant go one after another, and a number whose insert
-- failed is drawn again.
create function number_ticket() returns trigger language plpgsql as $$
begin
    insert into ticket_counter as counter (tenant_id, last) values (new.tenant_id, 1)
    on conflict (tenant_id) do update set last = counter.last + 1
    returning last into new.number;
    return new;
end
$$;
create trigger number before insert on ticket for each row execute function number_ticket();

call isolate('ticket_counter');
call isolate('ticket');
call audited('ticket', 'ticket', 'search');
call limited('ticket', 'tickets');
call searchable('ticket');
