-- Acts on all records that a filter finds, done in the background (Shared/Decisions/0034), and what it takes to undo them.

create domain bulk_act_status as text constraint bulk_act_status_check
    check (value in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'reverting', 'reverted'));

create table bulk_act (
    tenant_id uuid not null,
    id uuid not null,
    -- The name of the resource, and what was asked for, as it was given; without a change it deletes.
    resource text not null,
    filter jsonb not null,
    change jsonb,
    status bulk_act_status not null default 'queued',
    -- The job that does it, or the one that undoes it.
    job_id uuid not null,
    -- The record behind which the next step goes on: [id, when it was made].
    place jsonb,
    -- Records that the filter found when it was asked for, and what has become of those met so far.
    total bigint not null,
    matched bigint not null default 0,
    changed bigint not null default 0,
    skipped bigint not null default 0,
    failed bigint not null default 0,
    -- Of those that failed, how many for which code.
    reasons jsonb not null default '{}',
    reverted bigint not null default 0,
    kept bigint not null default 0,
    -- Of those that were kept, how many for which code.
    kept_reasons jsonb not null default '{}',
    -- Why it failed as a whole: a code.
    reason text,
    created_at timestamptz(3) not null,
    -- By the clock that records have: what is made later was not asked for.
    made_until timestamptz(3) not null default now(),
    created_by uuid not null,
    ended_at timestamptz(3),
    constraint bulk_act_pkey primary key (tenant_id, id)
);
create index bulk_act_age on bulk_act (created_at);

-- The records that an act has changed, until it is undone: the version that each has by it, and what the members were before.
create table bulk_act_record (
    tenant_id uuid not null,
    act_id uuid not null,
    record_id uuid not null,
    version bigint not null,
    before jsonb,
    created_at timestamptz(3) not null default now(),
    constraint bulk_act_record_pkey primary key (tenant_id, act_id, record_id)
);
create index bulk_act_record_age on bulk_act_record (created_at);

call isolate('bulk_act');
call open_to_system('bulk_act', 'select, delete');
call isolate('bulk_act_record', 'select, insert, delete');
call open_to_system('bulk_act_record', 'select, delete');
