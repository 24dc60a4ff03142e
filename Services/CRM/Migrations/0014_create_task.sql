-- Tasks: what members have to do.

create domain task_status as text constraint task_status_check check (value in ('open', 'in_progress', 'done', 'cancelled'));
create domain task_priority as text constraint task_priority_check check (value in ('low', 'normal', 'high'));
create domain task_recurrence_by as text constraint task_recurrence_by_check check (value in ('completion', 'date'));
create domain task_related as record_reference constraint task_related_check
    check (value is not distinct from null or ((value).type in ('lead', 'contact', 'account', 'deal')) is true and (value).id is not null);

-- What finds a task: its words, led by the tenant, and the values of the filters that no other index serves, as for leads.
do $make$
begin
    execute format(
        $create$
        create function task_lexemes(tenant uuid, subject text, description text, tags text[], custom jsonb) returns tsvector
        language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(tenant, subject, description) || %1$I.filter_words(tenant, tags, custom, variadic '{}');
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table task (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    subject text not null,
    description text,
    due_at timestamptz(3),
    remind_at timestamptz(3),
    recurrence text,
    recurrence_by task_recurrence_by not null default 'completion',
    time_zone text not null default 'UTC',
    priority task_priority not null default 'normal',
    status task_status not null default 'open',
    completed_at timestamptz(3),
    assignee_id uuid,
    related task_related,
    -- What it is about, once more for each kind, as with notes.
    related_lead_id uuid generated always as (case when (related).type = 'lead' then (related).id end) stored,
    related_contact_id uuid generated always as (case when (related).type = 'contact' then (related).id end) stored,
    related_account_id uuid generated always as (case when (related).type = 'account' then (related).id end) stored,
    related_deal_id uuid generated always as (case when (related).type = 'deal' then (related).id end) stored,
    checklist jsonb not null default '[]',
    tags text[] not null default '{}',
    custom custom_members not null default '{}',
    series_id uuid,
    series_number integer not null default 1,
    series_starts_at timestamptz(3),
    occurs_at timestamptz(3),
    -- What is still to be done is due by: what has been done is many times as much, and in no index of it.
    open_due_at timestamptz(3) generated always as (case when status in ('open', 'in_progress') then due_at end) stored,
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (task_lexemes(tenant_id, subject, description, tags, custom)) stored,
    constraint task_pkey primary key (tenant_id, id),
    constraint task_related_lead_fkey foreign key (tenant_id, related_lead_id) references lead (tenant_id, id),
    constraint task_related_contact_fkey foreign key (tenant_id, related_contact_id) references contact (tenant_id, id),
    constraint task_related_account_fkey foreign key (tenant_id, related_account_id) references account (tenant_id, id),
    constraint task_related_deal_fkey foreign key (tenant_id, related_deal_id) references deal (tenant_id, id),
    constraint task_series_id_fkey foreign key (tenant_id, series_id) references task (tenant_id, id),
    -- Of two columns, so no domain can have it.
    constraint task_recurrence_needs_due_at check (recurrence is null or due_at is not null)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics task_status_of_tenant (mcv) on tenant_id, status from task;
alter statistics task_status_of_tenant set statistics 1000;

call isolate('task');
call listed('task', owner => 'assignee_id', orders => '{due_at}', filters => '{priority, status, series_id}');
create index task_related on task (tenant_id, ((related).id), created_at, id) where deleted_at is null;
create index task_open_due_at on task (tenant_id, open_due_at, id) where deleted_at is null and open_due_at is not null;
-- What somebody has to do, in its order.
create index task_open_due_at_of_assignee
    on task (tenant_id, (case when assignee_id is null then created_by else assignee_id end), open_due_at, id)
    where deleted_at is null and open_due_at is not null;
-- A series has one task of a number, deleted ones too: what was made once is not made again. The number first: a list of a series is not for this
-- index, which knows no order of lists.
create unique index task_series_number_unique on task (tenant_id, series_number, series_id) where series_id is not null;
call audited('task', 'task', 'related_lead_id', 'related_contact_id', 'related_account_id', 'related_deal_id', 'open_due_at');
call searchable('task');

-- The jobs that a change of a task asks for: a reminder at its time, and the next task of what recurs by date when this one is due. Each is asked
-- for under the row's lock, so nobody waits for another's key while holding one. What has changed since is seen by the job when it is done.
create function task_jobs() returns trigger language plpgsql set search_path from current as $$
declare
    is_new boolean := tg_op = 'INSERT' or old.deleted_at is not null;
    was_to_do boolean := tg_op = 'UPDATE' and old.status in ('open', 'in_progress');
begin
    if new.deleted_at is not null then return null; end if;
    -- Whoever opens a task again is reminded only of what is still to come.
    if new.remind_at is not null and new.status in ('open', 'in_progress') and (
        tg_op = 'INSERT' or new.remind_at is distinct from old.remind_at or (is_new or not was_to_do) and new.remind_at > now())
    then
        perform enqueue_job(
            'task-reminder', jsonb_build_object('task', new.id, 'at', rfc3339(new.remind_at)), new.id::text, new.remind_at, new.tenant_id);
    end if;
    if new.recurrence is not null and new.recurrence_by = 'date' and new.status <> 'cancelled' and (
        is_new or old.status = 'cancelled' or old.recurrence is distinct from new.recurrence or old.recurrence_by <> 'date' or new.due_at <> old.due_at)
    then
        perform enqueue_job('task-next', jsonb_build_object('task', new.id), new.id::text, new.due_at, new.tenant_id);
    end if;
    return null;
end
$$;
create trigger jobs after insert or update of remind_at, status, deleted_at, recurrence, recurrence_by, due_at on task
    for each row when (new.remind_at is not null or new.recurrence is not null) execute function task_jobs();

-- By whatever statement a task was done, the next one is there at the end of the transaction, or asked for.
create function task_next_is_there() returns trigger language plpgsql set search_path from current as $$
begin
    if not exists (
        select from task
        where tenant_id = new.tenant_id and series_id = coalesce(new.series_id, new.id) and series_number = new.series_number + 1)
    then
        perform enqueue_job('task-next', jsonb_build_object('task', new.id), new.id::text, null, new.tenant_id);
    end if;
    return null;
end
$$;
create constraint trigger next_is_there after insert or update of status, recurrence, recurrence_by on task deferrable initially deferred
    for each row when (new.status = 'done' and new.recurrence is not null and new.recurrence_by = 'completion')
    execute function task_next_is_there();
