-- A ticket takes its number when it is really inserted: an upsert that changes one takes none.

-- What limited() made beside the trigger that 0002 dropped.
drop trigger if exists plan_limit_change on ticket;
drop trigger if exists plan_limit_erase on ticket;

-- The highest number of tickets that are there no longer, so that none is given twice; nearly always there is no row.
comment on table ticket_counter is 'The highest number of an erased ticket.';

-- A row that turns out to be there already leaves no trace of the number it was offered: the next number is the one after the highest
-- of the table, which also sees the rows that the same statement has inserted so far. So numbers are in the order of the rows, without
-- a gap. The lock lets creations of one tenant go one after another; a query after it sees what was committed before. No row is
-- changed for a number, so a snapshot that stays open for long (a dump) leaves no trail of dead versions to walk through.
create or replace function number_ticket() returns trigger language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('ticket number ' || new.tenant_id, 0));
    select 1 + greatest(
        (select number from ticket where tenant_id = new.tenant_id order by number desc limit 1),
        (select last from ticket_counter where tenant_id = new.tenant_id), 0)
    into new.number;
    return new;
end
$$;

create function keep_ticket_number() returns trigger language plpgsql volatile as $$
begin
    insert into ticket_counter as counter (tenant_id, last) values (old.tenant_id, old.number)
    on conflict (tenant_id) do update set last = excluded.last where counter.last < excluded.last;
    return null;
end
$$;
create trigger keep_number after delete on ticket for each row execute function keep_ticket_number();
