-- Every change, until it is in the trail. What an entry holds: the members of the API's object that a change has changed, before and after.
-- Each audited table gets a trigger function of its own, made from its columns: it compares them one by one, which takes less than half of
-- the time that two whole rows as JSON took (Shared/Decisions/0012). It names its schema, so that a change made with another search
-- path is filed at home.

-- Every change of a tenant's data, until the relay has handed it to activity. The columns are those that Debezium's outbox
-- router reads. A queue across tenants, so its key is the order and not the tenant: that of each lane.
create table outbox (
    id bigint generated always as identity,
    event_id uuid not null default uuid_v7(),
    tenant_id uuid not null,
    aggregatetype text not null,
    aggregateid text not null,
    type text not null,
    payload jsonb not null,
    actor text not null,
    request_id text not null,
    occurred_at timestamptz(3) not null default clock_timestamp(),
    -- A tenant's events are all in one of 64 lanes, and each lane is read by itself: a tenant with many events delays those of no other.
    lane smallint not null,
    constraint outbox_pkey primary key (lane, id)
)
-- Rows live for moments, so a share of the table says nothing of how many are dead.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000, autovacuum_vacuum_cost_delay = 0);

-- The lane of a tenant's events. What inserts them says it: a generated column is read and planned anew by each insert.
create function outbox_lane(tenant uuid) returns smallint language sql immutable strict parallel safe as $$
    select (uuid_hash(tenant) & 63)::smallint
$$;

-- Events that activity refused, with its reason: for a person to look at. Kept for 90 days: long enough to mend what was refused, and
-- no longer than the erasure of a person's data may take.
create table outbox_dead_letter (
    like outbox,
    reason text not null,
    set_aside_at timestamptz(3) not null default now(),
    constraint outbox_dead_letter_pkey primary key (tenant_id, id)
);

call isolate('outbox', 'insert');
call open_to_system('outbox', 'select, insert, delete');
call isolate('outbox_dead_letter', 'select');
call open_to_system('outbox_dead_letter', 'select, insert, delete');

-- Of two values that differ the new one; of two objects the members that differ, one that is gone as null: the merge patch (RFC 7396)
-- that makes the new one of the old one.
do $do$ begin
    execute format($f$
        create function changed_members(old jsonb, new jsonb) returns jsonb language sql immutable parallel safe as $$
            select case when jsonb_typeof(old) = 'object' and jsonb_typeof(new) = 'object' then (
                select coalesce(jsonb_object_agg(key, %1$I.changed_members(old -> key, new -> key)), '{}')
                from (select jsonb_object_keys(old) as key union select jsonb_object_keys(new)) as keys
                where coalesce(old -> key, 'null') <> coalesce(new -> key, 'null')
            ) else coalesce(new, 'null') end
        $$
    $f$, current_schema());
    -- Adds an event that no row change stands for, such as security.refresh_reused.
    execute format($f$
        create function emit_event(kind text, aggregate text, aggregate_id text, body jsonb) returns void language sql volatile as $$
            insert into %1$I.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
            values (
                nullif(current_setting('app.tenant', true), '')::uuid, aggregate, aggregate_id, kind, body,
                coalesce(nullif(current_setting('app.user', true), ''), 'system'),
                coalesce(current_setting('app.request', true), ''),
                %1$I.outbox_lane(nullif(current_setting('app.tenant', true), '')::uuid))
        $$
    $f$, current_schema());
end $do$;

-- A row trigger sees no truncation, so a table whose changes are recorded allows none.
create function refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception 'the table % cannot be truncated: its changes are recorded', tg_relid::regclass using errcode = '42501';
end
$$;

-- The columns of a table but for those, with their types; of a domain the type that it is made of.
create function shown_columns(target regclass, unseen text[], out number smallint, out name name, out base regtype) returns setof record
language sql stable as $$
    select attnum, attname, case typbasetype when 0 then atttypid else typbasetype end
    from pg_attribute join pg_type on pg_type.oid = atttypid
    where attrelid = target and attnum > 0 and not attisdropped and attname <> all (unseen)
$$;

-- Records every change of a table's rows in the outbox, as events `<aggregate>.created`, `updated`, `deleted`, `restored` and `erased`, and of
-- records that can be merged `merged` and `unmerged`, which name what they were merged into;
-- leaves out the columns named, beside those that no object of the API has. A migration that adds a column calls it again: a new column
-- is not in the trail before. An update that changes no member but version, updated_at and updated_by makes no entry.
create procedure audited(target regclass, aggregate text, variadic hidden text[] default '{}') language plpgsql as $$
declare
    home text := current_schema();
    bare text := (select relname from pg_class where oid = target);
    unseen text[] := array['tenant_id', 'deleted_at', 'merged_into_id', 'search'] || hidden;
    bookkeeping text[] := array['version', 'updated_at', 'updated_by'];
    has_deletion boolean := exists (select from pg_attribute where attrelid = target and attname = 'deleted_at' and not attisdropped);
    has_merging boolean := exists (select from pg_attribute where attrelid = target and attname = 'merged_into_id' and not attisdropped);
    merging constant text :=
        ' if %1$s.merged_into_id is not null then action := %2$L;'
        ' before := before || jsonb_build_object(''merged_into_id'', old.merged_into_id);'
        ' after := after || jsonb_build_object(''merged_into_id'', new.merged_into_id); end if;';
    whole text;
    comparisons text;
    bookkept text;
begin
    -- The function jsonb_build_object takes a hundred arguments at most, so a whole row is joined from parts of twenty members.
    select string_agg('jsonb_build_object(' || members || ')', ' || ' order by part) into whole
    from (
        select part, string_agg(format('%L, ', name) || value, ', ' order by number) as members
        from (
            select number, name, (row_number() over (order by number) - 1) / 20 as part,
                case base when 'timestamptz'::regtype then format('%I.rfc3339(ROW.%I)', home, name)
                    when 'numeric'::regtype then format('ROW.%I::text', name) else format('ROW.%I', name) end as value
            from shown_columns(target, unseen)
        ) as shown
        group by part
    ) as parts;
    select
        string_agg(comparison, E'\n' order by number) filter (where name <> all (bookkeeping)),
        string_agg(comparison, E'\n' order by number) filter (where name = any (bookkeeping))
    into comparisons, bookkept
    from (
        select number, name, format(
            'if old.%1$I is distinct from new.%1$I then'
            ' before := before || jsonb_build_object(%1$L, %2$s); after := after || jsonb_build_object(%1$L, %3$s); end if;',
            name,
            case base when 'timestamptz'::regtype then format('%I.rfc3339(old.%I)', home, name)
                when 'numeric'::regtype then format('old.%I::text', name)
                when 'jsonb'::regtype then format('%1$I.changed_members(new.%2$I, old.%2$I)', home, name)
                else format('old.%I', name) end,
            case base when 'timestamptz'::regtype then format('%I.rfc3339(new.%I)', home, name)
                when 'numeric'::regtype then format('new.%I::text', name)
                when 'jsonb'::regtype then format('%1$I.changed_members(old.%2$I, new.%2$I)', home, name)
                else format('new.%I', name) end) as comparison
        from shown_columns(target, unseen)
    ) as compared;
    execute format($f$
        create or replace function %1$I.%2$I() returns trigger language plpgsql as $body$
        -- Not shown: %8$s.
        declare
            before jsonb := '{}';
            after jsonb := '{}';
            action text := 'updated';
        begin
            if tg_op = 'UPDATE' then
                %7$s
                %5$s
                if before = '{}' and action = 'updated' then return null; end if;
                %6$s
            elsif tg_op = 'INSERT' then
                action := 'created';
                before := null;
                after := %3$s;
            else
                action := 'erased';
                before := %4$s;
                after := null;
            end if;
            insert into %1$I.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
            values (
                coalesce(new.tenant_id, old.tenant_id), %9$L, coalesce(new.id, old.id), %10$L || action, jsonb_build_object('before', before, 'after', after),
                coalesce(nullif(current_setting('app.user', true), ''), 'system'),
                coalesce(current_setting('app.request', true), ''), %1$I.outbox_lane(coalesce(new.tenant_id, old.tenant_id)));
            return null;
        end
        $body$
    $f$, home, bare || '_audit', replace(whole, 'ROW', 'new'), replace(whole, 'ROW', 'old'), coalesce(comparisons, ''), coalesce(bookkept, ''),
        case when has_deletion then
            'if old.deleted_at is null and new.deleted_at is not null then action := ''deleted'';'
            || case when has_merging then format(merging, 'new', 'merged') else '' end
            || ' elsif old.deleted_at is not null and new.deleted_at is null then action := ''restored'';'
            || case when has_merging then format(merging, 'old', 'unmerged') else '' end || ' end if;'
        else '' end,
        array_to_string(unseen, ', '), aggregate, aggregate || '.');
    execute format('drop trigger if exists audit on %I.%I', home, bare);
    execute format(
        'create trigger audit after insert or update or delete on %1$I.%2$I for each row execute function %1$I.%3$I()',
        home, bare, bare || '_audit');
    execute format('drop trigger if exists keep on %I.%I', home, bare);
    execute format(
        'create trigger keep before truncate on %1$I.%2$I for each statement execute function %1$I.refuse_truncate()', home, bare);
end
$$;

create trigger keep before truncate on outbox for each statement execute function refuse_truncate();
create trigger keep before truncate on outbox_dead_letter for each statement execute function refuse_truncate();
