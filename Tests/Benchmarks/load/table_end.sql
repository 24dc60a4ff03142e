-- After the rows of :schema.:table.
select indexdef from dropped \gexec
alter table :schema.:table disable trigger audit;
alter table :schema.:table enable trigger audit;
vacuum analyze :schema.:table;
