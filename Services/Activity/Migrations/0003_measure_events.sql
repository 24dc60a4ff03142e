-- What a page of the trail is measured by, without reading the payloads that it has no room for.
alter table event add column bytes integer not null generated always as (octet_length(payload::text)) stored;
