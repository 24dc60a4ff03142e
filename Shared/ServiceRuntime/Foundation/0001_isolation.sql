-- What keeps tenants apart, and how a migration reads and changes their rows all the same. All files here run as martlet_<service>_owner
-- with the service's schema first on the search path: they are what every service's schema has.

-- Puts a table under tenant isolation: forced row security, so that a statement sees and writes only rows of the tenant in
-- app.tenant, and rights for the runtime role. A missing tenant matches nothing (nullif), and the sub-select is evaluated
-- once a statement. Every table with a tenant_id gets it; the service refuses to start when one lacks it. Without rights (an empty
-- text) the table is reached through another one only.
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
    if rights <> '' then execute format('grant %s on %s to %I', rights, target, runtime); end if;
    call open_to_migrations(target);
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

-- The owner of a table is under forced row security as everybody else, so without more a migration's update would find no row and say
-- nothing, and a new foreign key would be taken for valid unchecked. This is his policy, beside that of isolate.
create procedure open_to_migrations(target regclass) language plpgsql as $$
begin
    execute format(
        'create policy migration on %s to %s using ((select is_amending())) with check ((select is_amending()))',
        target, (select relowner::regrole from pg_class where oid = target));
end
$$;

-- Whether this transaction is one that changes rows of tenants, for the owner's policy; says what to do when it is not. So a migration
-- that forgot it fails where there are rows; without any it has nothing to miss. A function that runs as the owner never is: who calls
-- it can set what he likes.
create function is_amending() returns boolean language plpgsql stable as $$
begin
    if current_setting('app.amending', true) = 'on' and session_user = current_user then return true; end if;
    raise exception 'a migration that reads, changes or refers to rows of tenants begins with: call amend()'
        using errcode = 'insufficient_privilege';
end
$$;

-- From here to the end of the transaction a migration sees all rows of all tenants, and may change them: audited as done by
-- `migration`, and held to no plan's limit. Nobody but the owner of the tables gains anything by it.
create procedure amend() language plpgsql as $$
begin
    perform set_config('app.amending', 'on', true), set_config('app.user', 'migration', true),
        set_config('app.tenant', '', true), set_config('app.limits', '', true);
end
$$;

-- Changes the rows that meet a condition, some at a time and each time in a transaction of its own, so that requests wait for no more
-- than that: `call amend_in_steps('lead', 'source = ''import'', version = version + 1', 'source is null')`. For a migration that
-- runs outside of a transaction. The condition must not hold for a row that was changed: after a break it is simply called again.
-- Goes through the table once, by its key (tenant_id, id); what releases of today write meanwhile must come right by itself.
create procedure amend_in_steps(target regclass, assignments text, condition text, step integer default 200) language plpgsql as $$
declare
    last_tenant uuid := '00000000-0000-0000-0000-000000000000';
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    tenants uuid[];
    ids uuid[];
    changed bigint;
begin
    loop
        call amend();
        execute format(
            'select array_agg(tenant_id), array_agg(id) from ('
            'select tenant_id, id from %s where (tenant_id, id) > ($1, $2) and (%s) order by tenant_id, id limit $3) as next',
            target, condition)
            into tenants, ids using last_tenant, last_id, step;
        exit when ids is null;
        -- Rows that a request holds are left for later: who waits for one while holding others can be waited for in a circle.
        execute format(
            'with free as (select tenant_id, id from %1$s where (tenant_id, id) in (select * from unnest($1, $2)) and (%2$s) '
            'for no key update skip locked) '
            'update %1$s set %3$s where (tenant_id, id) in (select tenant_id, id from free)',
            target, condition, assignments)
            using tenants, ids;
        get diagnostics changed = row_count;
        commit;
        if changed < cardinality(ids) then
            for place in 1 .. cardinality(ids) loop
                call amend();
                execute format('update %s set %s where tenant_id = $1 and id = $2 and (%s)', target, assignments, condition)
                    using tenants[place], ids[place];
                commit;
            end loop;
        end if;
        last_tenant := tenants[cardinality(tenants)];
        last_id := ids[cardinality(ids)];
    end loop;
end
$$;
