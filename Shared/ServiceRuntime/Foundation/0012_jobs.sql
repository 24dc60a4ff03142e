-- Work in the background (Shared/Decisions/0025): what is to be done later, in steps, by whichever process has a place free.

create domain job_status as text
    constraint job_status_check check (value in ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled'));

-- One row a job. The service's own periodic jobs are under the nil UUID, which no tenant has; everything else is a tenant's.
create table job (
    tenant_id uuid not null,
    id uuid not null default uuid_v7(),
    kind text not null,
    payload jsonb not null default '{}',
    -- Of a kind and a key there is one job that has not begun.
    key text,
    -- `scheduled` is for a time to come, `queued` is due.
    status job_status not null,
    run_at timestamptz(3) not null,
    -- Takings since the last step that was kept; the one that runs counts.
    attempt integer not null default 0,
    -- The number of the last taking: what an earlier one says is not listened to.
    fence bigint not null default 0,
    lease_until timestamptz,
    -- Steps that were kept, and what they have left for the next one and for whoever asks how far it is.
    steps bigint not null default 0,
    state jsonb not null default 'null',
    done bigint not null default 0,
    total bigint,
    counts jsonb not null default '{}',
    -- Whether somebody wants it to stop; one that has not begun stops at once.
    is_cancelled boolean not null default false,
    -- Why the last attempt failed: a code, never what somebody wrote.
    reason text,
    -- In whose name it is done; null where no person asked for it.
    user_id uuid,
    request_id text not null,
    created_at timestamptz(3) not null default now(),
    started_at timestamptz(3),
    ended_at timestamptz(3),
    constraint job_pkey primary key (tenant_id, id)
)
-- Most rows change a few times within seconds and then lie still, so a share of the table says nothing of how many are dead.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create unique index job_key_unique on job (tenant_id, kind, key) where started_at is null and ended_at is null and key is not null;
-- Whose turn it is, and which of his jobs: whoever takes jobs goes from tenant to tenant, past all others of each.
create index job_queued on job (tenant_id, run_at, id) where status = 'queued';
-- What has become due, what has lost its worker, and what was kept long enough, over all tenants.
create index job_scheduled on job (run_at) where status = 'scheduled';
create index job_leased on job (lease_until) where status = 'running';
create index job_ended on job (ended_at) where status in ('succeeded', 'cancelled');
create index job_failed on job (ended_at) where status = 'failed';
-- Whose jobs have become due besides those of a crowd.
create index job_scheduled_of_tenant on job (tenant_id, run_at) where status = 'scheduled';

call isolate('job', 'select, insert, update');
call open_to_system('job', 'select, insert, update, delete');

do $do$ begin
    -- Asks for a job of the tenant's in the transaction that it is called in, be it by a trigger: the job is there when the change is. Due at
    -- once unless a time is given. With a key, a job of that kind and key that has not begun takes on this payload instead, and this
    -- time if one is given; so a reminder is moved, and ten changes of a record ask for one job. Who asks for the same key waits until
    -- the other has committed, as with two changes of one record, and who asks for many does so in the order of their keys.
    execute format($f$
        create function enqueue_job(job_kind text, job_payload jsonb, job_key text default null, due timestamptz default null, tenant uuid default null)
        returns uuid language plpgsql volatile as $$
        declare
            acting uuid := nullif(current_setting('app.tenant', true), '')::uuid;
            job_id uuid;
        begin
            insert into %1$I.job as waiting (tenant_id, kind, payload, key, status, run_at, user_id, request_id)
            values (
                coalesce(tenant, acting), job_kind, job_payload, job_key,
                case when due > clock_timestamp() then 'scheduled' else 'queued' end, coalesce(due, clock_timestamp()),
                case when acting is not null then nullif(current_setting('app.user', true), '')::uuid end,
                coalesce(current_setting('app.request', true), ''))
            on conflict (tenant_id, kind, key) where started_at is null and ended_at is null and key is not null
            do update set payload = excluded.payload, status = excluded.status, user_id = excluded.user_id, request_id = excluded.request_id,
                attempt = 0, reason = null,
                run_at = case when due is null then least(waiting.run_at, excluded.run_at) else excluded.run_at end
            returning id into job_id;
            return job_id;
        end
        $$
    $f$, current_schema());
    -- Holds a job to the end of the transaction for the taking of that number, or fails the transaction.
    execute format($f$
        create function hold_job(tenant uuid, job_id uuid, holder bigint) returns void language plpgsql volatile as $$
        begin
            perform from %1$I.job where tenant_id = tenant and id = job_id and fence = holder and status = 'running' for no key update;
            if not found then raise exception 'another process has taken the job %%', job_id using errcode = 'MR003'; end if;
        end
        $$
    $f$, current_schema());
end $do$;
