-- Before the rows of :schema.:table. Nothing but the audit is done for them: references are right, words are generated. Of a large table the
-- indexes go, and are made after the rows.
set session_replication_role = replica;
alter table :schema.:table enable always trigger audit;
truncate dropped;
insert into dropped select schemaname, indexname, indexdef from pg_indexes
    where schemaname = :'schema' and tablename = :'table' and :total >= 20000
        and not exists (select from pg_constraint where conname = indexname and connamespace = schemaname::regnamespace);
select format('drop index %I.%I', schemaname, indexname) from dropped \gexec
