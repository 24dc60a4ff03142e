insert into crm.account (
    tenant_id, id, name, domain, industry, employees, annual_revenue_minor, currency, phone, phone_e164, website, status, parent_id, owner_id, tags,
    address, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('account', n, :total), pg_temp.pick(brands, w) || ' ' || pg_temp.pick(companies, w) || ' ' || n,
    pg_temp.pick(latin, w) || n || '.example', (array['Logistics', 'Energy', 'Food', 'Textiles', 'Machinery', 'Health', 'Chemicals'])[n % 7 + 1],
    (n * 7919 % 20000)::integer, n * 104729 % 100000000000, pg_temp.pick(currencies, w), pg_temp.pick(prefixes, w) || ' ' || 2000000 + n % 7000000,
    replace(pg_temp.pick(prefixes, w), ' ', '') || 2000000 + n % 7000000, 'https://' || pg_temp.pick(latin, w) || n || '.example',
    (array['prospect', 'prospect', 'customer', 'former'])[n / 3 % 4 + 1],
    case when place % 25 > 0 and place % 10 = 0 then pg_temp.id_of('account', pg_temp.number_of(number, place / 25 * 25, :total), :total) end,
    pg_temp.member_of(number, place % :members), case n % 5 when 0 then '{priority}' else '{}' end::text[],
    jsonb_build_object('city', pg_temp.pick(cities, w), 'country', pg_temp.pick(countries, w)), made, made,
    pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t;
