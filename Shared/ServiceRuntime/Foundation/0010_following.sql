-- How a service follows the log of events in activity, for its copies of what others know (Shared/Decisions/0023).

-- Up to where the log was followed for each of the copies. It moves in the transaction that applies what is before it. A copy's follower makes its row.
create table log_follower (
    -- The kind of records that are copied: `member`.
    aggregate text not null,
    position bigint not null default 0,
    -- The form of the copies, as the release says that made them: another one renews them from the owner of the records. 0 is none.
    format integer not null default 0,
    -- While they are renewed, up to where in its own order the owner has told of its records: empty at the beginning. Null when they are whole.
    renewed_to text,
    constraint log_follower_pkey primary key (aggregate)
);

-- Events that could not be applied, with the reason: for a person to look at. What they say is in activity under their ids, and not here too: it may be
-- a customer's words, under the field rules of another service. Kept for 90 days, as events that activity refused are.
create table followed_dead_letter (
    tenant_id uuid not null,
    position bigint not null,
    event_id uuid not null,
    kind text not null,
    aggregate_id text not null,
    reason text not null,
    set_aside_at timestamptz(3) not null default now(),
    constraint followed_dead_letter_pkey primary key (tenant_id, position)
);
call isolate('followed_dead_letter', 'select');
call open_to_system('followed_dead_letter', 'select, insert, delete');

-- Records in doubt: of which an event tells nothing, as it was refused, set aside or erased, or of which there was no copy to be changed. There is
-- none until their owner was asked.
create table followed_doubt (
    tenant_id uuid not null,
    aggregate text not null,
    record_id text not null,
    constraint followed_doubt_pkey primary key (tenant_id, aggregate, record_id)
);
call isolate('followed_doubt', '');
call open_to_system('followed_doubt', 'select, insert, delete');

do $do$ begin
    execute format('grant select, insert, update on log_follower to %I', 'martlet_' || current_schema() || '_system');
    -- Holds a lease to the end of the transaction, or fails it.
    execute format($f$
        create function hold_lease(held text, holder bigint) returns void language plpgsql volatile as $$
        begin
            perform from %1$I.lease where name = held and fence = holder for share;
            if not found then raise exception 'another process has taken the lease %%', held using errcode = 'MR003'; end if;
        end
        $$
    $f$, current_schema());
end $do$;
