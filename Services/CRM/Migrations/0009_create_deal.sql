-- Deals: what may be sold to whom, and how far that has come (Shared/Decisions/0029).

create domain deal_status as text constraint deal_status_check check (value in ('open', 'won', 'lost'));
create domain deal_probability as smallint constraint deal_probability_check check (value between 0 and 100);
create domain deal_currency as text constraint deal_currency_check check (value ~ '^[A-Z]{3}$');

-- What finds a deal: its words, led by the tenant, and the values of the filters that no other index serves, as for leads.
do $make$
begin
    execute format(
        $create$
        create function deal_lexemes(tenant uuid, name text, tags text[], custom jsonb) returns tsvector
        language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(tenant, name) || %1$I.filter_words(tenant, tags, custom, 'name:' || name);
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table deal (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    name text not null,
    account_id uuid,
    contact_id uuid,
    pipeline_id uuid not null,
    stage_id uuid not null,
    stage_changed_at timestamptz(3) not null,
    -- The kind of its stage, which never changes.
    status deal_status not null,
    amount_minor bigint,
    currency deal_currency not null,
    probability deal_probability,
    expected_close_on date,
    closed_at timestamptz(3),
    lost_reason text,
    owner_id uuid,
    tags text[] not null default '{}',
    custom custom_members not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (deal_lexemes(tenant_id, name, tags, custom)) stored,
    constraint deal_pkey primary key (tenant_id, id),
    constraint deal_account_id_fkey foreign key (tenant_id, account_id) references account (tenant_id, id),
    constraint deal_contact_id_fkey foreign key (tenant_id, contact_id) references contact (tenant_id, id),
    constraint deal_pipeline_id_fkey foreign key (tenant_id, pipeline_id) references pipeline (tenant_id, id),
    constraint deal_stage_id_fkey foreign key (tenant_id, pipeline_id, stage_id) references stage (tenant_id, pipeline_id, id)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics deal_status_of_tenant (mcv) on tenant_id, status from deal;
alter statistics deal_status_of_tenant set statistics 1000;

call isolate('deal');
call listed(
    'deal', owner => 'owner_id', orders => '{name, amount_minor, expected_close_on}',
    filters => '{account_id, contact_id, pipeline_id, stage_id, status, closed_at}');
call audited('deal', 'deal');
call searchable('deal');

-- What a deal was, from the one instant to the other: a row for each change of what a forecast adds up, so that it can be told for a day of the
-- past. What it is by now is the deal's own row, so making one costs nothing here.
create table deal_history (
    tenant_id uuid not null,
    deal_id uuid not null,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    pipeline_id uuid not null,
    stage_id uuid not null,
    status deal_status not null,
    amount_minor bigint,
    currency deal_currency not null,
    probability deal_probability,
    expected_close_on date,
    closed_at timestamptz(3),
    owner_id uuid,
    is_deleted boolean not null,
    -- Whether its stay in the stage ended, and who ended this.
    leaves_stage boolean not null,
    ended_by uuid not null,
    constraint deal_history_pkey primary key (tenant_id, deal_id, valid_to),
    constraint deal_history_deal_id_fkey foreign key (tenant_id, deal_id) references deal (tenant_id, id) on delete cascade
);
-- What counted in a period, by the day that it was expected to close on, none included, or that it was won on.
create index deal_history_open on deal_history (tenant_id, expected_close_on, valid_to) where status = 'open' and not is_deleted;
create index deal_history_won on deal_history (tenant_id, closed_at, valid_to) where status = 'won' and not is_deleted;
create index deal_history_stays on deal_history (tenant_id, deal_id, valid_to) where leaves_stage;
call isolate('deal_history', 'select, insert');

-- Puts a deal where its stage is: into that pipeline, with its probability unless another is given, open, won or lost as it says. A function of the
-- row before it is written, so that it holds for whatever statement moves a deal, be it of a thousand.
create function place_deal() returns trigger language plpgsql volatile as $$
declare
    place record;
    comes_back boolean := false;
begin
    if tg_op = 'UPDATE' then
        if new.stage_id = old.stage_id and new.pipeline_id = old.pipeline_id then
            if new.deleted_at is null and old.deleted_at is not null then
                -- Locked against going away, as by whoever brings a deal there.
                perform from stage where tenant_id = new.tenant_id and id = new.stage_id and deleted_at is null for key share;
                comes_back := not found;
            end if;
            if comes_back then
                -- Its stage has gone since: it comes to the first one of that kind, or that the tenant's default pipeline has.
                new.stage_id := null;
                if not exists (select from pipeline where tenant_id = new.tenant_id and id = new.pipeline_id and deleted_at is null) then
                    new.pipeline_id := null;
                end if;
            else
                if new.probability is null then
                    select probability into new.probability from stage where tenant_id = new.tenant_id and id = new.stage_id;
                end if;
                if new.status <> 'open' and new.probability is distinct from old.probability then
                    raise exception 'a closed deal is certain' using errcode = 'check_violation', constraint = 'deal_probability_of_open';
                elsif new.status <> 'lost' and new.lost_reason is not null then
                    raise exception 'a deal is not lost' using errcode = 'check_violation', constraint = 'deal_lost_reason_of_lost';
                end if;
                return new;
            end if;
        elsif new.stage_id = old.stage_id then
            new.stage_id := null;
        end if;
    end if;
    -- Locked against going away, and looked at when the lock is held.
    if new.stage_id is null then
        -- By itself, as the query after it must see what it makes.
        if new.pipeline_id is null then new.pipeline_id := default_pipeline(new.tenant_id); end if;
        select id, pipeline_id, kind, probability into place from stage
        where tenant_id = new.tenant_id and pipeline_id = new.pipeline_id and kind = case when comes_back then old.status else 'open' end
            and deleted_at is null
        order by position limit 1 for key share;
    else
        select id, pipeline_id, kind, probability into place from stage
        where tenant_id = new.tenant_id and id = new.stage_id and deleted_at is null for key share;
    end if;
    if not found then
        raise exception 'there is no such stage' using errcode = 'foreign_key_violation', constraint = 'deal_stage_id_fkey', table = 'deal';
    end if;
    new.stage_id := place.id;
    if tg_op = 'INSERT' then
        if new.pipeline_id <> place.pipeline_id then
            raise exception 'a stage of another pipeline' using errcode = 'check_violation', constraint = 'deal_stage_id_of_pipeline';
        end if;
        new.stage_changed_at := new.created_at;
        if place.kind <> 'open' then
            new.closed_at := new.created_at;
            if new.probability <> place.probability then
                raise exception 'a closed deal is certain' using errcode = 'check_violation', constraint = 'deal_probability_of_open';
            end if;
        end if;
        new.probability := coalesce(new.probability, place.probability);
    else
        if new.pipeline_id <> old.pipeline_id and new.pipeline_id <> place.pipeline_id then
            raise exception 'a stage of another pipeline' using errcode = 'check_violation', constraint = 'deal_stage_id_of_pipeline';
        end if;
        new.stage_changed_at := now();
        if new.probability is null or new.probability = old.probability then
            new.probability := place.probability;
        elsif place.kind <> 'open' and new.probability <> place.probability then
            raise exception 'a closed deal is certain' using errcode = 'check_violation', constraint = 'deal_probability_of_open';
        end if;
        if place.kind = 'open' then new.closed_at := null; elsif place.kind <> old.status then new.closed_at := now(); end if;
        -- A reason that the deal was lost for before goes with that.
        if place.kind <> 'lost' and new.lost_reason = old.lost_reason then new.lost_reason := null; end if;
    end if;
    if place.kind <> 'lost' and new.lost_reason is not null then
        raise exception 'a deal is not lost' using errcode = 'check_violation', constraint = 'deal_lost_reason_of_lost';
    end if;
    new.pipeline_id := place.pipeline_id;
    new.status := place.kind;
    return new;
end
$$;
create trigger place before insert or update of pipeline_id, stage_id, probability, lost_reason, deleted_at on deal
    for each row execute function place_deal();

-- Who names another pipeline together with the stage that the deal is in means a stage that this pipeline does not have. Only a trigger that names a
-- column knows whether a statement does; it comes before `place`, which takes a stage that stays for one that nobody named.
create function refuse_stage_elsewhere() returns trigger language plpgsql as $$
begin
    raise exception 'a stage of another pipeline' using errcode = 'check_violation', constraint = 'deal_stage_id_of_pipeline';
end
$$;
create trigger named_stage before update of stage_id on deal for each row
    when (new.stage_id = old.stage_id and new.pipeline_id <> old.pipeline_id) execute function refuse_stage_elsewhere();

-- By the clock and not by the transaction's start: of two changes that waited for each other the second comes behind the first.
create function keep_deal_history() returns trigger language plpgsql volatile as $$
declare
    since timestamptz;
    until timestamptz := clock_timestamp();
begin
    select valid_to into since from deal_history
    where tenant_id = old.tenant_id and deal_id = old.id order by valid_to desc limit 1;
    since := coalesce(since, old.created_at);
    insert into deal_history (
        tenant_id, deal_id, valid_from, valid_to, pipeline_id, stage_id, status, amount_minor, currency, probability, expected_close_on,
        closed_at, owner_id, is_deleted, leaves_stage, ended_by)
    values (
        old.tenant_id, old.id, since, greatest(until, since + interval '1 microsecond'), old.pipeline_id, old.stage_id, old.status,
        old.amount_minor, old.currency, old.probability, old.expected_close_on, old.closed_at, old.owner_id, old.deleted_at is not null,
        old.stage_id <> new.stage_id, new.updated_by);
    return null;
end
$$;
create trigger history after update on deal for each row
    when ((old.stage_id, old.amount_minor, old.currency, old.probability, old.expected_close_on, old.owner_id, old.deleted_at)
        is distinct from (new.stage_id, new.amount_minor, new.currency, new.probability, new.expected_close_on, new.owner_id, new.deleted_at))
    execute function keep_deal_history();
