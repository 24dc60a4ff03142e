-- Answers that are kept for a replay (Shared/Decisions/0014).

-- One row for each write that carried an Idempotency-Key, inserted in the write's own transaction.
create table idempotency_key (
    tenant_id uuid not null,
    caller uuid not null,
    route text not null,
    key text not null,
    -- SHA-256 of method, path, query and body: another payload under the same key is refused.
    fingerprint text not null,
    status integer not null,
    -- What the answer is made from again: the columns of the written row as text, or one element that is the body.
    answer text[] not null,
    created_at timestamptz(3) not null default now(),
    constraint idempotency_key_pkey primary key (tenant_id, caller, route, key)
) with (autovacuum_vacuum_scale_factor = 0.02);
create index idempotency_key_age on idempotency_key (created_at);

call isolate('idempotency_key', 'select, insert');
call open_to_system('idempotency_key', 'select, delete');
