import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What the database itself forbids, read from its catalogue over all schemas.
    @Suite struct Catalogue {
        /// Indexes that look across tenants, each for a reader that belongs to none.
        static let acrossTenants = quoted(
            ["identity", "tenant", "crm", "activity", "support"].flatMap { schema in
                // The relay takes events in the order of their ids, retention keys and jobs by their age; who takes jobs looks for those that are due.
                [
                    "outbox_pkey", "idempotency_key_age", "bulk_act_age", "bulk_act_record_age", "job_scheduled", "job_leased", "job_ended",
                    "job_failed",
                ].map { "\(schema).\($0)" }
            } + [
                // A slug names one tenant of the platform.
                "tenant.tenant_slug_unique",
                // The gateways' poll for what was revoked, and sign-in's question which tenants a person is in.
                "tenant.tenant_epoch_changed", "tenant.member_epoch_changed", "tenant.custom_role_epoch_changed", "tenant.member_of_user",
                // Retention, by their age.
                "crm.merge_age",
                // Services follow the log of all tenants in its order.
                "activity.event_position_pkey", "activity.event_position_aggregate",
            ])
        /// Tables that the trail itself is made of, or that repeat what it has: a pipeline its stages, a deal's history its changes, a counter its
        /// tickets, a copy what another service tells; and work in the background, of which the trail has what it does; what it takes to undo
        /// something.
        static let unaudited = quoted(
            ["identity", "tenant", "crm", "activity", "support"].flatMap { schema in
                [
                    "outbox", "outbox_dead_letter", "idempotency_key", "limit_counter", "followed_dead_letter", "followed_doubt",
                    "member_copy", "team_member_copy", "job", "bulk_act", "bulk_act_record",
                ].map { "\(schema).\($0)" }
            } + [
                // What was merged and moved is in the trail with the records.
                "activity.event", "activity.event_log", "activity.event_hour", "activity.event_position", "support.ticket_counter",
                "crm.ticket_copy", "crm.lead_conversion", "crm.stage", "crm.deal_history", "crm.merge", "crm.merge_move",
            ])

        private static func quoted(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: ", ") }

        /// Each row is a fault; none is wanted.
        static let faults = """
            with services as (
                select n.oid, n.nspname as name from pg_namespace n
                where n.nspname in ('identity', 'tenant', 'crm', 'activity', 'support')
            ), tables as (
                select c.oid, s.name as schema, c.relname as name, c.relowner, c.relrowsecurity, c.relforcerowsecurity,
                    exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped) as tenanted
                from pg_class c join services s on s.oid = c.relnamespace where c.relkind in ('r', 'p')
            )
            select schema || '.' || name || ' lacks forced row security' from tables where tenanted and not (relrowsecurity and relforcerowsecurity)
            union all
            select schema || '.' || name || ' has no tenant policy with using and with check' from tables t where tenanted and not exists (
                select from pg_policy p where p.polrelid = t.oid and p.polname = 'tenant'
                    and pg_get_expr(p.polqual, p.polrelid) like '%app.tenant%' and pg_get_expr(p.polwithcheck, p.polrelid) like '%app.tenant%')
            union all
            select schema || '.' || t.name || ' has an open policy for ' || r.rolname from tables t join pg_policy p on p.polrelid = t.oid
                cross join unnest(p.polroles) as role join pg_roles r on r.oid = role
                where tenanted and r.rolname = 'martlet_' || schema and pg_get_expr(p.polqual, p.polrelid) not like '%app.tenant%'
            union all
            select schema || '.' || t.name || ' has a policy for everybody' from tables t join pg_policy p on p.polrelid = t.oid
                where tenanted and 0 = any (p.polroles)
            union all
            select schema || '.' || t.name || ': index ' || i.relname || ' does not begin with tenant_id' from tables t
                join pg_index x on x.indrelid = t.oid join pg_class i on i.oid = x.indexrelid
                join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
                -- The lexemes in the column search begin with their tenant themselves.
                where tenanted and a.attname not in ('tenant_id', 'search') and schema || '.' || i.relname not in (\(acrossTenants))
            union all
            select schema || '.' || t.name || ' has no audit trigger' from tables t
                where tenanted and schema || '.' || t.name not in (\(unaudited)) and not exists (
                    select from pg_trigger g join pg_proc p on p.oid = g.tgfoid where g.tgrelid = t.oid and g.tgname = 'audit'
                        and p.proname = t.name || '_audit' and g.tgenabled = 'O' and g.tgtype & (4 | 8 | 16) = (4 | 8 | 16))
            union all
            select schema || '.' || t.name || '.' || a.attname || ' is not in the trail: call audited again' from tables t
                join pg_proc p on p.pronamespace = t.schema::regnamespace and p.proname = t.name || '_audit'
                join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
                where p.prosrc !~ ('\\m' || a.attname || '\\M')
            union all
            select schema || '.' || t.name || ' can be truncated' from tables t
                where (schema || '.' || t.name in ('activity.event', schema || '.outbox')
                        or exists (select from pg_trigger g where g.tgrelid = t.oid and g.tgname = 'audit'))
                    and not exists (
                        select from pg_trigger g join pg_proc p on p.oid = g.tgfoid
                        where g.tgrelid = t.oid and p.proname = 'refuse_truncate' and g.tgenabled = 'O' and g.tgtype & 32 = 32)
            union all
            select schema || '.' || t.name || ': ' || k.conname || ' refers past the tenant' from tables t
                join pg_constraint k on k.conrelid = t.oid and k.contype = 'f' join pg_attribute a on a.attrelid = t.oid and a.attnum = k.conkey[1]
                where tenanted and a.attname <> 'tenant_id'
            union all
            select schema || '.' || t.name || ' belongs to ' || r.rolname from tables t join pg_roles r on r.oid = t.relowner
                where r.rolname <> 'martlet_' || schema || '_owner'
            union all
            select 'role ' || rolname || ' is too powerful' from pg_roles
                where rolname like 'martlet\\_%' and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb)
            union all
            select 'role ' || r.rolname || ' reads schema ' || s.name from services s, pg_roles r
                where r.rolname like 'martlet\\_%' and r.rolname not like 'martlet\\_' || s.name || '%' and has_schema_privilege(r.oid, s.oid, 'usage')
            union all
            select 'function ' || p.oid::regprocedure || ' runs as its owner with an open search path or a role that owns tables' from pg_proc p
                join services s on s.oid = p.pronamespace
                where p.prosecdef and (not coalesce(p.proconfig @> array['search_path=""'], false)
                    or p.proname <> 'make_partition' and exists (select from pg_class c where c.relowner = p.proowner and c.relkind = 'r'))
            """

        @Test func noTableLetsATenantPastAnother() async throws {
            let world = try World.get()
            let faults = try await world.platform.psql(Self.faults)
            #expect(faults == "")
        }

        /// A limit by a name that no plan sets would hold nobody.
        @Test func everyLimitOfATableIsOneThatPlansSet() async throws {
            let world = try World.get()
            let held = try await world.platform.psql(
                "select distinct split_part(encode(tgargs, 'escape'), '\\000', 1) from pg_trigger where tgname = 'plan_limit' order by 1")
            let plan = try await world.acme.admin.send(.get, "/v1/plan", expecting: 200).json
            #expect(held == "leads\nusers\n")
            for name in held.split(separator: "\n") { #expect(plan[String(name)] != nil, "\(name)") }
        }

        /// The check above is worth something: with one policy gone, or row security not forced, it is red.
        @Test func takingAwayAPolicyTurnsTheCheckRed() async throws {
            let platform = try World.get().platform
            for (change, fault) in [
                ("drop policy tenant on crm.lead", "crm.lead has no tenant policy"),
                ("alter table support.ticket no force row level security", "support.ticket lacks forced row security"),
                ("alter table activity.event disable row level security", "activity.event lacks forced row security"),
                ("alter table crm.lead owner to martlet_crm", "crm.lead belongs to martlet_crm"),
                ("drop trigger audit on tenant.member", "tenant.member has no audit trigger"),
                ("alter table crm.lead disable trigger audit", "crm.lead has no audit trigger"),
                ("alter table crm.lead add column shoe_size integer", "crm.lead.shoe_size is not in the trail"),
                ("drop trigger keep on crm.lead", "crm.lead can be truncated"),
                ("drop trigger keep on crm.outbox", "crm.outbox can be truncated"),
                ("create index by_id on activity.event (id)", "activity.event: index by_id does not begin with tenant_id"),
            ] {
                #expect(try await platform.psql("begin; \(change); \(Self.faults); rollback").contains(fault), "\(change)")
            }
        }

        @Test func withoutATenantNothingIsSeenAndNothingCanBeWritten() async throws {
            let world = try World.get()
            _ = try await world.acme.create("/v1/leads", ["last_name": "There"])
            for table in ["crm.lead", "support.ticket", "activity.event"] {
                let schema = String(table.prefix { $0 != "." })
                let count = try await world.platform.psql("set role martlet_\(schema); select count(*) from \(table)")
                #expect(count.trimmingCharacters(in: .whitespacesAndNewlines) == "0", "\(table)")
            }
            await #expect(throws: ChildProcess.CommandFailed.self) {
                try await world.platform.psql(
                    "set role martlet_crm; insert into crm.lead (tenant_id, id, last_name) values ('\(world.acme.id)', '\(RecordID())', 'x')"
                )
            }
        }

        /// The search function names the tenant itself: asked without one, or as another, it finds nothing of this one.
        @Test func theSearchFunctionCannotBeAskedForAnotherTenant() async throws {
            let world = try World.get()
            _ = try await world.acme.create("/v1/leads", ["last_name": "Findable"])
            func found(_ tenant: String) async throws -> String {
                try await world.platform.psql(
                    "begin; set local role martlet_crm; set local search_path = crm, extensions; select set_config('app.tenant', '\(tenant)', true) is null; select count(*) from lead_search(search_query('\(world.acme.id)', 'findable')); rollback"
                ).split(separator: "\n").last.map(String.init) ?? ""
            }
            #expect(try await found(world.acme.id) != "0")
            #expect(try await found(world.globex.id) == "0")
            #expect(try await found("") == "0")
        }

        /// Not even the superuser: what he could do is take the triggers away.
        @Test func theTrailCannotBeChangedByTheServiceThatKeepsIt() async throws {
            let world = try World.get()
            let platform = world.platform
            _ = try await world.acme.create("/v1/leads", ["last_name": "Kept"])
            try await eventually("the trail has entries") { try await platform.psql("select count(*) from activity.event") != "0\n" }
            for role in ["martlet_activity", "martlet_activity_system", "martlet_activity_owner", "postgres"] {
                for change in ["update activity.event set kind = 'x'", "delete from activity.event", "truncate activity.event"] {
                    // Row security hides the rows from the owner, so there is nothing that he changes.
                    if role == "martlet_activity_owner", !change.hasPrefix("truncate") { continue }
                    await #expect(throws: ChildProcess.CommandFailed.self, "\(role): \(change)") {
                        try await platform.psql("set role \(role); \(change)")
                    }
                }
            }
        }
    }
}
