-- Puts 10,000 members in 500 teams into crm's copy for the tenant :tenant, the member :member among them with those whose leads he is to
-- reach, and :lonely in a team of his own; the leads of fill_leads.sql are theirs. Run by the superuser.
\set ON_ERROR_STOP on
set search_path = crm, extensions;
insert into member_copy (tenant_id, user_id, email, name, role, teams, status, version)
select :'tenant', md5((n % 10000)::text)::uuid, n || '@acme.test', 'Member ' || n, 'sales', array[md5('team ' || n % 500)::uuid], 'active', 1
from generate_series(0, 9999) as n;
update member_copy set teams = array[md5('team 7')::uuid], version = version + 1000000 where tenant_id = :'tenant' and user_id = :'member';
update member_copy set teams = array[md5('lonely')::uuid], version = version + 1000000 where tenant_id = :'tenant' and user_id = :'lonely';
vacuum analyze member_copy;
vacuum analyze team_member_copy;
