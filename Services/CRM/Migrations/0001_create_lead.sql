-- Leads: people who may become customers.

create domain lead_status as text
    constraint lead_status_check check (value in ('new', 'contacted', 'qualified', 'unqualified', 'converted'));
create domain lead_score as integer constraint lead_score_check check (value between 0 and 100);

-- What finds a lead: its words, led by the tenant, and the values of the filters that no other index serves. Of a website counts the
-- host with what follows, not how every address begins. A function of its own, as the expression of a generated column is read and planned
-- for each insert, which took longer than to compute it.
-- It names its schema, since a search path of its own would cost as much again; so it is made from text.
do $make$
begin
    execute format(
        $create$
        create function lead_lexemes(
            tenant uuid, first_name text, last_name text, company text, title text, email text, phone text, website text, source text,
            tags text[], address jsonb, description text, custom jsonb
        ) returns tsvector language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(
                tenant, first_name, last_name, company, title, email, phone, substring(website from '^[^/]*//(?:www[.])?(.*)$'),
                address ->> 'street', address ->> 'postal_code', address ->> 'city', address ->> 'region', address ->> 'country', description)
                || %1$I.filter_words(
                    tenant, tags, custom, 'last_name:' || last_name, coalesce('source:' || source, 'source'),
                    coalesce('company:' || company, 'company'), coalesce('email:' || %1$I.email_key(email), 'email'));
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table lead (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    first_name text,
    last_name text not null,
    company text,
    title text,
    email text,
    phone text,
    phone_e164 text,
    website text,
    source text,
    status lead_status not null default 'new',
    score lead_score,
    owner_id uuid,
    tags text[] not null default '{}',
    address jsonb,
    description text,
    custom custom_members not null default '{}',
    -- What it became.
    converted_at timestamptz(3),
    converted_account_id uuid,
    converted_contact_id uuid,
    converted_deal_id uuid,
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    merged_into_id uuid,
    search tsvector not null generated always as (
        lead_lexemes(
            tenant_id, first_name, last_name, company, title, email, phone, website, source, tags, address, description, custom)
    ) stored,
    constraint lead_pkey primary key (tenant_id, id)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- How often a value is with each of the largest tenants, where one for all would mislead.
create statistics lead_status_of_tenant (mcv) on tenant_id, status from lead;
alter statistics lead_status_of_tenant set statistics 1000;

call isolate('lead');
call listed('lead', owner => 'owner_id', orders => '{last_name, company, score}', filters => '{status}', phones => '{phone}');
call audited('lead', 'lead');
call limited('lead', 'leads');
call searchable('lead');
