-- Roles that a tenant has made, beside those that every tenant has. A role is known by its name, which never changes: members,
-- invitations, tokens and the trail name it.
create table custom_role (
    tenant_id uuid not null,
    name role_name not null,
    id text not null generated always as (name) stored,
    description text,
    -- `leads.read` and so on.
    permissions text[] not null,
    -- For each resource that a permission is for: own, team or all.
    scopes jsonb not null,
    -- For a resource and a field of it: hidden or read_only.
    fields jsonb not null default '{}',
    -- Raised with each change of what it allows: tokens made before must not be used any longer. It goes on where it was when a role
    -- of the same name is made again.
    epoch bigint not null default 1,
    epoch_changed_at timestamptz(3) not null default now(),
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_at timestamptz(3) not null default now(),
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint custom_role_pkey primary key (tenant_id, name),
    constraint custom_role_tenant_fkey foreign key (tenant_id) references tenant (tenant_id)
);
create index custom_role_epoch_changed on custom_role (epoch_changed_at);

call isolate('custom_role');
call audited('custom_role', 'role', 'epoch', 'epoch_changed_at');
call open_to_system('custom_role', 'select');
