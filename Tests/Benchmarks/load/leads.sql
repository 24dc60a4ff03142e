insert into crm.lead (
    tenant_id, id, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags, address,
    description, custom, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('lead', n, :total), pg_temp.pick(first_names, w), pg_temp.pick(last_names, w),
    pg_temp.pick(brands, w + n / 160) || ' ' || pg_temp.pick(companies, w + n / 160) || case when n % 7 = 0 then ' ' || n % 900 else '' end, pg_temp.pick(titles, w),
    pg_temp.pick(latin, w) || '.' || n || '@host' || n % 5000 || '.example', pg_temp.pick(prefixes, w) || ' ' || 2000000 + n % 7000000,
    replace(pg_temp.pick(prefixes, w), ' ', '') || 2000000 + n % 7000000,
    case when n % 3 = 0 then 'https://' || pg_temp.pick(latin, w) || n % 5000 || '.example' end,
    (array['website', 'referral', 'trade fair', 'outbound', 'partner'])[n / 3 % 5 + 1],
    (array['new', 'new', 'contacted', 'contacted', 'contacted', 'qualified', 'unqualified'])[n / 5 % 7 + 1], n * 37 % 101,
    case when n % 20 > 0 then pg_temp.member_of(number, place % :members) end,
    case n % 6 when 0 then '{priority}' when 1 then '{newsletter,emea}' when 2 then '{renewal}' else '{}' end::text[],
    jsonb_build_object('city', pg_temp.pick(cities, w), 'country', pg_temp.pick(countries, w)), case when n % 2 = 0 then pg_temp.pick(notes, w) end,
    case when n % 4 = 0 then jsonb_build_object('tier', (array['gold', 'silver', 'bronze'])[n / 4 % 3 + 1], 'seats', n % 400) else '{}' end,
    made, made, pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t;
