-- Accounts: companies.

create domain account_status as text constraint account_status_check check (value in ('prospect', 'customer', 'former'));
create domain account_currency as text constraint account_currency_check check (value ~ '^[A-Z]{3}$');

-- What finds an account: its words, led by the tenant, and the values of the filters that no other index serves, as for leads.
do $make$
begin
    execute format(
        $create$
        create function account_lexemes(
            tenant uuid, name text, domain text, industry text, phone text, website text, tags text[], address jsonb, custom jsonb
        ) returns tsvector language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(
                tenant, name, domain, industry, phone, substring(website from '^[^/]*//(?:www[.])?(.*)$'),
                address ->> 'street', address ->> 'postal_code', address ->> 'city', address ->> 'region', address ->> 'country')
                || %1$I.filter_words(
                    tenant, tags, custom, 'name:' || name, coalesce('domain:' || domain, 'domain'),
                    coalesce('industry:' || industry, 'industry'), 'site:' || %1$I.web_host(website));
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table account (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    name text not null,
    domain text,
    industry text,
    employees integer,
    annual_revenue_minor bigint,
    currency account_currency not null,
    phone text,
    phone_e164 text,
    website text,
    status account_status not null default 'prospect',
    parent_id uuid,
    owner_id uuid,
    tags text[] not null default '{}',
    address jsonb,
    custom custom_members not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    merged_into_id uuid,
    search tsvector not null generated always as (
        account_lexemes(tenant_id, name, domain, industry, phone, website, tags, address, custom)
    ) stored,
    constraint account_pkey primary key (tenant_id, id),
    constraint account_parent_id_fkey foreign key (tenant_id, parent_id) references account (tenant_id, id)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics account_status_of_tenant (mcv) on tenant_id, status from account;
alter statistics account_status_of_tenant set statistics 1000;

call isolate('account');
call listed(
    'account', owner => 'owner_id', orders => '{name, employees, annual_revenue_minor}', filters => '{status, parent_id}',
    phones => '{phone}');
call nested('account', 'parent_id');
call audited('account', 'account');
call searchable('account');
