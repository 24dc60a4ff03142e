-- What finds a lead: its words, led by the tenant, and the values of the filters that no other index serves. Of a website counts the
-- host with what follows, not how every address begins. A function of its own, as the expression of a generated column is read and planned
-- for each insert, which took longer than to compute it.
-- It names its schema, since a search path of its own would cost as much again; so it is made from text.
do $make$
begin
    execute format(
        $create$
        create function lead_lexemes(
            tenant uuid, first_name text, last_name text, company text, title text, email text, phone text, website text, source text,
            tags text[], address jsonb, description text, custom jsonb
        ) returns tsvector language plpgsql immutable parallel safe as $body$
        begin
            return %1$I.search_words(
                tenant, first_name, last_name, company, title, email, phone, substring(website from '^[^/]*//(?:www[.])?(.*)$'),
                address ->> 'street', address ->> 'postal_code', address ->> 'city', address ->> 'region', address ->> 'country', description)
                || %1$I.filter_words(
                    tenant, tags, custom, 'source:' || source, 'company:' || company, 'email:' || %1$I.email_key(email));
        end
        $body$
        $create$,
        current_schema());
end
$make$;

alter table lead drop column search;
alter table lead add column search tsvector not null generated always as (
    lead_lexemes(
        tenant_id, first_name, last_name, company, title, email, phone, website, source, tags, address, description, custom)
) stored;
-- New words wait in a list that is everybody's and that each search reads, so it is kept short: 256 kB.
create index lead_search on lead using gin (search) with (gin_pending_list_limit = 256);
call searchable('lead');
