insert into crm.exchange_rate (tenant_id, id, currency, base_currency, rate, valid_from, source, created_at, updated_at, created_by, updated_by)
select tenants.id, pg_temp.id_of('exchange_rate', n, :total), pg_temp.pick('{EUR,USD,GBP,JPY,CHF,PLN,SEK,AED,ILS,INR,CNY,KRW,CAD,AUD,NOK,KWD}', place), own,
    round((n * 7919 % 90000 + 1) * 0.0001, 4), date '2000-01-01' + (place / 16)::integer, 'ECB', made, made, admin, admin
from generate_series(:from::bigint, :until) as n cross join words
cross join lateral (select pg_temp.tenant_of(n, :total) as t, pg_temp.place_of(n, :total) as place, pg_temp.made_at(n, :total) as made offset 0) as row
join tenants on number = t
cross join lateral (select pg_temp.pick(currencies, number) as own) as home
where pg_temp.pick('{EUR,USD,GBP,JPY,CHF,PLN,SEK,AED,ILS,INR,CNY,KRW,CAD,AUD,NOK,KWD}', place) <> own;
