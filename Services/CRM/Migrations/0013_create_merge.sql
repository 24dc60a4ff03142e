-- Merges of records that were taken for one: what it takes to undo them, for as long as that may be. What a record was merged into stands in
-- the record.

create domain merge_resource as text constraint merge_resource_check check (value in ('leads', 'contacts', 'accounts'));

create table merge (
    tenant_id uuid not null,
    id uuid not null,
    resource merge_resource not null,
    survivor_id uuid not null,
    merged_ids uuid[] not null,
    -- What the merge has changed of the survivor: for each field the value before and after it, as text.
    changes jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    undone_at timestamptz(3),
    undone_by uuid,
    constraint merge_pkey primary key (tenant_id, id)
);
create index merge_survivor on merge (tenant_id, survivor_id, created_at, id);
-- Those that were undone, from which something may still be on its way back.
create index merge_undone on merge (tenant_id, undone_at) where undone_at is not null;
-- What was kept long enough, over all tenants.
create index merge_age on merge (created_at);

-- The references that a merge has moved to the survivor, some hundred records a row.
create table merge_move (
    tenant_id uuid not null,
    id uuid not null default uuid_v7(),
    merge_id uuid not null,
    -- The resource that refers, and its field.
    source text not null,
    field text not null,
    -- What was referred to before.
    from_id uuid not null,
    ids uuid[] not null,
    constraint merge_move_pkey primary key (tenant_id, id),
    constraint merge_move_merge_fkey foreign key (tenant_id, merge_id) references merge (tenant_id, id) on delete cascade
);
create index merge_move_merge on merge_move (tenant_id, merge_id, id);

call isolate('merge');
call open_to_system('merge', 'select, delete');
call isolate('merge_move', 'select, insert, delete');
