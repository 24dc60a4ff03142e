-- The same read as get.sql, of the same rows in a table without row security, without any setting.
select id, version, first_name, last_name, company, title, email, phone, phone_e164, website, source, status, score, owner_id, tags,
    address, description, custom, external_id, created_at, updated_at, created_by, updated_by
from bench.lead where tenant_id = :tenant and id = :lead and deleted_at is null;
