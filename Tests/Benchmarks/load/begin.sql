-- The beginning of a session that loads (load.py): what every part of it uses. Run by the superuser.
\set ON_ERROR_STOP on
set client_min_messages = warning;
set maintenance_work_mem = '512MB';
set synchronous_commit = off;
select set_config('app.request', 'load', false), set_config('load.now', :'now', false), set_config('load.tenants', :'tenants', false), set_config('load.skew', :'skew', false) \g /dev/null

-- The tenants, numbered from 0. The first has its share of everything (skew), the others the rest, alike.
create temporary table tenants (number integer primary key, id uuid not null, admin uuid not null, began timestamptz not null);

-- How many of so many records the first tenant has.
create function pg_temp.heavy(total bigint) returns bigint language sql stable as
    $$ select total * current_setting('load.skew')::integer / 100 $$;

-- The tenant that record n of so many is of, and its place among the tenant's.
create function pg_temp.tenant_of(n bigint, total bigint) returns integer language sql stable as $$
    select case
        when current_setting('load.skew') = '0' then (n % current_setting('load.tenants')::integer)::integer
        when n < pg_temp.heavy(total) then 0
        else 1 + ((n - pg_temp.heavy(total)) % (current_setting('load.tenants')::integer - 1))::integer
    end
$$;
create function pg_temp.place_of(n bigint, total bigint) returns bigint language sql stable as $$
    select case
        when current_setting('load.skew') = '0' then n / current_setting('load.tenants')::integer
        when n < pg_temp.heavy(total) then n
        else (n - pg_temp.heavy(total)) / (current_setting('load.tenants')::integer - 1)
    end
$$;

-- The other way round: which of so many records is at that place of the tenant, going round; null where it has none.
create function pg_temp.number_of(tenant integer, place bigint, total bigint) returns bigint language sql stable as $$
    select case
        when current_setting('load.skew') = '0' then
            (select tenant + current_setting('load.tenants')::integer * (place % nullif(own, 0))
             from (select (total - tenant + current_setting('load.tenants')::integer - 1) / current_setting('load.tenants')::integer as own) as counted)
        when tenant = 0 then place % nullif(pg_temp.heavy(total), 0)
        else
            (select pg_temp.heavy(total) + tenant - 1 + (current_setting('load.tenants')::integer - 1) * (place % nullif(own, 0))
             from (
                select (total - pg_temp.heavy(total) - (tenant - 1) + current_setting('load.tenants')::integer - 2)
                    / (current_setting('load.tenants')::integer - 1) as own
             ) as counted)
    end
$$;

-- When record n of so many was made: over the last two years, the tenant's in the order of their places.
create function pg_temp.made_at(n bigint, total bigint) returns timestamptz language sql stable as $$
    select date_trunc('second', current_setting('load.now')::timestamptz - interval '730 days' * (1 - least(
        (pg_temp.place_of(n, total) + pg_temp.tenant_of(n, total) % 97 / 97.0::float8) / greatest(
            case when current_setting('load.skew') = '0' then total::float8 / current_setting('load.tenants')::integer
                when n < pg_temp.heavy(total) then pg_temp.heavy(total)
                else (total - pg_temp.heavy(total))::float8 / (current_setting('load.tenants')::integer - 1) end,
            1), 1)))
$$;

-- The id of record n of a kind: a UUIDv7 of when it was made.
create function pg_temp.id_of(kind text, n bigint, total bigint) returns uuid language sql stable as $$
    select encode(
        set_bit(set_bit(
            overlay(decode(md5(kind || ' ' || n), 'hex')
                placing substring(int8send((extract(epoch from pg_temp.made_at(n, total)) * 1000)::bigint) from 3) from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- Member m of a tenant; the administrator is member 0.
create function pg_temp.member_of(tenant integer, m bigint) returns uuid language sql immutable as
    $$ select md5('member ' || tenant || ' ' || m)::uuid $$;

-- People, companies and what they say, in many languages. What belongs together has the same place modulo 16.
create temporary table words as select
    '{Greta,Nadia,Bruno,Chloé,João,Zoë,Søren,Łukasz,Οδυσσέας,Дмитрий,محمد,נועה,प्रिया,美咲,伟,지우}'::text[] as first_names,
    '{Fischer,O''Hara,Moretti,Lefèvre,Gonçalves,"de Vries",Ångström,Wiśniewski,Παπαδόπουλος,Соколова,الحسيني,כהן,शर्मा,田中,王,김}'::text[] as last_names,
    '{fischer,ohara,moretti,lefevre,goncalves,devries,angstrom,wisniewski,papadopoulos,sokolova,alhusseini,cohen,sharma,tanaka,wang,kim}'::text[] as latin,
    '{Maschinenbau,Freight,Alimentari,Énergies,Têxteis,Zuivel,Trävaror,Odlewnia,Ναυτιλιακή,Электроника,للتجارة,טכנולוגיות,उद्योग,製作所,科技,전자}'::text[] as companies,
    '{Nordwind,Kestrel,Fontana,Bleuet,Aurora,Oranje,Fjäll,Wisła,Αιγαίο,Волга,النور,ארז,गंगा,富士,长江,한강}'::text[] as brands,
    '{Hamburg,Cork,Torino,Lyon,Porto,Utrecht,Göteborg,Kraków,Πειραιάς,Казань,دبي,חיפה,पुणे,名古屋,武汉,부산}'::text[] as cities,
    '{DE,IE,IT,FR,PT,NL,SE,PL,GR,RU,AE,IL,IN,JP,CN,KR}'::text[] as countries,
    '{"+49 40","+353 21","+39 011","+33 4","+351 22","+31 30","+46 31","+48 12","+30 21","+7 843","+971 4","+972 4","+91 20","+81 52","+86 27","+82 51"}'::text[]
        as prefixes,
    '{EUR,EUR,EUR,EUR,EUR,EUR,SEK,PLN,EUR,USD,AED,ILS,INR,JPY,CNY,KRW}'::text[] as currencies,
    '{Einkaufsleiterin,"Plant Manager",Direttore,Gérante,Engenheiro,Inkoper,Inköpschef,Kierownik,Διευθυντής,Инженер,مدير,מנהלת,प्रबंधक,部長,经理,과장}'::text[]
        as titles,
    array[
        'Bittet um ein Angebot für 40 Plätze bis Ende des Monats.', 'Asked for a quote; decides once the budget is through.',
        'Ha chiesto una demo per lo stabilimento di Torino.', 'À rappeler après la réunion de l''équipe achats.',
        'Quer integrar com o sistema de faturação.', 'Vergelijkt ons met twee andere aanbieders.', 'Vill byta leverantör före sommaren.',
        'Prosi o umowę w języku polskim.', 'Ζητά προσφορά για τρία χρόνια.', 'Просит показать отчёты и экспорт.',
        'يريد عرضا للفروع الثلاثة.', 'מבקש הדגמה לצוות המכירות.', 'डेमो के बाद निर्णय लेंगे।', '来週の会議で検討するそうです。',
        '希望下个月开始试用。', '다음 분기 예산에 반영할 예정입니다.'] as notes;

-- The word of a list that stands at a place of it, going round.
create function pg_temp.pick(list text[], n bigint) returns text language sql immutable as $$ select list[n % 16 + 1] $$;

-- How the indexes of the table that is filled are made again.
create temporary table dropped (schemaname text, indexname text, indexdef text);

insert into tenants
select n, md5('load tenant ' || n)::uuid, pg_temp.member_of(n, 0), :'now'::timestamptz - interval '731 days' from generate_series(0, :tenants - 1) as n;
analyze tenants;
