-- What every service's schema has: the outbox with the trigger that fills it, idempotency keys, and the means to make a table
-- safe for many tenants. Runs as martlet_<service>_owner with the service's schema first on the search path.

-- An id that sorts by time (RFC 9562, UUIDv7), for rows that the database makes itself.
create function uuid_v7() returns uuid language sql volatile as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- Every change of a tenant's data, until the relay has handed it to activity. The columns are those that Debezium's outbox
-- router reads. A queue across tenants, so its key is the order and not the tenant.
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
    constraint outbox_pkey primary key (id)
);

-- Events that activity refused, with its reason: for a person to look at. Put back with an insert into outbox.
create table outbox_dead_letter (
    id bigint not null,
    event_id uuid not null,
    tenant_id uuid not null,
    aggregatetype text not null,
    aggregateid text not null,
    type text not null,
    payload jsonb not null,
    actor text not null,
    request_id text not null,
    occurred_at timestamptz(3) not null,
    reason text not null,
    constraint outbox_dead_letter_pkey primary key (tenant_id, id)
);

-- One row for each write that carried an Idempotency-Key, inserted in the write's own transaction.
create table idempotency_key (
    tenant_id uuid not null,
    caller uuid not null,
    route text not null,
    key text not null,
    -- SHA-256 of method, path, query and body: another payload under the same key is refused.
    fingerprint text not null,
    status integer not null,
    -- What the answer is made from again: the columns of the written row as text, or one element that is the body.
    answer text[] not null,
    created_at timestamptz(3) not null default now(),
    constraint idempotency_key_pkey primary key (tenant_id, caller, route, key)
);
create index idempotency_key_age on idempotency_key (created_at);

-- Adds an event that no row change stands for, such as security.refresh_reused.
create function emit_event(kind text, aggregate text, aggregate_id text, body jsonb) returns void language sql volatile as $$
    insert into outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id)
    values (
        nullif(current_setting('app.tenant', true), '')::uuid, aggregate, aggregate_id, kind, body,
        coalesce(nullif(current_setting('app.user', true), ''), 'system'),
        coalesce(current_setting('app.request', true), ''))
$$;

-- Writes one outbox row for each changed row. Arguments: the aggregate's name, then columns to leave out (derived or secret).
create function audit() returns trigger language plpgsql as $$
declare
    hidden text[] := tg_argv[1:];
    old_row jsonb;
    new_row jsonb;
    action text;
begin
    if tg_op <> 'INSERT' then old_row := to_jsonb(old) - hidden; end if;
    if tg_op <> 'DELETE' then new_row := to_jsonb(new) - hidden; end if;
    action := case
        when tg_op = 'INSERT' then 'created'
        when tg_op = 'DELETE' then 'erased'
        when old_row ->> 'deleted_at' is null and new_row ->> 'deleted_at' is not null then 'deleted'
        when old_row ->> 'deleted_at' is not null and new_row ->> 'deleted_at' is null then 'restored'
        else 'updated'
    end;
    insert into outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id)
    values (
        (coalesce(new_row, old_row) ->> 'tenant_id')::uuid, tg_argv[0], coalesce(new_row, old_row) ->> 'id', tg_argv[0] || '.' || action,
        jsonb_build_object('before', old_row, 'after', new_row),
        coalesce(nullif(current_setting('app.user', true), ''), 'system'),
        coalesce(current_setting('app.request', true), ''));
    return null;
end
$$;

-- Refuses a new live row when the tenant's plan has no room. Argument: the limit's name in app.limits (`leads=100&users=1`).
-- The lock makes the count exact: creations of one limited tenant go one after another, and each statement of a volatile
-- function sees what was committed before it.
create function enforce_limit() returns trigger language plpgsql volatile as $$
declare
    maximum bigint := substring(current_setting('app.limits', true) from '(?:^|&)' || tg_argv[0] || '=([0-9]+)')::bigint;
    present bigint;
begin
    if maximum is null or new.deleted_at is not null or (tg_op = 'UPDATE' and old.deleted_at is null) then return new; end if;
    perform pg_advisory_xact_lock(hashtextextended(tg_argv[0] || new.tenant_id, 0));
    execute format(
        'select count(*) from (select from %I.%I where tenant_id = $1 and deleted_at is null limit $2) as live',
        tg_table_schema, tg_table_name)
        into present using new.tenant_id, maximum;
    if present >= maximum then
        raise exception 'plan limit reached' using errcode = 'MR001', constraint = 'plan_limit_' || tg_argv[0];
    end if;
    return new;
end
$$;

-- Puts a table under tenant isolation: forced row security, so that a statement sees and writes only rows of the tenant in
-- app.tenant, and rights for the runtime role. A missing tenant matches nothing (nullif), and the sub-select is evaluated
-- once a statement. Every table with a tenant_id gets it; the service refuses to start when one lacks it.
create procedure isolate(target regclass, rights text default 'select, insert, update') language plpgsql as $$
declare
    runtime text := 'martlet_' || current_schema();
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format(
        'create policy tenant on %s to %I '
        'using (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid)) '
        'with check (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))',
        target, runtime);
    execute format('grant %s on %s to %I', rights, target, runtime);
end
$$;

-- Opens a table to the system role: the one that acts for no tenant.
create procedure open_to_system(target regclass, rights text) language plpgsql as $$
declare
    role text := 'martlet_' || current_schema() || '_system';
begin
    execute format('create policy system on %s to %I using (true) with check (true)', target, role);
    execute format('grant %s on %s to %I', rights, target, role);
end
$$;

-- Records every change of a table's rows in the outbox.
create procedure audited(target regclass, aggregate text, variadic hidden text[] default '{}') language plpgsql as $$
declare
    arguments text := (select string_agg(quote_literal(a), ', ') from unnest(array[aggregate] || hidden) as a);
begin
    execute format('create trigger audit after insert or update or delete on %s for each row execute function audit(%s)', target, arguments);
end
$$;

-- Holds a table's live rows to the limit of the tenant's plan.
create procedure limited(target regclass, limit_name text) language plpgsql as $$
begin
    execute format(
        'create trigger plan_limit before insert or update of deleted_at on %s for each row execute function enforce_limit(%L)',
        target, limit_name);
end
$$;

-- What people type, as a query: words, "phrases", -exclusions and or; the last word also finds longer words, so that a search
-- can be shown while it is typed.
create function search_query(query text) returns tsquery language sql immutable strict parallel safe as $$
    select case
        when query ~ '[[:alnum:]]$' and words::text like '%''' then (words::text || ':*')::tsquery
        else words
    end
    from websearch_to_tsquery('pg_catalog.simple', query) as words
$$;

-- The number of members of an object, for check constraints.
create function key_count(object jsonb) returns bigint language sql immutable strict parallel safe as $$
    select count(*) from jsonb_object_keys(object)
$$;

-- Makes the function `<table>_search(query text) returns setof uuid`: the ids of the tenant's rows, deleted ones too, whose column
-- `search` matches. The operator @@ is not leakproof, so under row security it could not use the index on (tenant_id, search).
-- Therefore the function runs as the search role, whose policy on this table is open, and names the tenant itself: nobody can
-- ask it for another tenant, and without one it finds nothing.
create procedure searchable(target regclass) language plpgsql as $$
declare
    home text := current_schema();
    searcher text := 'martlet_' || home || '_search';
    bare text := (select relname from pg_class where oid = target);
begin
    execute format('create policy search on %I.%I for select to %I using (true)', home, bare, searcher);
    execute format('grant select (tenant_id, id, search) on %I.%I to %I', home, bare, searcher);
    execute format(
        'create function %1$I.%2$I(query text) returns setof uuid language sql stable strict security definer set search_path = '''' as '
        '$body$ select id from %1$I.%3$I where tenant_id = nullif(current_setting(''app.tenant'', true), '''')::uuid '
        'and search operator(pg_catalog.@@) %1$I.search_query(query) $body$',
        home, bare || '_search', bare);
    execute format('revoke all on function %I.%I(text) from public', home, bare || '_search');
    execute format('grant execute on function %I.%I(text) to %I', home, bare || '_search', 'martlet_' || home);
    -- A new owner must be allowed to create in the schema at that moment.
    execute format('grant create on schema %I to %I', home, searcher);
    execute format('alter function %I.%I(text) owner to %I', home, bare || '_search', searcher);
    execute format('revoke create on schema %I from %I', home, searcher);
end
$$;

call isolate('outbox', 'insert');
call open_to_system('outbox', 'select, insert, delete');
call isolate('outbox_dead_letter', 'select');
call open_to_system('outbox_dead_letter', 'select, insert, delete');
call isolate('idempotency_key', 'select, insert');
call open_to_system('idempotency_key', 'select, delete');
