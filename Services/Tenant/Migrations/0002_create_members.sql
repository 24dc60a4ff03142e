-- The name of a role: one of those that every tenant has, or of a custom_role.
create domain role_name as text constraint role_name_form check (value ~ '^[a-z0-9_]{1,64}$');

-- Who belongs to a tenant, and as what. A member is known by its user's id.
create table member (
    tenant_id uuid not null,
    user_id uuid not null,
    id uuid not null generated always as (user_id) stored,
    -- Copies of what identity holds: a list of members is one query. The name follows that of the account.
    email text not null,
    name text not null,
    role role_name not null,
    -- Ids of teams: the other side of team.member_ids. Whoever changes one of them holds the tenant's row and changes both.
    teams uuid[] not null default '{}',
    status text not null default 'active',
    -- Raised when tokens made before must not be used any longer: another role, disabled, removed.
    epoch bigint not null default 1,
    epoch_changed_at timestamptz(3) not null default now(),
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_at timestamptz(3) not null default now(),
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint member_pkey primary key (tenant_id, user_id),
    constraint member_tenant_fkey foreign key (tenant_id) references tenant (tenant_id),
    constraint member_status_known check (status in ('active', 'disabled'))
);
-- To sign somebody in, before a tenant is known.
create index member_of_user on member (user_id) where deleted_at is null;
create index member_epoch_changed on member (epoch_changed_at);

call isolate('member', 'select, insert, update');
call audited('member', 'member', 'user_id', 'epoch', 'epoch_changed_at');
-- A disabled member keeps the seat, a removed one frees it.
call limited('member', 'users');
call open_to_system('member', 'select');
do $$ begin
    -- What follows the names of accounts; nothing else of a member is changed across tenants.
    execute format('grant update (name, version, updated_at, updated_by) on member to %I', 'martlet_' || current_schema() || '_system');
end $$;
