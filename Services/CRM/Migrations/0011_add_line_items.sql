-- Line items of deals: what is sold, from which the amount follows (Shared/Decisions/0030).

create domain deal_line_items as jsonb
    constraint deal_line_items_check check (value = '[]' or (jsonb_typeof(value) = 'array' and jsonb_array_length(value) <= 200));
alter table deal add column line_items deal_line_items not null default '[]';
call audited('deal', 'deal');

-- What a line comes to, in the smallest unit of its currency: quantity × unit price, less a share of it or an amount, rounded once, half a unit
-- upwards. Products of numerics are exact, so nothing is rounded before.
create function line_amount(quantity numeric, unit_price_minor numeric, discount_percent numeric, discount_minor numeric) returns numeric
language sql immutable parallel safe as $$
    select round(quantity * unit_price_minor * (100 - coalesce(discount_percent, 0)) * 0.01 - coalesce(discount_minor, 0))
$$;

-- The tax on a line: of its rounded amount, and rounded by itself, so that what is shown adds up.
create function line_tax(amount_minor numeric, tax_percent numeric) returns numeric language sql immutable parallel safe as $$
    select round(amount_minor * coalesce(tax_percent, 0) * 0.01)
$$;

-- Gives each line what it does not say itself and its product does, and the deal the sum as its amount. A function of the row before it is
-- written, so that it holds for whatever statement gives lines; where a line is wrong, the error's column says which and what of it.
create function count_lines() returns trigger language plpgsql volatile as $$
declare
    maximum constant numeric := 9007199254740991;
    given jsonb;
    n bigint;
    offered record;
    named uuid;
    lines jsonb := '[]';
    amount numeric;
    total numeric := 0;
    unchanged deal;
begin
    if new.line_items = '[]' then return new; end if;
    if tg_op = 'UPDATE' and new.currency <> old.currency and new.line_items = old.line_items then
        raise exception 'prices are in a currency' using errcode = 'check_violation', constraint = 'deal_currency_of_line_items';
    end if;
    for given, n in select value, ordinality - 1 from jsonb_array_elements(new.line_items) with ordinality loop
        -- What stays as it is is not looked up again: its product may have gone, or cost something else by now.
        if tg_op = 'INSERT' or given ->> 'id' is null or not old.line_items @> jsonb_build_array(given) then
            named := (given ->> 'product_id')::uuid;
            if named is not null then
                select id, name, tax_percent, (
                    select price ->> 'unit_price_minor' from jsonb_array_elements(prices) as price where price ->> 'currency' = new.currency
                ) as price into offered
                from product where tenant_id = new.tenant_id and id = named and deleted_at is null;
                if not found and (
                    tg_op = 'INSERT' or given ->> 'id' is null
                    or not old.line_items @> jsonb_build_array(jsonb_build_object('id', given ->> 'id', 'product_id', given ->> 'product_id')))
                then
                    raise exception 'there is no such product' using errcode = 'foreign_key_violation',
                        constraint = 'deal_line_items_product_fkey', table = 'deal', column = '/' || n || '/product_id';
                end if;
                if offered.id is not null then
                    given := given || jsonb_build_object(
                        'name', coalesce(given ->> 'name', offered.name),
                        'unit_price_minor', coalesce(given ->> 'unit_price_minor', offered.price)::bigint,
                        'tax_percent', coalesce(given ->> 'tax_percent', offered.tax_percent::text));
                end if;
            end if;
            if given ->> 'id' is null then given := given || jsonb_build_object('id', uuid_v7()); end if;
            if given ->> 'name' is null then
                raise exception 'a line has no name' using errcode = 'check_violation', constraint = 'deal_line_items_name_required',
                    column = '/' || n || '/name';
            elsif given ->> 'unit_price_minor' is null then
                raise exception 'a line has no price' using errcode = 'check_violation', constraint = 'deal_line_items_price_required',
                    column = '/' || n || '/unit_price_minor';
            elsif given ->> 'discount_percent' is not null and given ->> 'discount_minor' is not null then
                raise exception 'a line has two discounts' using errcode = 'check_violation', constraint = 'deal_line_items_one_discount',
                    column = '/' || n || '/discount_minor';
            end if;
        end if;
        amount := line_amount(
            (given ->> 'quantity')::numeric, (given ->> 'unit_price_minor')::numeric, (given ->> 'discount_percent')::numeric,
            (given ->> 'discount_minor')::numeric);
        if amount < 0 then
            raise exception 'a line is less than nothing' using errcode = 'check_violation', constraint = 'deal_line_items_not_negative',
                column = '/' || n || '/discount_minor';
        end if;
        total := total + amount;
        if total > maximum then
            raise exception 'the lines are too much' using errcode = 'check_violation', constraint = 'deal_line_items_in_range',
                column = '/' || n || '/quantity';
        end if;
        lines := lines || given;
    end loop;
    if new.amount_minor <> total and (tg_op = 'INSERT' or new.amount_minor is distinct from old.amount_minor) then
        raise exception 'the amount is another' using errcode = 'check_violation', constraint = 'deal_amount_minor_of_line_items';
    elsif tg_op = 'UPDATE' and new.amount_minor is null and old.amount_minor is not null and old.line_items <> '[]' then
        raise exception 'the amount is there' using errcode = 'check_violation', constraint = 'deal_amount_minor_of_line_items';
    end if;
    new.line_items := lines;
    new.amount_minor := total;
    if tg_op = 'UPDATE' then
        -- What comes to what was there is no change. The words are not computed by now.
        unchanged := new;
        unchanged.version := old.version;
        unchanged.updated_at := old.updated_at;
        unchanged.updated_by := old.updated_by;
        unchanged.search := old.search;
        if unchanged is not distinct from old then
            new.version := old.version;
            new.updated_at := old.updated_at;
            new.updated_by := old.updated_by;
        end if;
    end if;
    return new;
end
$$;
-- In the order of their names, so before what places a deal.
create trigger lines before update of line_items, amount_minor, currency on deal for each row
    when (new.line_items <> '[]') execute function count_lines();
create trigger lines_of_new before insert on deal for each row when (new.line_items <> '[]') execute function count_lines();
