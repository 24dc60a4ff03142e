-- Each tenant gets its usual pipeline, as its first deal would bring it.
set search_path = crm, extensions;
set session_replication_role = origin;
select count(default_pipeline(id)) from tenants \g /dev/null
