-- One order over the events of all tenants, for services that follow the log (Shared/Decisions/0023).

-- The positions of a delivery's events, a row for each tenant and kind of record in it: the tenant's events, first_sequence and after it, have
-- the positions from first_position to last_position, those of the kind among them. Positions are 1, 2, 3, … without a gap, and are given under a lock
-- that is held to the commit: whoever has seen one sees all before it. An order across tenants, so its keys are the order and not the tenant.
create table event_position (
    tenant_id uuid not null,
    aggregate text not null,
    first_position bigint not null,
    last_position bigint not null,
    first_sequence bigint not null,
    constraint event_position_pkey primary key (last_position, aggregate)
);
create index event_position_aggregate on event_position (aggregate, last_position);

call isolate('event_position', '');
call open_to_system('event_position', 'select, insert');
