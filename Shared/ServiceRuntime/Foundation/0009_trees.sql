-- Trees: records of which each is below at most one other of its kind.

-- Holds a table's rows to trees of 50 levels at most by their column `parent`, whatever is written at the same moment: `call nested('account',
-- 'parent_id')`. Looks only when a row comes below another one, or comes back from being deleted. The tenant's changes of its tree go one
-- after another, by a lock that other writes do not take; what was committed while one waited is seen, as the function is volatile.
--
-- What is below a deleted row is not counted until that row comes back, since the index of the rows below one has live ones only; what is above is
-- walked through deleted rows too, so that a row that comes back closes no circle.
create procedure nested(target regclass, parent text) language plpgsql as $$
declare
    home text := current_schema();
    bare text := (select relname from pg_class where oid = target);
begin
    -- Each step looks up one row, or those below one, by an index: `offset 0` keeps the server from reading the whole table instead.
    execute format($f$
        create function %1$I.%3$I() returns trigger language plpgsql volatile as $body$
        declare
            levels_above integer;
            levels_below integer := 0;
            is_above_itself boolean;
        begin
            if new.%4$I is null then return new; end if;
            if tg_op = 'UPDATE' then
                if new.%4$I is not distinct from old.%4$I and (old.deleted_at is null or new.deleted_at is not null) then return new; end if;
            end if;
            perform pg_advisory_xact_lock(hashtextextended(%5$L || new.tenant_id, 0));
            with recursive above (id, level) as (
                select new.%4$I, 1
                union all
                select next.%4$I, level + 1
                from above cross join lateral (
                    select %4$I from %1$I.%2$I where tenant_id = new.tenant_id and id = above.id and %4$I is not null offset 0) as next
                where above.id <> new.id
            )
            select max(level), bool_or(id = new.id) into levels_above, is_above_itself from above;
            if is_above_itself then
                raise exception 'a row would be above itself' using errcode = 'MR002', constraint = %6$L;
            end if;
            if tg_op = 'UPDATE' then
                with recursive below (id, level) as (
                    select new.id, 0
                    union all
                    select next.id, level + 1
                    from below cross join lateral (
                        select id from %1$I.%2$I where tenant_id = new.tenant_id and %4$I = below.id and deleted_at is null offset 0) as next
                    where level < 50
                )
                select max(level) into levels_below from below;
            end if;
            if levels_above + 1 + levels_below > 50 then
                raise exception 'a tree would have more than 50 levels' using errcode = 'MR002', constraint = %7$L;
            end if;
            return new;
        end
        $body$
    $f$, home, bare, bare || '_nested', parent, bare || ' tree ', format('%s_%s_cycle', bare, parent), format('%s_%s_depth', bare, parent));
    execute format(
        'create trigger nested before insert or update of %3$I, deleted_at on %1$I.%2$I for each row execute function %1$I.%4$I()',
        home, bare, parent, bare || '_nested');
end
$$;
