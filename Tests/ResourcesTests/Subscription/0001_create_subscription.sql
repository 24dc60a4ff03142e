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

-- A rule that sees the row as it was and as it is now.
create function hold_subscription_price() returns trigger language plpgsql as $$
begin
    if new.price_minor < old.price_minor and old.status <> 'paused' then
        raise exception 'the price was lowered' using errcode = 'check_violation', constraint = 'subscription_price_minor_not_lowered';
    end if;
    return null;
end
$$;
create trigger hold_price after update of price_minor on subscription for each row execute function hold_subscription_price();

call isolate('subscription');
call listed(
    'subscription', owner => 'owner_id', orders => '{price_minor, ended_at}', filters => '{account_id, contact_id, status}');
create unique index subscription_contract_unique on subscription (tenant_id, contract) where deleted_at is null;
create index subscription_deleted_contract on subscription (tenant_id, contract) where deleted_at is not null;
call audited('subscription', 'subscription');
