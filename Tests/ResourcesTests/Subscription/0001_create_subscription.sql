-- Subscriptions: what accounts pay for, month by month.

create domain subscription_status as text
    constraint subscription_status_check check (value in ('trial', 'active', 'paused', 'ended'));

create table subscription (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    contract text not null,
    account_id uuid not null,
    contact_id uuid,
    price_minor bigint not null default 0,
    owner_id uuid,
    status subscription_status not null default 'trial',
    ended_at timestamptz(3),
    reason text,
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint subscription_pkey primary key (tenant_id, id),
    constraint subscription_account_id_fkey foreign key (tenant_id, account_id) references account (tenant_id, id),
    constraint subscription_contact_id_fkey foreign key (tenant_id, contact_id) references contact (tenant_id, id),
    constraint subscription_reason_required check (status <> 'ended' or reason is not null)
);

create index subscription_created_at on subscription (tenant_id, created_at, id) where deleted_at is null;
create index subscription_updated_at on subscription (tenant_id, updated_at, id) where deleted_at is null;
create index subscription_price_minor on subscription (tenant_id, price_minor, id) where deleted_at is null;
create index subscription_ended_at on subscription (tenant_id, ended_at, id) where deleted_at is null;
create index subscription_deleted_created_at on subscription (tenant_id, created_at, id) where deleted_at is not null;
create index subscription_deleted_updated_at on subscription (tenant_id, updated_at, id) where deleted_at is not null;
create index subscription_deleted_price_minor on subscription (tenant_id, price_minor, id) where deleted_at is not null;
create index subscription_deleted_ended_at on subscription (tenant_id, ended_at, id) where deleted_at is not null;
create index subscription_account_id on subscription (tenant_id, account_id, created_at, id) where deleted_at is null;
create index subscription_contact_id on subscription (tenant_id, contact_id, created_at, id) where deleted_at is null;
create index subscription_status on subscription (tenant_id, status, created_at, id) where deleted_at is null;
create index subscription_owner_id on subscription (tenant_id, (case when owner_id is null then created_by else owner_id end), created_at, id) where deleted_at is null;
create index subscription_no_owner_id on subscription (tenant_id, created_at, id) where deleted_at is null and owner_id is null;
create unique index subscription_contract_unique on subscription (tenant_id, contract) where deleted_at is null;
create unique index subscription_external_id_unique on subscription (tenant_id, external_id) where deleted_at is null and external_id is not null;

-- A rule that sees the row as it was and as it will be.
create function hold_subscription_price() returns trigger language plpgsql as $$
begin
    if new.price_minor < old.price_minor and old.status <> 'paused' then
        raise exception 'the price was lowered' using errcode = 'check_violation', constraint = 'subscription_price_minor_lowered';
    end if;
    return new;
end
$$;
create trigger hold_price before update of price_minor on subscription for each row execute function hold_subscription_price();

call isolate('subscription');
call audited('subscription', 'subscription');
