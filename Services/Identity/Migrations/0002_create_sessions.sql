-- One sign-in to one tenant, from login to logout. Its refresh tokens are a family: at most one of them is unused.
create table session (
    id uuid not null,
    user_id uuid not null,
    -- The tenant signed in to. Not named tenant_id: a session is its user's, and is read before any tenant is known.
    tenant uuid not null,
    device text not null,
    address text not null,
    created_at timestamptz(3) not null default now(),
    last_seen_at timestamptz(3) not null default now(),
    expires_at timestamptz(3) not null,
    revoked_at timestamptz(3),
    constraint session_pkey primary key (id),
    constraint session_user_fkey foreign key (user_id) references user_account (id) on delete cascade
);
create index session_of_user on session (user_id, id);
-- Gateways ask every few seconds for what was revoked lately.
create index session_revoked on session (revoked_at) where revoked_at is not null;
create index session_expiry on session (expires_at);

create table refresh_token (
    -- SHA-256, in hexadecimal digits.
    token_hash text not null,
    session_id uuid not null,
    created_at timestamptz(3) not null default now(),
    expires_at timestamptz(3) not null,
    -- When it was exchanged for the next one. A second use is a theft, of the token or of its successor.
    used_at timestamptz(3),
    constraint refresh_token_pkey primary key (token_hash),
    constraint refresh_token_session_fkey foreign key (session_id) references session (id) on delete cascade
);
create index refresh_token_of_session on refresh_token (session_id);
create index refresh_token_expiry on refresh_token (expires_at);

do $$ begin
    execute format('grant select, insert, update, delete on session, refresh_token to %I', 'martlet_' || current_schema());
end $$;
