-- Copies of what the tenant service knows of people, made from the log of events, so that no request of another service waits for it.
-- They are no change of a tenant's data, so none of them is audited: the trail has the change itself, from where it was made.

-- Who is or was a member.
create table member_copy (
    tenant_id uuid not null,
    user_id uuid not null,
    email text not null,
    name text not null,
    role text not null,
    teams uuid[] not null default '{}',
    -- Only a member who is active and was not removed can be given a record.
    status text not null,
    -- Whoever was removed stays, for what refers to him, and comes back as he was but for what is told then.
    is_removed boolean not null default false,
    -- The member's own version, which no older one replaces.
    version bigint not null,
    constraint member_copy_pkey primary key (tenant_id, user_id),
    constraint member_copy_status_known check (status in ('active', 'disabled'))
);

-- Who is in a team, from the members' side: what the row scope `team` is answered from, in either direction.
create table team_member_copy (
    tenant_id uuid not null,
    team_id uuid not null,
    user_id uuid not null,
    constraint team_member_copy_pkey primary key (tenant_id, team_id, user_id)
);
create index team_member_copy_user on team_member_copy (tenant_id, user_id, team_id);

create function keep_team_members() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        delete from team_member_copy
        where tenant_id = old.tenant_id and user_id = old.user_id and (tg_op = 'DELETE' or team_id <> all (new.teams));
    end if;
    if tg_op <> 'DELETE' then
        insert into team_member_copy (tenant_id, team_id, user_id)
        select new.tenant_id, team, new.user_id from unnest(new.teams) as team
        on conflict on constraint team_member_copy_pkey do nothing;
    end if;
    return null;
end
$$;
create trigger keep_team_members after insert or update of teams or delete on member_copy
    for each row execute function keep_team_members();

-- Requests write too: whoever is not in the copy yet is asked for.
call isolate('member_copy');
call open_to_system('member_copy', 'select, insert, update, delete');
call isolate('team_member_copy', 'select, insert, delete');
call open_to_system('team_member_copy', 'select, insert, delete');
