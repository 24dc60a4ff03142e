insert into crm.contact (
    tenant_id, id, first_name, last_name, account_id, title, email, phone, phone_e164, owner_id, tags, address, do_not_contact, created_at, updated_at,
    created_by, updated_by)
select tenants.id, pg_temp.id_of('contact', n, :total), pg_temp.pick(first_names, w), pg_temp.pick(last_names, w + n / 16),
    pg_temp.id_of('account', pg_temp.number_of(number, place / 3, :accounts), :accounts), pg_temp.pick(titles, w),
    pg_temp.pick(latin, w) || '.' || n || '@host' || n % 5000 || '.example', pg_temp.pick(prefixes, w) || ' ' || 2000000 + n % 7000000,
    replace(pg_temp.pick(prefixes, w), ' ', '') || 2000000 + n % 7000000, pg_temp.member_of(number, place % :members),
    case n % 5 when 0 then '{newsletter}' else '{}' end::text[],
    jsonb_build_object('city', pg_temp.pick(cities, w), 'country', pg_temp.pick(countries, w)), n % 17 = 0, made, made,
    pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t;
