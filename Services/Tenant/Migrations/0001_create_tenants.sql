-- Organisations. The key is named tenant_id like everywhere, so that isolation and audit treat the table as any other.
create table tenant (
    tenant_id uuid not null,
    id uuid not null generated always as (tenant_id) stored,
    name text not null,
    slug text not null,
    status text not null default 'active',
    plan text not null default 'free',
    -- What the operator grants or takes beside the plan: requests_per_second, users, leads.
    overrides jsonb not null default '{}',
    locale text not null default 'en',
    time_zone text not null default 'UTC',
    currency text not null default 'USD',
    -- The month that the fiscal year begins with.
    fiscal_year_starts integer not null default 1,
    country text,
    settings jsonb not null default '{}',
    -- Raised when tokens made before must not be used any longer: another slug, plan, status or override.
    epoch bigint not null default 1,
    -- Since when gateways are told something else than tokens say: the epoch, or what travels with each request, as the currency.
    epoch_changed_at timestamptz(3) not null default now(),
    version bigint not null default 1,
    created_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_at timestamptz(3) not null default now(),
    updated_by uuid not null,
    constraint tenant_pkey primary key (tenant_id),
    constraint tenant_status_known check (status in ('active', 'suspended')),
    constraint tenant_slug_form check (slug ~ '^[a-z0-9-]{3,40}$'),
    constraint tenant_settings_size check (length(settings::text) <= 16384),
    constraint tenant_fiscal_year_starts_month check (fiscal_year_starts between 1 and 12),
    constraint tenant_country_form check (country ~ '^[A-Z]{2}$'),
    constraint tenant_name_length check (length(name) between 1 and 200)
);
-- The one key across tenants: a slug is a part of an address, so it is public by nature.
create unique index tenant_slug_unique on tenant (slug);
create index tenant_epoch_changed on tenant (epoch_changed_at);
create index tenant_suspended on tenant (tenant_id) where status = 'suspended';

call isolate('tenant', 'select, insert, update');
-- The trail shows what the API shows: epochs are the gateways' business.
call audited('tenant', 'tenant', 'epoch', 'epoch_changed_at');
-- For the list of all tenants, and to find one by its slug.
call open_to_system('tenant', 'select');
