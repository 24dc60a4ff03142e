insert into crm.product (
    tenant_id, id, name, sku, description, active, prices, tax_percent, tags, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('product', n, :total), pg_temp.pick(brands, w) || ' ' || n, 'P-' || n, pg_temp.pick(notes, w), n % 12 > 0,
    jsonb_build_array(
        jsonb_build_object('currency', 'EUR', 'unit_price_minor', n * 7919 % 500000), jsonb_build_object('currency', 'JPY', 'unit_price_minor', n * 7919 % 900000),
        jsonb_build_object('currency', 'KWD', 'unit_price_minor', n * 7919 % 200000)),
    (array[0, 7, 19, 8.875])[n % 4 + 1], '{}', made, made, admin, admin
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t;
