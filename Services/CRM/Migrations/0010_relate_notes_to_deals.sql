-- A note can be about a deal.

alter domain note_related drop constraint note_related_check;
alter domain note_related add constraint note_related_check
    check (value is not distinct from null or ((value).type in ('lead', 'contact', 'account', 'deal')) is true and (value).id is not null);
alter table note
    add column related_deal_id uuid generated always as (case when (related).type = 'deal' then (related).id end) stored,
    add constraint note_related_deal_fkey foreign key (tenant_id, related_deal_id) references deal (tenant_id, id);
call audited('note', 'note', 'related_lead_id', 'related_contact_id', 'related_account_id', 'related_deal_id');
