-- Offers of a membership to an e-mail address. The token goes out once; here is only its SHA-256.
create table invitation (
    tenant_id uuid not null,
    id uuid not null default uuid_v7(),
    email text not null,
    email_key text not null,
    role role_name not null,
    token_hash text not null,
    expires_at timestamptz(3) not null,
    accepted_at timestamptz(3),
    accepted_by uuid,
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_at timestamptz(3) not null default now(),
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint invitation_pkey primary key (tenant_id, id),
    constraint invitation_token_unique unique (tenant_id, token_hash),
    constraint invitation_tenant_fkey foreign key (tenant_id) references tenant (tenant_id),
    constraint invitation_acceptance_whole check ((accepted_at is null) = (accepted_by is null))
);
-- One open offer an address.
create unique index invitation_email_unique on invitation (tenant_id, email_key) where deleted_at is null and accepted_at is null;

call isolate('invitation', 'select, insert, update');
call audited('invitation', 'invitation', 'token_hash', 'email_key');
