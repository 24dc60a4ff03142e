-- The beginning of fill_leads.sql and fill_tickets.sql, for the table :table of the schema :schema. Drops its indexes and keeps how they are
-- made again in `dropped`; puts the tenant and the number of each row that is to be into `numbered`.
-- Run by the superuser, with triggers off: these rows are no changes that anyone audits. Indexes are made after the rows.
\set ON_ERROR_STOP on
set session_replication_role = replica;
set maintenance_work_mem = '512MB';
create temporary table dropped as
    select schemaname, indexname, indexdef from pg_indexes
    where schemaname = :'schema' and tablename = :'table' and indexname !~ '(_pkey|_key)$' and :count >= 10000;
select format('drop index %I.%I', schemaname, indexname) from dropped \gexec

-- The tenant of each row, and the row's number.
create temporary table numbered as
    select :'tenant'::uuid as tenant, n from generate_series(1, :count) as n
    union all
    select md5('neighbour ' || n % greatest(:count / 200, 1))::uuid, n from generate_series(1, case when :beside then :count else 0 end) as n;
