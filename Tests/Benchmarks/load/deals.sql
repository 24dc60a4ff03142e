insert into crm.deal (
    tenant_id, id, name, account_id, contact_id, pipeline_id, stage_id, stage_changed_at, status, amount_minor, currency, probability,
    expected_close_on, closed_at, lost_reason, owner_id, tags, line_items, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('deal', n, :total), pg_temp.pick(brands, w) || ' ' || pg_temp.pick(companies, w) || ': ' || n % 400 || ' ' || pg_temp.pick(titles, w),
    pg_temp.id_of('account', pg_temp.number_of(number, place / 2, :accounts), :accounts),
    pg_temp.id_of('contact', pg_temp.number_of(number, place / 2 * 3, :contacts), :contacts), stage.pipeline_id, stage.id, moved, stage.kind,
    case when n % 10 = 3 then 2 * price else price end, own, stage.probability, (made + interval '1 day' * (30 + n % 120))::date,
    case when stage.kind <> 'open' then moved end, case when stage.kind = 'lost' then (array['Price', 'No budget', 'Chose another', 'No answer'])[n % 4 + 1] end,
    pg_temp.member_of(number, place % :members), case n % 6 when 0 then '{priority}' when 1 then '{renewal}' else '{}' end::text[],
    case when n % 10 = 3
        then jsonb_build_array(jsonb_build_object(
            'id', md5('line ' || n)::uuid, 'product_id', null, 'name', pg_temp.pick(brands, w), 'quantity', '2', 'unit_price_minor', price,
            'discount_percent', null, 'discount_minor', null, 'tax_percent', '19'))
        else '[]'
    end, made, moved, pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (
    select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made,
        n * 104729 % 5000000 + 100 as price offset 0
) as row
join tenants on number = t
cross join lateral (
    select least(made + interval '1 day' * (n % 60), :'now'::timestamptz) as moved, pg_temp.pick(currencies, number) as own
) as further
join crm.stage on stage.tenant_id = tenants.id and stage.position = (array[1, 1, 2, 2, 3, 3, 4, 5, 5, 6])[n / 3 % 10 + 1];
