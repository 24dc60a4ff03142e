-- Notes: what somebody wrote down about a lead, a contact or an account.

create domain note_related as record_reference constraint note_related_check
    check (value is not distinct from null or ((value).type in ('lead', 'contact', 'account')) is true and (value).id is not null);

-- What finds a note: its words, led by the tenant, and whom it mentions.
do $make$
begin
    execute format(
        $create$
        create function note_lexemes(tenant uuid, body text, mentions uuid[]) returns tsvector language plpgsql immutable parallel safe as $body$
        begin
            if mentions = '{}' then return %1$I.search_words(tenant, body); end if;
            return %1$I.search_words(tenant, body)
                || %1$I.filter_words(tenant, '{}', '{}', variadic array(select 'mention:' || member from unnest(mentions) as member));
        end
        $body$
        $create$,
        current_schema());
end
$make$;

create table note (
    tenant_id uuid not null,
    id uuid not null,
    version bigint not null default 1,
    body text not null,
    related note_related,
    -- What it is about, once more for each kind, so that the table itself has no note about nothing or about another tenant's.
    related_lead_id uuid generated always as (case when (related).type = 'lead' then (related).id end) stored,
    related_contact_id uuid generated always as (case when (related).type = 'contact' then (related).id end) stored,
    related_account_id uuid generated always as (case when (related).type = 'account' then (related).id end) stored,
    pinned boolean not null default false,
    mention_ids uuid[] not null default '{}',
    external_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    created_by uuid not null,
    updated_by uuid not null,
    deleted_at timestamptz(3),
    search tsvector not null generated always as (note_lexemes(tenant_id, body, mention_ids)) stored,
    constraint note_pkey primary key (tenant_id, id),
    constraint note_related_lead_fkey foreign key (tenant_id, related_lead_id) references lead (tenant_id, id),
    constraint note_related_contact_fkey foreign key (tenant_id, related_contact_id) references contact (tenant_id, id),
    constraint note_related_account_fkey foreign key (tenant_id, related_account_id) references account (tenant_id, id)
)
-- By default a fifth of a table's rows are dead before they are cleared away, which is a long way for a large one.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

call isolate('note');
-- Whose note it is: the writer's.
call listed('note', filters => '{pinned, created_by}');
create index note_related on note (tenant_id, ((related).id), created_at, id) where deleted_at is null;
call audited('note', 'note', 'related_lead_id', 'related_contact_id', 'related_account_id');
call searchable('note');
