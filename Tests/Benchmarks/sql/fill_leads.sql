-- Fills crm.lead for the tenant :tenant with :count rows of :owners owners, and where :beside is true as many rows of tenants with 200 each beside it.
\set schema crm
\set table lead
\ir fill_begin.sql

set search_path = crm, extensions;
insert into lead (tenant_id, id, first_name, last_name, company, title, email, phone, source, status, score, owner_id, tags, custom, description, created_at, updated_at, created_by, updated_by)
select tenant, uuid_v7(),
    (array['Greta', 'Nadia', 'Bruno', 'Chiara', 'Elif', 'Farid', 'Hugo', 'Ines', 'Keiko', 'Luca'])[n % 10 + 1],
    (array['Fischer', 'Nakamura', 'Okafor', 'Navarro', 'Laurent', 'Moretti', 'Novak', 'Osei', 'Petrov', 'Ramos', 'Smith-Jones', 'O''Hara'])[n % 12 + 1] || ' ' || n,
    'Company ' || n % 20000, 'Plant Manager', 'person' || n || '@host' || n % 5000 || '.example', '+49 40 ' || 5000000 + n,
    case when n % 100000 = 1 then 'rare' else (array['web', 'fair', 'referral', 'partner'])[n % 4 + 1] end,
    (array['new', 'contacted', 'contacted', 'qualified', 'unqualified'])[n % 5 + 1], n % 101,
    case when n % 1000 = 1 then :'user'::uuid else md5((n % :owners)::text)::uuid end,
    case when n % 100000 = 1 then '{rare}'::text[] else '{emea,priority}' end,
    jsonb_build_object('tier', (array['gold', 'silver', 'bronze'])[n % 3 + 1], 'number', n, 'region', 'r' || n % 1000),
    case when n % 100000 = 1 then 'unusual ' else '' end || 'common ' || case when n % 2 = 0 then 'even' else 'odd' end || ' Asked about seats for the plant.',
    now() - make_interval(secs => n), now() - make_interval(secs => n % 86400), :'user'::uuid, :'user'::uuid
from numbered;

select indexdef from dropped \gexec
