-- What finds a ticket: its number and words, led by the tenant, and the values of the filters that no other index serves.
alter table ticket drop column search;
alter table ticket add column search tsvector not null generated always as (
    search_words(tenant_id, number::text, subject, description) || filter_words(tenant_id, tags, custom, 'channel:' || channel)
) stored;
-- New words wait in a list that is everybody's and that each search reads, so it is kept short: 256 kB.
create index ticket_search on ticket using gin (search) with (gin_pending_list_limit = 256);
call searchable('ticket');
