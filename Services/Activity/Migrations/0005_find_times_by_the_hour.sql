-- Between which sequence numbers the events of an hour are: a range of time becomes a range of the log, which every filter's index
-- ends with. An index of all times took 40 bytes an entry for it.
create table event_hour (
    tenant_id uuid not null,
    hour timestamptz(0) not null,
    first_sequence bigint not null,
    last_sequence bigint not null,
    constraint event_hour_pkey primary key (tenant_id, hour)
);
call isolate('event_hour', 'select');
call open_to_system('event_hour', 'select, insert, update');

insert into event_hour
select tenant_id, date_trunc('hour', occurred_at, 'UTC'), min(sequence), max(sequence) from event group by 1, 2;
drop index event_time;
