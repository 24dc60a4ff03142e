-- Leads: people who may become customers.
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
    website text,
    source text,
    status text not null default 'new',
    score integer,
    owner_id uuid,
    tags text[] not null default '{}',
    address jsonb,
    description text,
    custom jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    -- The address of a mail is one word to the parser; its parts are words of their own beside it.
    search tsvector not null generated always as (
        to_tsvector('pg_catalog.simple',
            coalesce(first_name, '') || ' ' || last_name || ' ' || coalesce(company, '') || ' ' || coalesce(title, '') || ' '
            || coalesce(email, '') || ' ' || translate(coalesce(email, ''), '@.', '  ') || ' ' || coalesce(phone, '') || ' '
            || coalesce(description, ''))
    ) stored,
    constraint lead_pkey primary key (tenant_id, id),
    constraint lead_status_check check (status in ('new', 'contacted', 'qualified', 'unqualified', 'converted')),
    constraint lead_score_check check (score between 0 and 100),
    constraint lead_custom_check check (key_count(custom) <= 50)
);

-- One for each order that a list can have, and for the filters that narrow a list down; live rows only, as nearly every list.
create index lead_created_at on lead (tenant_id, created_at, id) where deleted_at is null;
create index lead_updated_at on lead (tenant_id, updated_at, id) where deleted_at is null;
create index lead_last_name on lead (tenant_id, last_name, id) where deleted_at is null;
create index lead_company on lead (tenant_id, company, id) where deleted_at is null;
create index lead_score on lead (tenant_id, score, id) where deleted_at is null;
create index lead_status on lead (tenant_id, status, created_at, id) where deleted_at is null;
create index lead_owner_id on lead (tenant_id, owner_id, created_at, id) where deleted_at is null;
create index lead_email on lead (tenant_id, email) where deleted_at is null;
create index lead_deleted on lead (tenant_id, created_at, id) where deleted_at is not null;
create index lead_search on lead using gin (tenant_id, search);

call isolate('lead');
call audited('lead', 'lead', 'search');
call limited('lead', 'leads');
call searchable('lead');
