-- By what records are taken for one, and what a merge of them needs beside the tables of a service that has such (Shared/Decisions/0032).

-- Fails the transaction with that state when the condition holds: for what a write is held to by a statement before its own.
create function fail_when(condition boolean, state text) returns void language plpgsql as $$
begin
    if condition then raise exception 'a condition of the write does not hold' using errcode = state; end if;
end
$$;

-- The host of a web address without www., in lower case.
create function web_host(address text) returns text language sql immutable parallel safe
    return lower(substring(address from '^[^/]*//(?:[wW]{3}[.])?([^/?#:]+)') collate "C") collate "default";

-- The words of a name, five at most, as a query finds them: each, and what begins with so many letters of it. One that is spelt in two ways
-- (Müller, Mueller) is found by either.
create function name_words(tenant uuid, name text, letters integer, out place integer, out whole text, out beginning text) returns setof record
language sql immutable strict parallel safe
begin atomic
    select place, '(' || string_agg(quoted_lexeme(lexeme), ' | ') || ')',
        '(' || string_agg(quoted_lexeme(left(lexeme, length(tenant_mark(tenant)) + letters)) || ':*', ' | ') || ')'
    from (select lexeme, positions[1] as place from unnest(search_words(tenant, name))) as words
    -- Behind all others stand parts of words.
    where place < 16382
    group by place
    order by place
    limit 5;
end;

-- The records with all words of a name. Null when it has none.
create function name_query(tenant uuid, name text) returns tsquery language sql immutable strict parallel safe
begin atomic
    select string_agg(whole, ' & ')::tsquery from name_words(tenant, name, 1);
end;

-- The records with a name that may be meant for this one: with one of its words, and with what begins like another of them; a single word
-- by its beginning. Null when it has none.
create function similar_name_query(tenant uuid, name text) returns tsquery language sql immutable strict parallel safe
begin atomic
    select coalesce(
        (
            select string_agg(found, ' | ')
            from (
                select '(' || word.whole || ' & (' || string_agg(other.beginning, ' | ') || '))' as found
                from name_words(tenant, name, 2) as word join name_words(tenant, name, 2) as other on other.place <> word.place
                group by word.place, word.whole
            ) as pairs
        ),
        (select beginning from name_words(tenant, name, 3) limit 1))::tsquery;
end;
