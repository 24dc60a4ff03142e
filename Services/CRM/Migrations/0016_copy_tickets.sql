-- Notes and tasks can be about tickets. These are the support service's: what of them is needed here is copied from the log of events, so that no
-- write waits for that service (Shared/Decisions/0035). No foreign key holds what refers to them, as the copy of a ticket in doubt is taken away
-- until its owner was asked.

create table ticket_copy (
    tenant_id uuid not null,
    id uuid not null,
    -- Whose it is: the assignee's, or while there is none whoever's has made it.
    owner_id uuid,
    created_by uuid not null,
    -- That of the last change of what is here, which no older one replaces.
    version bigint not null,
    -- A deleted one stays, for what refers to it, and comes back when it is restored.
    deleted_at timestamptz(3),
    constraint ticket_copy_pkey primary key (tenant_id, id)
);

-- Requests write too: what is not in the copy yet is asked for.
call isolate('ticket_copy');
call open_to_system('ticket_copy', 'select, insert, update, delete');

alter domain note_related drop constraint note_related_check;
alter domain note_related add constraint note_related_check check (
    value is not distinct from null
    or ((value).type in ('lead', 'contact', 'account', 'deal', 'ticket')) is true and (value).id is not null);
alter domain task_related drop constraint task_related_check;
alter domain task_related add constraint task_related_check check (
    value is not distinct from null
    or ((value).type in ('lead', 'contact', 'account', 'deal', 'ticket')) is true and (value).id is not null);
