-- Contacts: people with whom the tenant deals.

-- What finds a contact: its words, led by the tenant, and the values of the filters that no other index serves, as for leads.
do $make$
begin
    execute format(
        $create$
        create function contact_lexemes(
            tenant uuid, first_name text, last_name text, title text, email text, phone text, tags text[], address jsonb, custom jsonb
        ) returns tsvector language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(
                tenant, first_name, last_name, title, email, phone,
                address ->> 'street', address ->> 'postal_code', address ->> 'city', address ->> 'region', address ->> 'country')
                || %1$I.filter_words(
                    tenant, tags, custom, 'last_name:' || last_name, coalesce('email:' || %1$I.email_key(email), 'email'));
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table contact (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    first_name text,
    last_name text not null,
    account_id uuid,
    title text,
    email text,
    phone text,
    phone_e164 text,
    owner_id uuid,
    tags text[] not null default '{}',
    address jsonb,
    do_not_contact boolean not null default false,
    custom custom_members not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    merged_into_id uuid,
    search tsvector not null generated always as (
        contact_lexemes(tenant_id, first_name, last_name, title, email, phone, tags, address, custom)
    ) stored,
    constraint contact_pkey primary key (tenant_id, id),
    constraint contact_account_id_fkey foreign key (tenant_id, account_id) references account (tenant_id, id)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

call isolate('contact');
call listed('contact', owner => 'owner_id', orders => '{last_name}', filters => '{account_id, do_not_contact}', phones => '{phone}');
call audited('contact', 'contact');
call searchable('contact');
