-- What a resource's lists are found by (Shared/Decisions/0016, 0019).

-- The indexes of a resource's lists: `call listed('lead', owner => 'owner_id', orders => '{last_name, score}', filters => '{status}')`.
--
-- `owner` is the column that says whose record it is, where that is not whoever has made it; `orders` are the columns that lists are sorted
-- by beside created_at and updated_at, `filters` those that are compared and neither sorted by nor texts: of these the values, and
-- what they begin with, are among the words of `search`. `phones` are telephone numbers that are compared, each with its column
-- <name>_e164. Another column is added by an index of its own that is made like these.
create procedure listed(
    target regclass, owner text default null, orders text[] default '{}', filters text[] default '{}', phones text[] default '{}'
) language plpgsql as $$
declare
    home text := current_schema();
    bare text := (select relname from pg_class where oid = target);
    name text;
    key text;
begin
    -- Each order, of live records and of deleted ones; texts by the root of the Unicode collation.
    foreach name in array '{created_at, updated_at}' || orders loop
        key := quote_ident(name) || case
            when (select atttypid = 'text'::regtype from pg_attribute where attrelid = target and attname = name)
            then ' collate "und-x-icu"' else '' end;
        execute format('create index %I on %I.%I (tenant_id, %s, id) where deleted_at is null', bare || '_' || name, home, bare, key);
        execute format(
            'create index %I on %I.%I (tenant_id, %s, id) where deleted_at is not null', bare || '_deleted_' || name, home, bare, key);
    end loop;
    -- Each filter by one value, in the order of creation.
    foreach name in array filters loop
        execute format(
            'create index %I on %I.%I (tenant_id, %I, created_at, id) where deleted_at is null', bare || '_' || name, home, bare, name);
    end loop;
    -- Each telephone number, however it is written: in E.164, or as given where it cannot be read. In the order of creation, of live records
    -- that have one and of deleted ones.
    foreach name in array phones loop
        foreach key in array '{"", "deleted_"}'::text[] loop
            execute format(
                'create index %1$I on %2$I.%3$I (tenant_id, (case when %5$I is null then %4$I else %5$I end), created_at, id) '
                'where deleted_at is %6$s and %4$I is not null',
                bare || '_' || key || name, home, bare, name, name || '_e164', case when key = '' then 'null' else 'not null' end);
        end loop;
    end loop;
    if owner is not null then
        -- Whose record it is: the owner's, or while it has none, whoever has made it. A case and no coalesce, which the server takes for
        -- leaky: under row security no index would serve it.
        execute format(
            'create index %1$I on %2$I.%3$I (tenant_id, (case when %4$I is null then created_by else %4$I end), created_at, id) '
            'where deleted_at is null',
            bare || '_' || owner, home, bare, owner);
        -- What nobody owns.
        execute format(
            'create index %I on %I.%I (tenant_id, created_at, id) where deleted_at is null and %I is null',
            bare || '_no_' || owner, home, bare, owner);
    end if;
    -- Another system's id is one live record's; of a deleted one it is free again.
    execute format(
        'create unique index %I on %I.%I (tenant_id, external_id) where deleted_at is null and external_id is not null',
        bare || '_external_id_unique', home, bare);
    execute format(
        'create index %I on %I.%I (tenant_id, external_id) where deleted_at is not null and external_id is not null',
        bare || '_deleted_external_id', home, bare);
end
$$;
