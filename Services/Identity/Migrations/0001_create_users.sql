-- People. They belong to no tenant (a person may be a member of several), so these tables have no tenant_id and no row security:
-- only this service's roles can read them at all.
create table user_account (
    id uuid not null default uuid_v7(),
    -- As typed, without surrounding white space.
    email text not null,
    -- Lower case: what makes an address unique.
    email_key text not null,
    name text not null,
    -- registering: the organisation is not there yet, so nobody can sign in; see registration.
    status text not null,
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    constraint user_account_pkey primary key (id),
    constraint user_account_email_unique unique (email_key),
    constraint user_account_status_known check (status in ('registering', 'active')),
    constraint user_account_email_length check (length(email) <= 254),
    constraint user_account_name_length check (length(name) between 1 and 200)
);

-- A table of its own, so that no query for a person reads a hash by accident.
create table credential (
    user_id uuid not null,
    -- scrypt in PHC string form.
    password_hash text not null,
    changed_at timestamptz(3) not null default now(),
    constraint credential_pkey primary key (user_id),
    constraint credential_user_fkey foreign key (user_id) references user_account (id) on delete cascade
);

-- A registration under way. The plan is written down before the tenant service is asked, so that whoever comes after a crash
-- can finish it: the organisation is made under the planned id, which is the same however often it is asked for.
create table registration (
    user_id uuid not null,
    -- The organisation to make, or null for one who comes by invitation.
    organization uuid,
    organization_name text,
    organization_slug text,
    created_at timestamptz(3) not null default now(),
    constraint registration_pkey primary key (user_id),
    constraint registration_user_fkey foreign key (user_id) references user_account (id) on delete cascade,
    constraint registration_organization_whole check (num_nulls(organization, organization_name, organization_slug) in (0, 3))
);
create index registration_age on registration (created_at);

do $$ begin
    execute format('grant select, insert, update, delete on user_account, credential, registration to %I', 'martlet_' || current_schema());
end $$;
