-- Pipelines: the ways that deals take, each with its stages (Shared/Decisions/0029).

create domain pipeline_stages as jsonb
    constraint pipeline_stages_check check (value = '[]' or (jsonb_typeof(value) = 'array' and jsonb_array_length(value) <= 50));

create table pipeline (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    name text not null,
    -- Where deals go whose maker names none; one of the tenant's.
    is_default boolean not null default false,
    -- As the API has them, so that they have one version, one change and one entry of the trail with the pipeline.
    stages pipeline_stages not null default '[]',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint pipeline_pkey primary key (tenant_id, id)
);
create unique index pipeline_is_default_unique on pipeline (tenant_id) where is_default and deleted_at is null;

-- The same stages as rows, for what refers to them. One that is gone stays, for deals that have been in it.
create domain stage_kind as text constraint stage_kind_check check (value in ('open', 'won', 'lost'));
create domain stage_probability as smallint constraint stage_probability_check check (value between 0 and 100);
create table stage (
    tenant_id uuid not null,
    id uuid not null,
    pipeline_id uuid not null,
    name text not null,
    position smallint not null,
    kind stage_kind not null,
    probability stage_probability not null,
    -- Days after which a deal that is still in the stage needs somebody.
    rot_after_days integer,
    deleted_at timestamptz(3),
    constraint stage_pkey primary key (tenant_id, id),
    -- What holds a deal's stage to be one of its pipeline.
    constraint stage_of_pipeline unique (tenant_id, pipeline_id, id),
    constraint stage_pipeline_id_fkey foreign key (tenant_id, pipeline_id) references pipeline (tenant_id, id)
);

call isolate('pipeline');
call isolate('stage');
call listed('pipeline', orders => '{name}', filters => '{is_default}');
call audited('pipeline', 'pipeline');

-- The stages of a pipeline whose maker names none.
create function usual_stages() returns jsonb language sql immutable parallel safe as $$
    select jsonb_build_array(
        jsonb_build_object('name', 'Qualification', 'kind', 'open', 'probability', 10, 'rot_after_days', 14),
        jsonb_build_object('name', 'Discovery', 'kind', 'open', 'probability', 25, 'rot_after_days', 14),
        jsonb_build_object('name', 'Proposal', 'kind', 'open', 'probability', 50, 'rot_after_days', 21),
        jsonb_build_object('name', 'Negotiation', 'kind', 'open', 'probability', 75, 'rot_after_days', 21),
        jsonb_build_object('name', 'Won', 'kind', 'won'),
        jsonb_build_object('name', 'Lost', 'kind', 'lost'))
$$;

-- The tenant's default pipeline, which is made when it is first asked for: once, by nobody, and in the trail as the system's. Of two that ask at
-- the same moment the second waits, and sees what the first has made, as the function is volatile.
create function default_pipeline(tenant uuid) returns uuid language plpgsql volatile as $$
declare
    found_id uuid;
    actor text := current_setting('app.user', true);
begin
    select id into found_id from pipeline where tenant_id = tenant and is_default and deleted_at is null;
    if found then return found_id; end if;
    perform pg_advisory_xact_lock(hashtextextended('default pipeline ' || tenant, 0));
    select id into found_id from pipeline where tenant_id = tenant and is_default and deleted_at is null;
    if found then return found_id; end if;
    found_id := uuid_v7();
    perform set_config('app.user', '', true);
    insert into pipeline (tenant_id, id, name, is_default, created_by, updated_by)
    values (
        tenant, found_id, 'Sales', true, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');
    perform set_config('app.user', coalesce(actor, ''), true);
    return found_id;
end
$$;

-- Keeps one of the tenant's pipelines the default: another takes its place, and then the former is changed in the same transaction.
create function keep_default_pipeline() returns trigger language plpgsql volatile as $$
begin
    if tg_op = 'INSERT' and not new.is_default then
        perform default_pipeline(new.tenant_id);
        return new;
    end if;
    if tg_op = 'UPDATE' and old.is_default and old.deleted_at is null and (not new.is_default or new.deleted_at is not null)
        and pg_trigger_depth() = 1
    then
        raise exception 'a tenant has a default pipeline' using errcode = 'check_violation', constraint = 'pipeline_is_default_kept';
    end if;
    if new.is_default and (tg_op = 'INSERT' or not old.is_default) then
        perform pg_advisory_xact_lock(hashtextextended('default pipeline ' || new.tenant_id, 0));
        update pipeline set is_default = false, version = version + 1, updated_at = now(), updated_by = new.updated_by
        where tenant_id = new.tenant_id and is_default and deleted_at is null and id <> new.id;
    end if;
    return new;
end
$$;
create trigger keep_default before insert or update of is_default, deleted_at on pipeline
    for each row execute function keep_default_pipeline();

-- Puts the stages that were given in their order, gives new ones an id, and holds them to what the pipeline has already. Those that are gone have
-- no deals: they are moved where the same change says, or the change is refused.
create function arrange_stages() returns trigger language plpgsql volatile as $$
declare
    given jsonb;
    known jsonb;
    arranged jsonb := '[]';
    ids text[] := '{}';
    leaving uuid[] := '{}';
    targets uuid[] := '{}';
    gone uuid[];
begin
    if tg_op = 'INSERT' and new.stages = '[]' then new.stages := usual_stages(); end if;
    for given in
        select value from jsonb_array_elements(new.stages) with ordinality as stages (value, n)
        -- By their positions if all have one, else as they stand in the list.
        order by case when (select bool_and(value ->> 'position' is not null) from jsonb_array_elements(new.stages))
            then (value ->> 'position')::integer end, n
    loop
        if given ->> 'id' is null then
            if given ->> 'move_deals_to' is not null then
                raise exception 'a new stage has no deals' using errcode = 'check_violation', constraint = 'pipeline_stages_known';
            end if;
            given := given || jsonb_build_object('id', uuid_v7());
        else
            known := null;
            if tg_op = 'UPDATE' then
                select value into known from jsonb_array_elements(old.stages) where value ->> 'id' = given ->> 'id';
            end if;
            if known is null or given ->> 'id' = any (ids) then
                raise exception 'a stage is none of the pipeline''s' using errcode = 'check_violation', constraint = 'pipeline_stages_known';
            elsif known ->> 'kind' <> given ->> 'kind' then
                raise exception 'a stage changes its kind' using errcode = 'check_violation', constraint = 'pipeline_stages_kind_kept';
            end if;
        end if;
        ids := ids || (given ->> 'id');
        if given ->> 'move_deals_to' is not null then
            leaving := leaving || (given ->> 'id')::uuid;
            targets := targets || (given ->> 'move_deals_to')::uuid;
        else
            arranged := arranged || jsonb_build_array(jsonb_build_object(
                'id', given ->> 'id', 'name', given ->> 'name', 'kind', given ->> 'kind', 'position', jsonb_array_length(arranged) + 1,
                'probability', coalesce(
                    (given ->> 'probability')::integer, case given ->> 'kind' when 'won' then 100 when 'lost' then 0 end),
                'rot_after_days', (given ->> 'rot_after_days')::integer));
        end if;
    end loop;
    if (select count(distinct value ->> 'kind') from jsonb_array_elements(arranged)) < 3 then
        raise exception 'a kind of stage is missing' using errcode = 'check_violation', constraint = 'pipeline_stages_complete';
    elsif exists (
        select from jsonb_array_elements(arranged)
        where (value ->> 'probability')::integer is distinct from
            case value ->> 'kind' when 'won' then 100 when 'lost' then 0 else coalesce((value ->> 'probability')::integer, -1) end)
    then
        raise exception 'a stage has no such probability' using errcode = 'check_violation', constraint = 'pipeline_stages_probable';
    end if;
    new.stages := arranged;
    if tg_op = 'INSERT' then return new; end if;

    -- What comes to what was there is no change.
    if arranged = old.stages and (new.name, new.is_default, new.external_id, new.deleted_at)
        is not distinct from (old.name, old.is_default, old.external_id, old.deleted_at)
    then
        new.version := old.version;
        new.updated_at := old.updated_at;
        new.updated_by := old.updated_by;
        return new;
    end if;
    -- Whoever brings a deal into a stage locks it against this, and sees by then whether it is gone.
    gone := array(
        select id from stage
        where tenant_id = new.tenant_id and pipeline_id = new.id and deleted_at is null
            and (new.deleted_at is not null or not exists (select from jsonb_array_elements(arranged) where value ->> 'id' = stage.id::text))
        order by id for update);
    if leaving <> '{}' then
        if (select count(*) from (
            select from deal where tenant_id = new.tenant_id and stage_id = any (leaving) and deleted_at is null limit 1001) as moved) > 1000
        then
            raise exception 'too many deals to move' using errcode = 'check_violation', constraint = 'pipeline_stages_few_moved';
        end if;
        for place in 1 .. cardinality(leaving) loop
            update deal set stage_id = targets[place], version = version + 1, updated_at = now(), updated_by = new.updated_by
            where tenant_id = new.tenant_id and stage_id = leaving[place] and deleted_at is null;
        end loop;
    end if;
    if exists (select from deal where tenant_id = new.tenant_id and stage_id = any (gone) and deleted_at is null) then
        raise exception 'a stage has deals' using errcode = 'check_violation', constraint = 'pipeline_stages_in_use';
    end if;
    return new;
end
$$;
create trigger stages before insert or update of stages, deleted_at on pipeline for each row execute function arrange_stages();

create function file_stages() returns trigger language plpgsql volatile as $$
begin
    update stage set deleted_at = now()
    where tenant_id = new.tenant_id and pipeline_id = new.id and deleted_at is null
        and (new.deleted_at is not null or not exists (select from jsonb_array_elements(new.stages) where value ->> 'id' = stage.id::text));
    if new.deleted_at is not null then return null; end if;
    insert into stage as filed (tenant_id, id, pipeline_id, name, position, kind, probability, rot_after_days)
    select new.tenant_id, id, new.id, name, position, kind, probability, rot_after_days
    from jsonb_to_recordset(new.stages)
        as given (id uuid, name text, position smallint, kind text, probability smallint, rot_after_days integer)
    on conflict on constraint stage_pkey do update set name = excluded.name, position = excluded.position,
        probability = excluded.probability, rot_after_days = excluded.rot_after_days, deleted_at = null
    where (filed.name, filed.position, filed.probability, filed.rot_after_days, filed.deleted_at)
        is distinct from (excluded.name, excluded.position, excluded.probability, excluded.rot_after_days, null);
    return null;
end
$$;
create trigger file_stages after insert or update of stages, deleted_at on pipeline for each row execute function file_stages();
