-- Contacts of deals beside the main one, and the role that each plays there (Shared/Decisions/0029).

create table deal_contact (
    tenant_id uuid not null,
    id uuid not null default uuid_v7(),
    version bigint not null default 1,
    deal_id uuid not null,
    contact_id uuid not null,
    role text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    -- Whose link it was before merges, the first one first; and whose role it has taken over in one.
    merged_from uuid[] not null default '{}',
    role_from uuid,
    constraint deal_contact_pkey primary key (tenant_id, id),
    constraint deal_contact_unique unique (tenant_id, deal_id, contact_id),
    constraint deal_contact_deal_id_fkey foreign key (tenant_id, deal_id) references deal (tenant_id, id) on delete cascade,
    constraint deal_contact_contact_id_fkey foreign key (tenant_id, contact_id) references contact (tenant_id, id) on delete cascade
);
create index deal_contact_contact_id on deal_contact (tenant_id, contact_id, deal_id);

call isolate('deal_contact', 'select, insert, update, delete');
call audited('deal_contact', 'deal_contact', 'merged_from', 'role_from');

-- Holds a deal to 100 contacts. Deleted ones count, as they may be restored; whoever became another one does not, as that one counts. Those who link
-- wait for each other at the deal, and count when they hold it.
create function count_deal_contacts() returns trigger language plpgsql volatile as $$
begin
    perform from deal where tenant_id = new.tenant_id and id = new.deal_id for no key update;
    if (
        select count(*) from deal_contact as link join contact on contact.tenant_id = link.tenant_id and contact.id = link.contact_id
        where link.tenant_id = new.tenant_id and link.deal_id = new.deal_id and contact.merged_into_id is null
    ) >= 100 then
        raise exception 'a deal has so many contacts' using errcode = 'check_violation', constraint = 'deal_contact_few';
    end if;
    return new;
end
$$;
create trigger few before insert on deal_contact for each row execute function count_deal_contacts();

-- Gives a contact that others were merged into, at an instant or since then, their links to the deals. Of several to one deal it gets one, with its
-- own role, else another's; the others stay with who is gone, where nobody sees them. What was merged before that is left alone: whatever the survivor
-- has not of it by now was taken away. Whoever links a contact locks it against being merged meanwhile.
create function gather_deal_contacts(tenant uuid, survivor uuid, since timestamptz, deals uuid[], actor uuid) returns void language plpgsql volatile as $$
declare
    link record;
begin
    for link in
        select deal_contact.* from deal_contact
        join contact on contact.tenant_id = deal_contact.tenant_id and contact.id = deal_contact.contact_id
        where deal_contact.tenant_id = tenant and deal_contact.deal_id = any (deals) and contact.merged_into_id = survivor
            and contact.deleted_at >= since
        order by deal_contact.deal_id, deal_contact.id
    loop
        update deal_contact
        set role = link.role, role_from = link.contact_id, version = version + 1, updated_at = now(), updated_by = actor
        where tenant_id = tenant and deal_id = link.deal_id and contact_id = survivor and role is null and link.role is not null;
        update deal_contact
        set contact_id = survivor, merged_from = merged_from || contact_id, version = version + 1, updated_at = now(), updated_by = actor
        where tenant_id = tenant and id = link.id and not exists (
            select from deal_contact as other
            where other.tenant_id = tenant and other.deal_id = link.deal_id and other.contact_id = survivor);
    end loop;
end
$$;

create function merge_deal_contacts() returns trigger language plpgsql volatile as $$
declare
    deals uuid[];
begin
    if new.merged_into_id is not null then
        deals := array(select deal_id from deal_contact where tenant_id = new.tenant_id and contact_id = new.id);
        perform gather_deal_contacts(new.tenant_id, new.merged_into_id, new.deleted_at, deals, new.updated_by);
        return null;
    end if;
    -- It comes back, and has its links again as they were: without a role that came from another one of those that were merged.
    with returned as (
        update deal_contact
        set contact_id = new.id, merged_from = trim_array(merged_from, 1), version = version + 1, updated_at = now(), updated_by = new.updated_by,
            (role, role_from) = (
                select case when is_taken then null else role end, case when is_taken then null else role_from end
                from (select exists (
                    select from contact where tenant_id = new.tenant_id and id = role_from and merged_into_id = old.merged_into_id) as is_taken
                ) as taken)
        where tenant_id = new.tenant_id and contact_id = old.merged_into_id and merged_from[cardinality(merged_from)] = new.id
        returning deal_id
    ), cleared as (
        update deal_contact
        set role = null, role_from = null, version = version + 1, updated_at = now(), updated_by = new.updated_by
        where tenant_id = new.tenant_id and contact_id = old.merged_into_id and role_from = new.id
            and merged_from[cardinality(merged_from)] is distinct from new.id
        returning deal_id
    )
    select array_agg(deal_id) into deals from (select deal_id from returned union select deal_id from cleared) as changed;
    -- Others that were merged with it or later, and still are, may have one to the same deal.
    perform gather_deal_contacts(new.tenant_id, old.merged_into_id, old.deleted_at, deals, new.updated_by);
    return null;
end
$$;
create trigger merge_deal_contacts after update of merged_into_id on contact for each row
    when (old.merged_into_id is distinct from new.merged_into_id) execute function merge_deal_contacts();
