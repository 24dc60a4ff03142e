insert into crm.note (tenant_id, id, body, related, pinned, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('note', n, :total), '**' || pg_temp.pick(first_names, w) || '**: ' || pg_temp.pick(notes, w),
    case n % 2
        when 0 then row('lead', pg_temp.id_of('lead', pg_temp.number_of(number, place / 2, nullif(:leads, 0)), :leads))::record_reference
        else row('account', pg_temp.id_of('account', pg_temp.number_of(number, place / 2, nullif(:accounts, 0)), :accounts))::record_reference
    end, n % 11 = 0, made, made, pg_temp.member_of(number, place % :members), pg_temp.member_of(number, place % :members)
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, n * 7 + n / 16 as w, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t
where case n % 2 when 0 then pg_temp.number_of(number, place / 2, nullif(:leads, 0)) else pg_temp.number_of(number, place / 2, nullif(:accounts, 0)) end
    is not null;
