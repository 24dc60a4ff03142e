-- Products: what a tenant sells, with a price in each currency.

create domain product_prices as jsonb
    constraint product_prices_check check (value = '[]' or (jsonb_typeof(value) = 'array' and jsonb_array_length(value) <= 100));
create domain product_tax_percent as numeric
    constraint product_tax_percent_check check (value between 0 and 100 and scale(value) <= 4);

-- What finds a product: its words, led by the tenant, and the values of the filters that no other index serves, as for leads.
do $make$
begin
    execute format(
        $create$
        create function product_lexemes(tenant uuid, name text, sku text, description text, tags text[], custom jsonb) returns tsvector
        language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(tenant, name, sku, description)
                || %1$I.filter_words(tenant, tags, custom, 'name:' || name);
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table product (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    name text not null,
    sku text,
    description text,
    active boolean not null default true,
    prices product_prices not null default '[]',
    tax_percent product_tax_percent,
    tags text[] not null default '{}',
    custom custom_members not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (product_lexemes(tenant_id, name, sku, description, tags, custom)) stored,
    constraint product_pkey primary key (tenant_id, id)
);

call isolate('product');
call listed('product', orders => '{name}', filters => '{active}');
-- An article number is one live product's.
create unique index product_sku_unique on product (tenant_id, sku) where deleted_at is null and sku is not null;
create index product_deleted_sku on product (tenant_id, sku) where deleted_at is not null and sku is not null;
call audited('product', 'product');
call searchable('product');
