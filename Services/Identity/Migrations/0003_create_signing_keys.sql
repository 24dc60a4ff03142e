-- The keys that sign access tokens. The newest whose time has come signs; each is published as long as it is here.
create table signing_key (
    id text not null,
    -- Ed25519, base64url.
    public_key text not null,
    -- AES-GCM under the setting MARTLET_KEY_ENCRYPTION_KEY, base64url: nonce, ciphertext, tag.
    sealed_private_key text not null,
    created_at timestamptz(3) not null default now(),
    signs_from timestamptz(3) not null,
    constraint signing_key_pkey primary key (id)
);
create index signing_key_age on signing_key (signs_from);

do $$ begin
    execute format('grant select, insert, delete on signing_key to %I', 'martlet_' || current_schema());
end $$;
