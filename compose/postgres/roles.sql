-- Makes the schema and the four roles of one service; run by a superuser, as often as wanted, in the database of the platform.
--
--   psql -v service=crm -v owner_password=… -v password=… -v system_password=… -f roles.sql
--
-- martlet_<service>_owner   owns the schema and runs migrations
-- martlet_<service>         serves requests: no table is its own, row security binds it to one tenant a transaction
-- martlet_<service>_system  works for no tenant (outbox relay, jobs): only the tables whose policies name it
-- martlet_<service>_search  owns the functions that must see past row security (full-text search, the trail of sessions) and nothing
--                           else; nobody signs in as it
\set ON_ERROR_STOP on
set client_min_messages = warning;
select format('create role %I', 'martlet_' || :'service' || suffix)
from unnest(array['_owner', '', '_system', '_search']) as suffix
where not exists (select from pg_roles where rolname = 'martlet_' || :'service' || suffix) \gexec

select format('alter role %I login nosuperuser nobypassrls nocreatedb nocreaterole noinherit password %L',
              'martlet_' || :'service' || suffix, secret)
from (values ('_owner', :'owner_password'), ('', :'password'), ('_system', :'system_password')) as role (suffix, secret) \gexec
select format('alter role %I nologin nosuperuser nobypassrls', 'martlet_' || :'service' || '_search') \gexec

-- The owner may hand a function to the search role; it is no way to read as it.
select format('grant %I to %I', 'martlet_' || :'service' || '_search', 'martlet_' || :'service' || '_owner') \gexec

-- Temporary tables could stand in front of real ones on the search path.
select format('revoke all on database %I from public', current_database()) \gexec
select format('grant connect on database %I to %I', current_database(), 'martlet_' || :'service' || suffix)
from unnest(array['_owner', '', '_system']) as suffix \gexec
-- The owner installs the trusted extensions that its migrations need.
select format('grant create on database %I to %I', current_database(), 'martlet_' || :'service' || '_owner') \gexec
revoke all on schema public from public;

select format('create schema if not exists %I authorization %I', :'service', 'martlet_' || :'service' || '_owner') \gexec
select format('grant usage on schema %I to %I', :'service', 'martlet_' || :'service' || suffix)
from unnest(array['', '_system', '_search']) as suffix \gexec
-- Extensions are shared by all schemas; their operators and functions are found here.
create schema if not exists extensions;
create extension if not exists btree_gin schema extensions;
create extension if not exists pg_trgm schema extensions;
grant usage on schema extensions to public;
select format('alter role %I set search_path = %I, extensions', 'martlet_' || :'service' || suffix, :'service')
from unnest(array['_owner', '', '_system']) as suffix \gexec
