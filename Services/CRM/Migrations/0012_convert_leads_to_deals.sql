-- Leads become deals, too.

call amend();
alter table lead add constraint lead_converted_deal_id_fkey foreign key (tenant_id, converted_deal_id) references deal (tenant_id, id);
create index lead_converted_deal_id on lead (tenant_id, converted_deal_id, created_at, id)
    where deleted_at is null and converted_deal_id is not null;
