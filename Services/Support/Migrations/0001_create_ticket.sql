-- Tickets: what customers need help with. Each tenant counts its own from 1.

create domain ticket_status as text
    constraint ticket_status_check check (value in ('new', 'open', 'pending', 'on_hold', 'solved', 'closed'));
create domain ticket_priority as text constraint ticket_priority_check check (value in ('low', 'normal', 'high', 'urgent'));
create domain ticket_channel as text constraint ticket_channel_check check (value in ('web', 'email', 'phone', 'chat', 'api'));

-- What finds a ticket: its number and words, led by the tenant, and the values of the filters that no other index serves.
create table ticket (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    number bigint not null,
    subject text not null,
    description text,
    status ticket_status not null default 'new',
    solved_at timestamptz(3),
    priority ticket_priority not null default 'normal',
    channel ticket_channel not null default 'api',
    assignee_id uuid,
    tags text[] not null default '{}',
    custom custom_members not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (
        search_words(tenant_id, number::text, subject, description) || filter_words(tenant_id, tags, custom, variadic '{}')
    ) stored,
    constraint ticket_pkey primary key (tenant_id, id),
    constraint ticket_number_key unique (tenant_id, number)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics ticket_status_of_tenant (mcv) on tenant_id, status, priority, channel from ticket;
alter statistics ticket_status_of_tenant set statistics 1000;

-- The highest number of tickets that are there no longer, so that none is given twice; nearly always there is no row.
create table ticket_counter (
    tenant_id uuid not null,
    last bigint not null,
    constraint ticket_counter_pkey primary key (tenant_id)
);

-- A row that turns out to be there already leaves no trace of the number it was offered: the next number is the one after the highest
-- of the table, which also sees the rows that the same statement has inserted so far. So numbers are in the order of the rows, without
-- a gap. The lock lets creations of one tenant go one after another; a query after it sees what was committed before. No row is
-- changed for a number, so a snapshot that stays open for long (a dump) leaves no trail of dead versions to walk through.
create function number_ticket() returns trigger language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('ticket number ' || new.tenant_id, 0));
    select 1 + greatest(
        (select number from ticket where tenant_id = new.tenant_id order by number desc limit 1),
        (select last from ticket_counter where tenant_id = new.tenant_id), 0)
    into new.number;
    return new;
end
$$;
create trigger number before insert on ticket for each row execute function number_ticket();

create function keep_ticket_number() returns trigger language plpgsql volatile as $$
begin
    insert into ticket_counter as counter (tenant_id, last) values (old.tenant_id, old.number)
    on conflict (tenant_id) do update set last = excluded.last where counter.last < excluded.last;
    return null;
end
$$;
create trigger keep_number after delete on ticket for each row execute function keep_ticket_number();

call isolate('ticket_counter');
call isolate('ticket');
-- What other services are told of tickets, for their copies: whose they are, and which are there.
call open_to_system('ticket', 'select (tenant_id, id, assignee_id, created_by, version, deleted_at)');
call listed('ticket', owner => 'assignee_id', orders => '{number}', filters => '{status, priority, channel}');
call audited('ticket', 'ticket');
call searchable('ticket');
