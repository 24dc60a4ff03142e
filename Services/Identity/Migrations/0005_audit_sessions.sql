-- The beginning and the end of a session stand in the trail of the tenant that was signed in to, whatever tenant the transaction is
-- for, if any: the beginning shows the session, its end the time of it. So the trigger runs as the role that nobody signs in as, whose
-- right on the outbox is to add this.
create function audit_session() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    execute format(
        'insert into %1$I.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane) '
        'values ($1, ''session'', $2, $3, case when $4 is null then $5 else '
        'jsonb_build_object(''before'', jsonb_build_object(''revoked_at'', null), '
        '''after'', jsonb_build_object(''revoked_at'', %1$I.rfc3339($4))) end, $6, $7, %1$I.outbox_lane($1))', tg_table_schema)
        using new.tenant, new.id::text, case tg_op when 'INSERT' then 'session.created' else 'session.ended' end, new.revoked_at,
            jsonb_build_object('before', null, 'after', jsonb_build_object(
                'id', new.id, 'user_id', new.user_id, 'device', new.device, 'address', new.address)),
            -- Before there is a session nobody is signed in; who begins it is its user.
            coalesce(nullif(current_setting('app.user', true), ''), case tg_op when 'INSERT' then new.user_id::text else 'system' end),
            coalesce(current_setting('app.request', true), '');
    return null;
end
$$;
do $$
declare
    home text := current_schema();
    writer text := 'martlet_' || home || '_search';
begin
    execute format('create policy sessions on outbox for insert to %I with check (aggregatetype = ''session'')', writer);
    execute format('grant insert on outbox to %I', writer);
    -- A new owner must be allowed to create in the schema at that moment.
    execute format('grant create on schema %I to %I', home, writer);
    execute format('alter function audit_session() owner to %I', writer);
    execute format('revoke create on schema %I from %I', home, writer);
end $$;
create trigger audit_begin after insert on session for each row execute function audit_session();
create trigger audit_end after update of revoked_at on session for each row
    when (old.revoked_at is null and new.revoked_at is not null) execute function audit_session();
