-- The chain covers a salted digest of each payload instead of the payload: a payload that is erased together with its salt leaves an
-- entry that still proves its place, and nobody can find out from the digest what it said. Nothing else of an entry ever changes.
-- Nobody has entries of the form before.
alter table event
    drop column bytes,
    add column format smallint not null,
    add column salt bytea,
    add column payload_hash text not null,
    alter column payload drop not null,
    -- What a page of the trail is measured by, without reading the payloads that it has no room for.
    add column bytes integer not null generated always as (coalesce(octet_length(payload::text), 0)) stored,
    add constraint event_payload_sealed check ((payload is null) = (salt is null)),
    add constraint event_salt_length check (octet_length(salt) = 16);

-- Holds for everybody, the owner too: the roles' rights alone would let him rewrite the log.
create function keep_event() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        old.payload := null;
        old.salt := null;
        old.bytes := 0;
        if new operator(pg_catalog.*=) old then return null; end if;
    end if;
    raise exception 'the log of events keeps its entries: only payload and salt can be erased, together' using errcode = '42501';
end
$$;
create trigger keep_entries after update or delete on event for each row execute function keep_event();
create trigger keep before truncate on event for each statement execute function refuse_truncate();

-- The fence of each service's relay, the highest that was seen: deliveries of a relay that has lost its lease are refused.
create table event_source (
    source text not null,
    fence bigint not null,
    constraint event_source_pkey primary key (source)
);
do $$ begin
    execute format('grant select, insert, update on event_source to %I', 'martlet_' || current_schema() || '_system');
end $$;
