-- Limits of plans by a counter of live rows: what a limit of 100 costs, one of 1,000,000 costs too, and a write that only changes rows
-- takes none of it.

-- The live rows of tenants that have a limit, by the limit's name. A tenant without that limit has no row here, so its writes do not
-- queue for one. Room is left in the pages, so that the versions of a busy row stay beside each other and are cleared away by the
-- next writer.
create table limit_counter (
    tenant_id uuid not null,
    name text not null,
    live bigint not null,
    constraint limit_counter_pkey primary key (tenant_id, name)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
call isolate('limit_counter', 'select, insert, update, delete');

-- The functions name their schema: what is written with another search path is counted at home too.
do $do$ begin
execute format($f$
-- Adds to the count of a tenant's live rows, and refuses what its plan has no room for.
--
-- Exact, because of who waits for whom:
-- - With a limit, writers wait for each other at the counter's row.
-- - Without a row the first of them counts, alone: it holds the lock, which every other writer that finds no row asks for as well,
--   so what it does not see is added by its writer afterwards, to the row that it finds then.
-- - Without a limit (another plan, or a migration) nothing is counted, so the row goes, and a later limit counts anew. Such writers
--   share the lock: they do not wait for each other, and whoever counts waits for them.
-- The statements see what was committed while they waited, as the function is volatile and transactions are read committed.
--
-- Returns whether it has counted the rows themselves, all that the statement has changed among them.
create function %1$I.count_live(target regclass, limit_name text, tenant uuid, change bigint) returns boolean language plpgsql volatile as $$
declare
    maximum bigint := substring(current_setting('app.limits', true) from '(?:^|&)' || limit_name || '=([0-9]+)')::bigint;
    lock bigint := hashtextextended(limit_name || tenant, 0);
    total bigint;
    is_counted boolean := false;
begin
    if maximum is null then
        perform pg_advisory_xact_lock_shared(lock);
        delete from %1$I.limit_counter where tenant_id = tenant and name = limit_name;
        return false;
    end if;
    update %1$I.limit_counter set live = live + change where tenant_id = tenant and name = limit_name returning live into total;
    if not found then
        perform pg_advisory_xact_lock(lock);
        update %1$I.limit_counter set live = live + change where tenant_id = tenant and name = limit_name returning live into total;
        if not found and change > 0 then
            -- More than the limit need not be counted: it is refused, and the count with it.
            execute format('select count(*) from (select from %%s where tenant_id = $1 and deleted_at is null limit $2) as live', target)
                into total using tenant, maximum + 1;
            insert into %1$I.limit_counter (tenant_id, name, live) values (tenant, limit_name, total);
            is_counted := true;
        end if;
    end if;
    if change > 0 and total > maximum then
        raise exception 'plan limit reached' using errcode = 'MR001', constraint = 'plan_limit_' || limit_name;
    end if;
    return is_counted;
end
$$;

-- Counts the rows that a statement really inserted, all at once. Argument: the limit's name in app.limits (`leads=100&users=1`).
create function %1$I.enforce_limit() returns trigger language plpgsql volatile as $$
declare
    tenant uuid := nullif(current_setting('app.tenant', true), '')::uuid;
    share record;
begin
    if tenant is not null and strpos('&' || coalesce(current_setting('app.limits', true), ''), '&' || tg_argv[0] || '=') = 0 then
        -- Most inserts there are: count_live without a limit, here because calling it and counting would cost as much again.
        perform pg_advisory_xact_lock_shared(hashtextextended(tg_argv[0] || tenant, 0));
        delete from %1$I.limit_counter where tenant_id = tenant and name = tg_argv[0];
        return null;
    end if;
    for share in select tenant_id, count(*) as rows from added where deleted_at is null group by tenant_id order by tenant_id loop
        perform %1$I.count_live(tg_relid, tg_argv[0], share.tenant_id, share.rows);
    end loop;
    return null;
end
$$;

-- Counts a row that was deleted, restored or erased. Of a statement that restores many rows the first one may count all of them; the
-- others are told so by a setting, which the end of the statement clears.
create function %1$I.enforce_limit_of_change() returns trigger language plpgsql volatile as $$
begin
    if tg_level = 'STATEMENT' then
        if current_setting('app.counted', true) <> '' then perform set_config('app.counted', '', true); end if;
    elsif tg_op = 'UPDATE' and new.deleted_at is null then
        if current_setting('app.counted', true) = tg_argv[0] || new.tenant_id then return null; end if;
        if %1$I.count_live(tg_relid, tg_argv[0], new.tenant_id, 1) then
            perform set_config('app.counted', tg_argv[0] || new.tenant_id, true);
        end if;
    elsif tg_op = 'DELETE' or current_setting('app.counted', true) is distinct from tg_argv[0] || old.tenant_id then
        perform %1$I.count_live(tg_relid, tg_argv[0], old.tenant_id, -1);
    end if;
    return null;
end
$$;
$f$, current_schema());
end $do$;

-- Holds a table's live rows to the limit of the tenant's plan; a limit is one table's. A change of other columns fires none of these
-- triggers.
create procedure limited(target regclass, limit_name text) language plpgsql as $$
begin
    execute format(
        'create trigger plan_limit after insert on %s referencing new table as added '
        'for each statement execute function enforce_limit(%L)',
        target, limit_name);
    execute format(
        'create trigger plan_limit_change after update of deleted_at on %s for each row '
        'when ((old.deleted_at is null) <> (new.deleted_at is null)) execute function enforce_limit_of_change(%L)',
        target, limit_name);
    execute format(
        'create trigger plan_limit_change_end after update of deleted_at on %s for each statement '
        'execute function enforce_limit_of_change(%L)',
        target, limit_name);
    execute format(
        'create trigger plan_limit_erase after delete on %s for each row '
        'when (old.deleted_at is null) execute function enforce_limit_of_change(%L)',
        target, limit_name);
end
$$;
