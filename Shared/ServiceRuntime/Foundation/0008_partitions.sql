-- Partitions by month, made ahead of time by the service, whose roles may create nothing.

-- Makes the partition of a month, `<table>_2026_11`, when there is none. For a table of this schema `partition by range` of a time.
-- Runs as the owner, and gives nobody more than that: which tables are partitioned is a migration's matter, and rows are reached through
-- them alone. The partition is made beside the table and attached when it is ready, which no reader or writer waits for.
create function make_partition(target regclass, month date) returns void language plpgsql volatile
security definer set search_path = '' set timezone = 'UTC' as $$
declare
    home text;
    bare text;
    first date := date_trunc('month', month)::date;
    name text;
begin
    select nspname, relname into home, bare
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where pg_class.oid = target and relkind = 'p' and relowner = current_user::regrole;
    if not found or first not between now() - interval '10 years' and now() + interval '2 years' then
        raise exception 'no partition of %, %', target, month using errcode = 'insufficient_privilege';
    end if;
    name := bare || to_char(first, '_YYYY_MM');
    perform pg_advisory_xact_lock(hashtextextended('partition ' || home || '.' || name, 0));
    if to_regclass(format('%I.%I', home, name)) is not null then return; end if;
    execute format('create table %I.%I (like %s including all excluding identity)', home, name, target);
    -- Until the end of the function, whose own setting this is.
    perform set_config('search_path', format('%I, pg_temp', home), true);
    call isolate(format('%I.%I', home, name)::regclass, '');
    execute format(
        'alter table %s attach partition %I.%I for values from (%L) to (%L)', target, home, name, first, first + interval '1 month');
end
$$;
revoke all on function make_partition(regclass, date) from public;
do $$ begin
    execute format(
        'grant execute on function make_partition(regclass, date) to %I, %I',
        'martlet_' || current_schema(), 'martlet_' || current_schema() || '_system');
end $$;
