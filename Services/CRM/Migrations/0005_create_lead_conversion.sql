-- What leads became, and what it takes to undo it.

call amend();
alter table lead add constraint lead_converted_account_id_fkey foreign key (tenant_id, converted_account_id) references account (tenant_id, id);
alter table lead add constraint lead_converted_contact_id_fkey foreign key (tenant_id, converted_contact_id) references contact (tenant_id, id);
-- Most leads became nothing.
create index lead_converted_account_id on lead (tenant_id, converted_account_id, created_at, id)
    where deleted_at is null and converted_account_id is not null;
create index lead_converted_contact_id on lead (tenant_id, converted_contact_id, created_at, id)
    where deleted_at is null and converted_contact_id is not null;

-- The host name of a company, by its website or else by the address of one of its people; null where that is one of those at which anybody may
-- have a place.
create function company_domain(website text, email text, shared text[]) returns text language sql immutable parallel safe as $$
    select host
    from (
        values (1, lower(substring(website from '^[^/]*//(?:www[.])?([^/?#:]+)'))), (2, lower(substring(email from '@([^@]+)$')))
    ) as given (place, host)
    where host ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$' and length(host) <= 253 and host <> all (shared)
    order by place limit 1
$$;

-- One row for each lead that is converted; the trail has what happened from the records themselves.
create table lead_conversion (
    tenant_id uuid not null,
    lead_id uuid not null,
    -- Of the one request that did it.
    id uuid not null,
    -- The lead's before.
    previous_status lead_status not null,
    -- What it made; null where it was given, or there is none. What the lead is by now stands in the lead, and follows merges.
    made_account_id uuid,
    made_contact_id uuid,
    made_deal_id uuid,
    -- The notes and tasks that went along.
    moved_ids uuid[] not null,
    constraint lead_conversion_pkey primary key (tenant_id, lead_id),
    constraint lead_conversion_lead_id_fkey foreign key (tenant_id, lead_id) references lead (tenant_id, id)
);
call isolate('lead_conversion', 'select, insert, delete');
