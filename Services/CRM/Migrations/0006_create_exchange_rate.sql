-- Exchange rates: what a unit of a currency is worth in another, from a day on.

create domain exchange_rate_currency as text constraint exchange_rate_currency_check check (value ~ '^[A-Z]{3}$');
create domain exchange_rate_rate as numeric
    constraint exchange_rate_rate_check check (value > 0 and value < 10000000000 and scale(value) <= 10);

create table exchange_rate (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    currency exchange_rate_currency not null,
    base_currency exchange_rate_currency not null,
    rate exchange_rate_rate not null,
    valid_from date not null,
    source text,
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    constraint exchange_rate_pkey primary key (tenant_id, id),
    -- Of two columns, so no domain can have it.
    constraint exchange_rate_currency_not_base check (currency <> base_currency)
);

call isolate('exchange_rate');
call listed('exchange_rate', orders => '{valid_from}', filters => '{currency, base_currency}');
create unique index exchange_rate_valid_from_unique on exchange_rate (tenant_id, base_currency, currency, valid_from) where deleted_at is null;
call audited('exchange_rate', 'exchange_rate');

-- The digits behind the point of a currency's whole units (ISO 4217): as Core's Currency has them, which a test holds it to.
create function currency_digits(code text) returns integer language sql immutable strict parallel safe as $$
    select case
        when code in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF')
            then 0
        when code in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
        when code in ('CLF', 'UYW') then 4
        else 2
    end
$$;

-- The rate of a currency into another on a day, the newest that is valid by then, and since when: 1 of a currency into itself. No row
-- where there is none.
create function exchange_rate_on(tenant uuid, given text, base text, day date) returns table (rate numeric, valid_from date)
language sql stable parallel safe as $$
    (
        select newest.rate::numeric, newest.valid_from from exchange_rate as newest
        where newest.tenant_id = tenant and newest.base_currency = base and newest.currency = given and newest.valid_from <= day
            and newest.deleted_at is null
        order by newest.valid_from desc limit 1
    )
    union all
    select 1, day where given = base
$$;

-- An amount in smallest units of one currency, in smallest units of another; half a unit is one.
create function exchanged_minor(amount_minor numeric, given text, base text, rate numeric) returns numeric
language sql immutable strict parallel safe as $$
    select round(amount_minor * rate * power(10::numeric, currency_digits(base) - currency_digits(given)))
$$;
