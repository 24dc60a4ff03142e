-- How records are found by what people type. A searchable table has a column `search tsvector`, with a plain gin index, made of two
-- kinds of lexemes:
--
--   1a2b3c4dberg          a word, folded
--   1a2b3c4d=source:fair  a value that a filter compares, exactly
--
-- All begin with their tenant's mark: an index over all tenants would otherwise read everybody's words for a short prefix. Tenants
-- that have the same mark by chance cost each other time, no more, as the tenant is compared too.
--
-- What fills the column does so without the service's search path too, as when a dump is restored. An expression of PL/pgSQL costs some
-- microseconds in each transaction, so what runs for every row has few.

-- What a tenant's lexemes begin with, and the lexeme that each of its rows has. The end of an id is random, where its beginning is a
-- time.
create function tenant_mark(tenant uuid) returns text language sql immutable parallel safe
    return right(tenant::text, 8);

-- Text as it is compared: lower case, letters without marks, each character in its plain form, each sign as the ASCII sign that it
-- stands for or else a blank. What is not ASCII in the result is letters and digits of other scripts.
create function fold(input text) returns text language plpgsql immutable strict parallel safe as $$
declare
    folded text := input;
begin
    if octet_length(folded) = length(folded) then return replace(lower(folded collate "C"), '`', ''''); end if;
    -- These would decompose: the acute accent that stands for an apostrophe into a blank, ™ into letters.
    folded := replace(regexp_replace(folded, '[¨˜™℠]', ' ', 'g'), '´', '''');
    folded := lower(normalize(folded, NFKD) collate "und-x-icu");
    -- Marks of Latin, Greek, Cyrillic, Hebrew and Arabic letters, with vowel signs and tatweel, and what shows nothing: soft hyphens,
    -- joiners, directions, selectors. The vowels of Indian and other Asian scripts stay; they are no decoration there.
    folded := regexp_replace(
        folded,
        '[\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u061c\u0640\u064b-\u065f\u0670'
        '\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u08d3-\u08ff\u180b-\u180e\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f'
        '\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\U000e0000-\U000e0fff]+',
        '', 'g');
    if octet_length(folded) > length(folded) then
        folded := regexp_replace(folded, '[‘’‚‛′ʹʻʼʽʾʿˈˊˋ՚׳״ꞌ]', '''', 'g');
        folded := regexp_replace(folded, '[“”„‟«»″‹›〝〞]', '"', 'g');
        folded := regexp_replace(folded, '[‐‑‒–—―−⁃·֊־゠]', '-', 'g');
        -- All other signs: punctuation, symbols, private use.
        folded := regexp_replace(
            folded,
            '[\u0080-\u00bf\u00d7\u00f7\u02c2-\u02df\u02e5-\u02ff\u0559-\u055f\u0589\u058d-\u058f\u05c0\u05c3\u05c6\u0600-\u060f'
            '\u061b-\u061f\u066a-\u066d\u06d4\u06dd\u06de\u06e9\u06fd\u06fe\u0700-\u070d\u0964\u0965\u0970\u0df4\u0e3f\u0e4f\u0e5a\u0e5b'
            '\u0f01-\u0f17\u0f3a-\u0f3d\u104a-\u104f\u10fb\u1360-\u1368\u1400\u166d\u166e\u1680\u169b\u169c\u16eb-\u16ed\u17d4-\u17db'
            '\u1800-\u180a\u2000-\u206f\u207a-\u207e\u208a-\u208e\u20a0-\u20cf\u2100-\u214f\u2190-\u2bff\u2cf9-\u2cff\u2e00-\u2e7f'
            '\u2ff0-\u2fff\u3000-\u3004\u3008-\u3020\u3030\u3036\u3037\u303d-\u303f\u30fb\ua4fe\ua4ff\ua60d-\ua60f\ua830-\ua839'
            '\ue000-\uf8ff\ufd3e\ufd3f\ufe10-\ufe6f\ufff0-\uffff\U0001d000-\U0001d3ff\U0001f000-\U0001fbef\U000f0000-\U0010ffff]+',
            ' ', 'g');
        -- Letters that do not decompose, letters that Arabic and Persian keyboards write in two ways, digits of other scripts.
        folded := replace(replace(replace(replace(folded, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        folded := translate(folded, 'øłđðħŧıŋςٱىیےکةەہھ', 'olddhtinσايييكهههه');
        if folded ~ '[٠-٩۰-۹०-९০-৯๐-๙]' then
            folded := translate(
                folded, '٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९০১২৩৪৫৬৭৮৯๐๑๒๓๔๕๖๗๘๙', '01234567890123456789012345678901234567890123456789');
        end if;
        -- Kana and Korean syllables were taken apart.
        folded := normalize(folded, NFC);
    end if;
    return replace(folded, '`', '''');
end
$$;

-- Müller as Mueller, Sørensen as Soerensen: how people write who have no such key. Null when nothing is spelled so.
create function spell_out(input text) returns text language plpgsql immutable strict parallel safe as $$
declare
    composed text;
begin
    if octet_length(input) = length(input) then return null; end if;
    composed := normalize(input, NFC);
    if composed !~ '[äöøüåÄÖØÜÅ]' then return null; end if;
    composed := replace(replace(replace(composed, 'ä', 'ae'), 'ö', 'oe'), 'ø', 'oe');
    composed := replace(replace(replace(composed, 'Ä', 'ae'), 'Ö', 'oe'), 'Ø', 'oe');
    return replace(replace(replace(replace(composed, 'ü', 'ue'), 'Ü', 'ue'), 'å', 'aa'), 'Å', 'aa');
end
$$;

-- Folded text as lexemes with the mark before each.
--
-- With their places, for phrases: its words. A word is a run of letters and digits, past apostrophes too: o'hara is ohara. Scripts that
-- part words by no blanks, or only at times, give each two neighbouring characters, 東京都 as 東京 京都, so that any part of a run is a
-- phrase. Places are counted to 16,381, then from 1 again. A word is cut at 200 characters, the length of a whole query.
--
-- At place 16,383, beside none of them, what a text is found by as well: the parts of o'hara, smithjones for smith-jones, usa for u.s.a.,
-- the last character of a run such as 東京都; and of a number of 4 to 20 digits, however it is written, the digits without zeros before
-- them, and backwards as <1010555, so that a telephone number is found by any end of it. (Without a place they would hide words that have
-- one from a phrase that ends with the beginning of both.)
--
-- A tsvector holds 1 MB, and a pair of characters takes 20 bytes: there are at most 50,000 words, and 5,000 of the others.
--
-- `spelled` is the same text with other letters (Mueller for Müller), whose words share the places; null when there is none.
create function lexemes(mark text, folded text, spelled text) returns tsvector language plpgsql immutable parallel safe as $$
declare
    found text := mark;
    words text[];
    word text;
    place integer := 0;
    more text[];
    rest text;
    is_ascii boolean;
    -- Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer.
    unspaced text;
begin
    if folded ~ '[^\x01-\x7f]|[''-]|[.][^.][.]|[0-9].{0,3}[0-9].{0,3}[0-9].{0,3}[0-9]' then
        is_ascii := octet_length(folded) = length(folded);
        rest := replace(folded, '''', '');
        if rest <> folded then
            more := array(
                select part
                from regexp_matches(folded, '[^\x01-/:-\x60{-\x7f]+(?:''[^\x01-/:-\x60{-\x7f]+)+', 'g') as matches (match),
                    string_to_table(match[1], '''') as parts (part));
            folded := rest;
        end if;
        if folded ~ '[^\x01-/:-\x60{-\x7f]-[^\x01-/:-\x60{-\x7f]|[.][^\x01-/:-\x60{-\x7f][.]' then
            more := more || array(
                select translate(match[1], '-.', '')
                from regexp_matches(
                    folded,
                    '[^\x01-/:-\x60{-\x7f]+(?:-[^\x01-/:-\x60{-\x7f]+)+'
                    '|(?<![^\x01-/:-\x60{-\x7f])[^\x01-/:-\x60{-\x7f][.][^\x01-/:-\x60{-\x7f](?:(?:[.][^\x01-/:-\x60{-\x7f])+|[.])(?![^\x01-/:-\x60{-\x7f])',
                    'g') as matches (match)
                where match[1] ~ '[^0-9.-]');
        end if;
        if rest ~ '[0-9](?:(?:| |(?:[)]|[(]0[)])?-| - |,| ?[/().]{1,2} ?| ?[(]0[)] ?)[0-9]){3}' then
            more := more || array(
                select unnest(array[ltrim(number, '0'), '<' || reverse(number)])
                from regexp_matches(
                    rest, '[0-9](?:(?:| |(?:[)]|[(]0[)])?-| - |,| ?[/().]{1,2} ?| ?[(]0[)] ?)[0-9]){3,}', 'g') as matches (match)
                -- (0) is dialled within a country only.
                cross join lateral (select translate(replace(match[1], '(0)', ''), '/().-,', '') as run) as runs
                -- Numbers beside each other are no telephone number when they are too short or too long for one together.
                cross join lateral unnest(case
                    when length(replace(run, ' ', '')) between 7 and 20 then array[replace(run, ' ', '')]
                    else string_to_array(run, ' ')
                end) as numbers (number)
                where length(number) between 4 and 20);
        end if;
        if not is_ascii then
            unspaced := '[\u0e01-\u0edf\u1000-\u109f\u1100-\u11ff\u1780-\u17df\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c'
                '\u3041-\u31ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b2ff\U00020000-\U0003ffff]';
            if folded ~ unspaced then
                more := more || array(
                    select match[1]
                    from regexp_matches(folded, unspaced || '(' || unspaced || ')(?!' || unspaced || ')', 'g') as matches (match));
                folded := string_agg(pair, ' ' order by n, m)
                    from (
                        select n, m, case
                            when next is not null then part || next
                            when m = 1 then part
                        end as pair
                        from (
                            select n, m, part, lead(part) over (partition by n order by m) as next
                            from string_to_table(regexp_replace(folded, '(' || unspaced || '+)', ' \1 ', 'g'), ' ')
                                with ordinality as spans (span, n)
                            cross join lateral unnest(
                                case when left(span, 1) ~ unspaced then string_to_array(span, null) else array[span] end)
                                with ordinality as parts (part, m)
                            where span <> ''
                        ) as parts
                    ) as words
                    where pair is not null;
            else
                unspaced := null;
            end if;
        end if;
    end if;
    words := string_to_array(btrim(regexp_replace(folded, '[\x01-/:-\x60{-\x7f]+', ' ', 'g')), ' ');
    if length(folded) > 500 or spelled is not null then
        return (
            select mark || coalesce(string_agg(' ' || mark || left(lexeme, 200) || ':' || coalesce((n - 1) % 16381 + 1, 16383), ''), '')
            from (
                select lexeme, n from unnest(words[:50000]) with ordinality as words (lexeme, n)
                union all
                -- Pairs of characters have shifted the places.
                select lexeme, case when unspaced is null then n end
                from string_to_table(btrim(regexp_replace(replace(spelled, '''', ''), '[\x01-/:-\x60{-\x7f]+', ' ', 'g')), ' ')
                    with ordinality as words (lexeme, n)
                where n <= 50000 and (unspaced is null or lexeme !~ '[^\x01-\x7f]')
                union all
                select lexeme, null from unnest(more[:5000]) as more (lexeme)
            ) as lexemes
            where lexeme <> ''
        )::tsvector;
    end if;
    -- The same for a short text, in less time.
    if more <> '{}' then found := mark || ' ' || mark || array_to_string(more, ':16383 ' || mark) || ':16383'; end if;
    foreach word in array words loop
        place := place + 1;
        found := found || ' ' || mark || word || ':' || place;
    end loop;
    return found::tsvector;
end
$$;

-- The words of a tenant's texts, for the column `search`; nulls are passed over. The texts are joined by two blanks, so that a number does
-- not go on from one to the next.
--
-- Most texts are short and plain, with one number at most: for those a few expressions do what `lexemes` does, in a third of the time,
-- and a test holds the two against each other. Postgres's parser splits them there; it leaves words of letters and digits whole, but
-- for such as 12e5b. The function names its schema, so it is made from text.
do $make$
begin
    execute format(
        $create$
        create function search_words(tenant uuid, variadic texts text[]) returns tsvector language plpgsql immutable strict parallel safe as $body$
        declare
            plain text := lower(array_to_string(texts, '  ') collate "C");
            digits text;
            ends text;
        begin
            if octet_length(plain) > 500
                or plain ~ '[^\x01-\x7f]|[''`]|[a-z][0-9]*-[a-z0-9]|[0-9]-[0-9]*[a-z]|[.][a-z0-9][.]|[0-9]e[0-9]|[0-9].{0,3}[0-9].{0,3}[0-9].{0,3}[0-9]'
            then
                digits := case
                    when octet_length(plain) <= 500
                        and plain !~ '[^\x01-\x7f]|[''`]|[a-z][0-9]*-[a-z0-9]|[0-9]-[0-9]*[a-z]|[.][a-z0-9][.]|[0-9]e[0-9]'
                    then substring(plain from '[0-9](?:(?:| |(?:[)]|[(]0[)])?-| - |,| ?[/().]{1,2} ?| ?[(]0[)] ?)[0-9]){3,}') end;
                if coalesce(
                    length(regexp_replace(replace(digits, '(0)', ''), '[^0-9]', '', 'g'))
                        not between case when strpos(digits, ' ') > 0 then 7 else 4 end and 20
                    or substr(plain, strpos(plain, digits) + length(digits)) ~ '[0-9](?:(?:| |(?:[)]|[(]0[)])?-| - |,| ?[/().]{1,2} ?| ?[(]0[)] ?)[0-9]){3}', true)
                then
                    plain := left(array_to_string(texts, '  '), 52000);
                    return %1$I.lexemes(
                        right(tenant::text, 8), left(%1$I.fold(plain), 52000), left(%1$I.fold(%1$I.spell_out(plain)), 52000));
                end if;
                digits := translate(replace(digits, '(0)', ''), ' /().-,', '');
                ends := concat(
                    ' ', right(tenant::text, 8), ltrim(digits, '0'), ':16383 ', right(tenant::text, 8), '<', reverse(digits), ':16383');
            end if;
            return concat(
                right(tenant::text, 8), ends, replace(
                    ' ' || to_tsvector('pg_catalog.simple', regexp_replace(plain, '[\x01-\x1f!-/:-\x60{-\x7f]+', ' ', 'g'))::text,
                    ' ''', ' ''' || right(tenant::text, 8)))::tsvector;
        end
        $body$
        $create$,
        current_schema());
end
$make$;

-- Words that follow each other, as a condition; the readings are one text with other signs left out, any of which may match. Null when
-- there is no word. `unfinished` lets the last word be the beginning of one.
create function phrase_condition(mark text, unfinished boolean, variadic readings text[]) returns text
language plpgsql immutable strict parallel safe as $$
begin
    return (
        select string_agg(distinct phrase, ' | ')
        from (select distinct reading from unnest(readings) as readings (reading) where reading is not null) as readings
        cross join lateral (
            select string_agg(
                '''' || mark || lexeme || ''''
                -- A single Chinese character is found as the beginning of a pair.
                || case when unfinished and place = last or length(lexeme) = 1 and octet_length(lexeme) > 2 then ':*' else '' end,
                ' <-> ' order by place) as phrase
            from (
                select lexeme, place, max(place) over () as last
                from unnest(lexemes('', reading, null)) as vector (lexeme, places), unnest(places) as place
                where place < 16383
            ) as words
        ) as phrases
    );
end
$$;

-- A piece of folded text as a condition: its words follow each other (smith-jones, o'hara, u.s.a.) or are written as one.
create function piece_condition(mark text, piece text, unfinished boolean) returns text language plpgsql immutable strict parallel safe as $$
begin
    return phrase_condition(
        mark, unfinished, piece, translate(piece, '''', '-'), replace(piece, '-', ''),
        case when piece ~ '^[^\x01-/:-\x60{-\x7f]([.][^\x01-/:-\x60{-\x7f])+[.]?$' then replace(piece, '.', '') end);
end
$$;

-- A number as a condition, without + and zeros before it: the beginning of one, or an end of one (040 555 0101 of +49 40 555 0101). Given
-- with its country, it is also a number that was written without.
create function number_condition(mark text, number text, unfinished boolean) returns text language plpgsql immutable strict parallel safe as $$
declare
    written text := regexp_replace(number, '[^0-9]', '', 'g');
    digits text := ltrim(written, '0');
    national text;
begin
    if length(written) not between 4 and 20 then return null; end if;
    if length(digits) < 4 then return '''' || mark || '<' || reverse(written) || ''':*'; end if;
    if number ~ '^([+]|00)' then
        -- Country codes have 1, 2 or 3 digits, by how they begin.
        national := substr(digits, case
            when digits ~ '^[17]' then 2
            when digits ~ '^(2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])' then 3
            else 4
        end);
    end if;
    return '''' || mark || digits || '''' || case when unfinished then ':*' else '' end || ' | ''' || mark || '<' || reverse(digits) || ''':*'
        || case when length(national) >= 7 then ' | ''' || mark || national || '''' else '' end;
end
$$;

-- What people type, as a query over one tenant's lexemes: words, "phrases", -exclusions and or; the last word also finds longer words,
-- so that a search can be shown while it is typed, unless it is excluded or the text ends with a blank or a quote. One letter is
-- enough for that: an index led by the tenant reads no more for it than for a common word. Any text is a query; one without a word finds nothing.
create function search_query(tenant uuid, query text) returns tsquery
language plpgsql immutable strict parallel safe set search_path from current set client_min_messages = warning as $$
declare
    mark text := tenant_mark(tenant);
    -- A minus; then a phrase, a number with the signs within it, or what stands between blanks.
    pattern constant text :=
        '(-*)(?:"([^"]*)(?:"|$)|([+]?[(]?[0-9](?:(?:| |[)]?-| - |,| ?[/().]{1,2} ?)[0-9]){3,})(?=[ "]|$)|([^ "]+))';
    typed text := regexp_replace(replace(fold(query), '(0)', ''), '[\x01-\x1f\x7f]', ' ', 'g');
    spelled text := regexp_replace(replace(fold(coalesce(spell_out(query), query)), '(0)', ''), '[\x01-\x1f\x7f]', ' ', 'g');
    part record;
    is_or boolean;
    unfinished boolean;
    condition text;
    has_word boolean := false;
    alternative text := '';
    alternatives text := '';
begin
    for part in
        select typed.match[1] <> '' as is_excluded, typed.match[2] as phrase, typed.match[3] as number, typed.match[4] as word,
            coalesce(typed.match[2], typed.match[3], typed.match[4]) as piece,
            coalesce(spelled.match[2], spelled.match[3], spelled.match[4]) as spelling,
            n = count(*) over () as is_last
        from regexp_matches(typed, pattern, 'g') with ordinality as typed (match, n)
        left join regexp_matches(spelled, pattern, 'g') with ordinality as spelled (match, n) using (n)
        order by n
    loop
        is_or := part.word = 'or' and not part.is_excluded and not part.is_last and alternative <> '';
        if not coalesce(is_or, false) then
            unfinished := part.is_last and not part.is_excluded and right(typed, 1) not in (' ', '"');
            if part.number is null then
                condition := piece_condition(mark, part.piece, unfinished);
                if part.spelling <> part.piece then
                    condition := concat_ws(' | ', condition, piece_condition(mark, part.spelling, unfinished));
                end if;
            else
                -- The words of 555 0101 may stand apart.
                condition := (
                    select concat_ws(
                        ' | ', string_agg('(' || piece_condition(mark, word, unfinished and place = words) || ')', ' & '),
                        number_condition(mark, part.number, unfinished))
                    from (
                        select word, place, count(*) over () as words
                        from string_to_table(part.number, ' ') with ordinality as words (word, place)
                    ) as words);
            end if;
            if condition <> '' then
                alternative := alternative || case when alternative = '' then '' else ' & ' end
                    || case when part.is_excluded then '!(' else '(' end || condition || ')';
                has_word := has_word or not part.is_excluded;
            end if;
        end if;
        if (is_or or part.is_last) and alternative <> '' then
            -- What is only excluded is left out of the tenant's own rows, not of everybody's.
            alternatives := alternatives || case when alternatives = '' then '' else ' | ' end
                || case when has_word then '(' else '(''' || mark || ''' & ' end || alternative || ')';
            alternative := '';
            has_word := false;
        end if;
    end loop;
    return alternatives::tsquery;
end
$$;

-- An address of e-mail as it is compared: without case.
create function email_key(address text) returns text language sql immutable parallel safe
    return case
        when octet_length(address) = length(address) then lower(address collate "C") collate "default"
        else lower(normalize(address, NFC) collate "und-x-icu") collate "default"
    end;

-- The fields of a record, each as <field>:<value>, folded, as `filter_words` has them in between; 200 characters of a value count. One that
-- people also spell otherwise (Mueller for Müller) stands there twice.
create function folded_values(mark text, fields text[]) returns text language plpgsql immutable strict parallel safe as $$
begin
    return (
        select string_agg(field || ':' || left(fold(spelling), 200), chr(1) || mark || '^')
        from unnest(fields) as fields (given)
        cross join lateral (select split_part(given, ':', 1) as field, substr(given, strpos(given, ':') + 1) as value) as parts
        cross join lateral unnest(array[value, spell_out(value)]) as spellings (spelling)
        where strpos(given, ':') > 0 and spelling is not null);
end
$$;

-- The values of a record that a filter compares, for the column `search`: the tags, as `tag`, the members of custom, each as
-- `custom.<key>`, and the fields, given as `<field>:<value>`, or as `<field>` where there is no value. Each is a lexeme with = before it, and
-- of a field there is a second one with ^, folded, so that what begins alike lies together. No word has these signs. Of a value of custom
-- that has more than 255 characters there is a hash; no field may have more.
create function filter_words(tenant uuid, tags text[], custom jsonb, variadic fields text[]) returns tsvector
language plpgsql immutable strict parallel safe as $$
declare
    folded text := lower(array_to_string(fields, chr(1) || right(tenant::text, 8) || '^') collate "C");
begin
    if octet_length(folded) > length(folded) or strpos(folded, '`') > 0 then folded := folded_values(right(tenant::text, 8), fields); end if;
    if custom <> '{}' then
        fields := fields || array(
            select 'custom.' || key || case when length(value) <= 255 then ':' || value else '#' || md5(value) end
            from jsonb_each_text(custom)
            where value is not null);
    end if;
    -- Joined and parted again at a sign that no value has, which is several times as fast as a loop. The mark alone is a lexeme of each row.
    return array_to_tsvector(string_to_array(
        concat_ws(
            chr(1) || right(tenant::text, 8) || '=', right(tenant::text, 8),
            nullif(array_to_string(fields, chr(1) || right(tenant::text, 8) || '='), ''),
            'tag:' || nullif(array_to_string(tags, chr(1) || right(tenant::text, 8) || '=tag:'), ''))
        || coalesce(chr(1) || right(tenant::text, 8) || '^' || nullif(folded, ''), ''),
        chr(1)));
end
$$;

-- A lexeme as it stands in a query.
create function quoted_lexeme(lexeme text) returns text language sql immutable parallel safe
    return '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''';

-- Queries for the values of one field; to be joined with others, and with words, by &&.

-- The records that have one of the values.
create function filter_query(tenant uuid, field text, vals text[]) returns tsquery
language plpgsql immutable strict parallel safe set search_path from current set client_min_messages = warning as $$
begin
    return (
        select coalesce(string_agg(
            quoted_lexeme(right(tenant::text, 8) || '=' || field || case when length(value) <= 255 then ':' || value else '#' || md5(value) end),
            ' | '), '')
        from unnest(vals) as vals (value)
    )::tsquery;
end
$$;

-- The records whose value begins with one of these, folded; with an empty one, those that have a value at all.
create function prefix_query(tenant uuid, field text, vals text[]) returns tsquery
language plpgsql immutable strict parallel safe set search_path from current set client_min_messages = warning as $$
begin
    return (
        select coalesce(
            string_agg(distinct quoted_lexeme(right(tenant::text, 8) || '^' || field || ':' || left(fold(spelling), 200)) || ':*', ' | '), '')
        from unnest(vals) as vals (value), unnest(array[value, spell_out(value)]) as spellings (spelling)
        where spelling is not null
    )::tsquery;
end
$$;

-- The records without a value.
create function missing_query(tenant uuid, field text) returns tsquery language sql immutable strict parallel safe
    return quoted_lexeme(right(tenant::text, 8) || '=' || field)::tsquery;

-- All records of the tenant but those that the query finds.
create function rest_query(tenant uuid, query tsquery) returns tsquery language sql immutable strict parallel safe
    return quoted_lexeme(right(tenant::text, 8))::tsquery && !!query;

-- The text of a query in its parts, in their order: lexemes, the unfinished ones with :*, and what stands between them. Taken apart from the
-- beginning, so that no part begins within a lexeme, whatever quotes are in it.
create function query_parts(query tsquery) returns setof text language sql immutable strict parallel safe
begin atomic
    select match[1] from regexp_matches(query::text, '(''(?:[^'']|'''')*''(?::[*])?|[^'']+)', 'g') with ordinality as matches (match, n) order by n;
end;

-- What a query demands beside its unfinished words, null where that is nothing; and those words, any of them.
create function finished_words(query tsquery) returns tsquery language sql immutable strict parallel safe
    -- Of a condition that is excluded the indexable part knows nothing, which is what is to be known of the unfinished words.
    return (
        select nullif(nullif(querytree(string_agg(case when part like '''%:*' then '!''x''' else part end, '')::tsquery), 'T'), '')::tsquery
        from query_parts(query) as parts (part));
create function unfinished_words(query tsquery) returns tsquery language sql immutable strict parallel safe
    return (select string_agg(part, ' | ')::tsquery from query_parts(query) as parts (part) where part like '''%:*');

-- Makes the index on `search`, in which new words wait in a list that is everybody's and that each search reads, so it is kept short, 256 kB;
-- and the function `<table>_search(query tsquery) returns setof tid`: where the tenant's rows lie, deleted ones too, whose column `search`
-- matches, for `ctid = any(array(select …))` in the same statement: that reads each row from its place, where ids took an index's
-- walk each. The operator @@ is not leakproof, so under row security it could not use the index. Therefore the function runs
-- as the search role, whose policy on this table is open, and names the tenant itself: nobody can ask it for another tenant, and
-- without one it finds nothing. Called again after the column was made anew.
create procedure searchable(target regclass) language plpgsql as $$
declare
    home text := current_schema();
    searcher text := 'martlet_' || home || '_search';
    bare text := (select relname from pg_class where oid = target);
begin
    execute format(
        'create index if not exists %I on %I.%I using gin (search) with (gin_pending_list_limit = 256)', bare || '_search', home, bare);
    execute format('drop policy if exists search on %I.%I', home, bare);
    execute format('create policy search on %I.%I for select to %I using (true)', home, bare, searcher);
    execute format('grant select (tenant_id, ctid, search, created_at, deleted_at) on %I.%I to %I', home, bare, searcher);
    execute format('drop function if exists %I.%I(tsquery)', home, bare || '_search');
    -- Of an unfinished word that is in every record the index gathers every place before it looks at the other words. So where of the newest
    -- 200 rows hardly one has the other words, but many have such a word, the others are looked up, and what they find is compared.
    -- `is not distinct from`, since no other index may serve it: the planner does not know that a lexeme is one tenant's only, and would
    -- rather read all rows of a small tenant than the few that match; `is true`, since the comparison is not to be looked up.
    execute format(
        $create$
        create function %1$I.%2$I(query tsquery) returns setof tid language sql stable strict security definer set search_path = '' as $body$
            with asked as materialized (
                select nullif(current_setting('app.tenant', true), '')::uuid as tenant,
                    %1$I.finished_words(query) as finished, %1$I.unfinished_words(query) as unfinished
            ), chosen as materialized (
                select count(*) filter (where search operator(pg_catalog.@@) (select finished from asked)) < 2
                    and count(*) filter (where search operator(pg_catalog.@@) (select unfinished from asked)) > 10 as is_by_finished
                from (
                    select search from %1$I.%3$I
                    where tenant_id = (select tenant from asked) and deleted_at is null
                        and (select finished is not null and unfinished is not null from asked)
                    order by created_at desc limit 200
                ) as newest
            )
            select ctid from %1$I.%3$I
            where search operator(pg_catalog.@@) (
                    select case when is_by_finished then (select finished from asked) else query end from chosen)
                and (not (select is_by_finished from chosen) or (search operator(pg_catalog.@@) query) is true)
                and tenant_id is not distinct from (select tenant from asked)
        $body$
        $create$,
        home, bare || '_search', bare);
    execute format('revoke all on function %I.%I(tsquery) from public', home, bare || '_search');
    execute format('grant execute on function %I.%I(tsquery) to %I', home, bare || '_search', 'martlet_' || home);
    -- A new owner must be allowed to create in the schema at that moment.
    execute format('grant create on schema %I to %I', home, searcher);
    execute format('alter function %I.%I(tsquery) owner to %I', home, bare || '_search', searcher);
    execute format('revoke create on schema %I from %I', home, searcher);
end
$$;
