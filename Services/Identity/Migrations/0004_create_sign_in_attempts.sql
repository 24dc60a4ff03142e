-- Failed sign-ins and those under way, for the limits per account and per address.
create table sign_in_attempt (
    id uuid not null,
    -- SHA-256 of the address typed in: people also type their password there.
    account text not null,
    address text not null,
    occurred_at timestamptz(3) not null default clock_timestamp(),
    constraint sign_in_attempt_pkey primary key (id)
);
create index sign_in_attempt_by_account on sign_in_attempt (account, occurred_at);
create index sign_in_attempt_by_address on sign_in_attempt (address, occurred_at);
create index sign_in_attempt_age on sign_in_attempt (occurred_at);

do $$ begin
    execute format('grant select, insert, delete on sign_in_attempt to %I', 'martlet_' || current_schema());
end $$;

-- Takes one of the attempts that are left, before the password is looked at; the row goes when the password was right. So a
-- burst sent at once cannot have more guesses than the limit. Gives 0, or the seconds after which there is room again, and
-- whether it is the account that has no room until then.
-- The locks are taken account first, then address, by everybody: two calls cannot wait for each other.
create function take_sign_in_attempt(
    attempt uuid, wanted_account text, wanted_address text, account_limit integer, address_limit integer, period interval,
    out wait integer, out is_account boolean
) language plpgsql volatile as $$
declare
    since timestamptz;
    frees_at timestamptz;
begin
    perform pg_advisory_xact_lock(hashtextextended('sign-in account ' || wanted_account, 0));
    perform pg_advisory_xact_lock(hashtextextended('sign-in address ' || wanted_address, 0));
    since := clock_timestamp() - period;
    select full_window.earliest + period, full_window.by_account into frees_at, is_account from (
        (select occurred_at as earliest, true as by_account from sign_in_attempt
         where account = wanted_account and occurred_at > since order by occurred_at desc offset account_limit - 1 limit 1)
        union all
        (select occurred_at, false from sign_in_attempt
         where address = wanted_address and occurred_at > since order by occurred_at desc offset address_limit - 1 limit 1)
    ) as full_window order by full_window.earliest desc limit 1;
    if frees_at is not null then
        wait := greatest(1, ceil(extract(epoch from frees_at - clock_timestamp())));
    else
        wait := 0;
        insert into sign_in_attempt (id, account, address) values (attempt, wanted_account, wanted_address);
    end if;
end
$$;
