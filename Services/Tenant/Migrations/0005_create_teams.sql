-- Groups of members. Who shares a team sees what the others own, where a role's scope is team.
create table team (
    tenant_id uuid not null,
    id uuid not null default uuid_v7(),
    name text not null,
    -- The name as it is compared: case and what cannot be seen make no difference.
    name_key text not null,
    -- In order. The other side of member.teams.
    member_ids uuid[] not null,
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_at timestamptz(3) not null default now(),
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint team_pkey primary key (tenant_id, id),
    constraint team_tenant_fkey foreign key (tenant_id) references tenant (tenant_id)
);
create unique index team_name_unique on team (tenant_id, name_key) where deleted_at is null;

call isolate('team');
call audited('team', 'team', 'name_key');
call open_to_system('team', 'select');
