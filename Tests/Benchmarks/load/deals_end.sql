-- Where deals were before they came to their stage: in the first one.
insert into crm.deal_history (
    tenant_id, deal_id, valid_from, valid_to, pipeline_id, stage_id, status, amount_minor, currency, probability, expected_close_on, owner_id,
    is_deleted, leaves_stage, ended_by)
select deal.tenant_id, deal.id, deal.created_at, deal.stage_changed_at, deal.pipeline_id, first.id, first.kind, amount_minor, currency, first.probability,
    expected_close_on, owner_id, false, true, updated_by
from crm.deal
join tenants on tenants.id = deal.tenant_id
join crm.stage as first on first.tenant_id = deal.tenant_id and first.pipeline_id = deal.pipeline_id and first.position = 1
where deal.stage_id <> first.id and deal.stage_changed_at > deal.created_at;
vacuum analyze crm.deal_history;
vacuum analyze crm.pipeline;
vacuum analyze crm.stage;
