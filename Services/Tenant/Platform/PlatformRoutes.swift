import Contracts
import Core
import Postgres
import Resources

/// `/v1/platform/tenants`: the operators' view of all tenants. What they do to one is in that tenant's audit trail.
struct PlatformRoutes: Sendable {
    let tenants: TenantStore
    let plans: PlanCatalogue
    let announcer: EpochAnnouncer
    let cursors: CursorSigner

    var routes: [Route] { [list, read, update] }

    private static func system(_ context: RequestContext) -> SystemContext { SystemContext(service: "tenant", edge: context.edge) }

    /// The operator, acting in a tenant that is not his: so isolation and audit treat it as any change there.
    private static func acting(_ context: RequestContext, in tenant: TenantID) -> RequestContext {
        var acting = context
        acting.tenant = tenant
        acting.limits = [:]
        return acting
    }

    /// Records in the tenant's trail that the operator has read it; nothing for a tenant that is not there.
    private static func look(at tenant: TenantID) -> SQL {
        """
        select emit_event('platform.tenant_read', 'tenant', tenant_id::text, '{}'::jsonb) from tenant where tenant_id = \(tenant)
        """
    }

    private var list: Route {
        .permitted(
            Permission(.platform, .read), .get, "/v1/platform/tenants",
            Operation(
                id: "listPlatformTenants", summary: "All tenants, the oldest first; each that is shown has it in its audit trail",
                tag: "platform",
                parameters: Paging.parameters + [.init("q", in: .query, schema: ["type": "string"], "A part of the slug.")],
                responses: [.init(200, "The tenants.", schema: Paging.schema(of: ["$ref": "#/components/schemas/PlatformTenant"]))])
        ) { call, member in
            let paging = try Paging(call, of: ["tenants"], further: ["q"], cursors: cursors)
            let search = call.query["q"]
            if let search, search.utf8.count > 40 { throw Problem.invalidParameter("q", "'q' has at most 40 characters.") }
            let cursor = try paging.position { $0.string.flatMap { TenantID($0) } }
            let found = try await tenants.list(
                after: cursor, search: search, limit: paging.limit, shownTo: member.user, as: Self.system(member))
            return paging.reply(found, position: { .string($0.id.description) }, json: \.platformJSON)
        }
    }

    private var read: Route {
        .permitted(
            Permission(.platform, .read), .get, "/v1/platform/tenants/{id}",
            Operation(
                id: "getPlatformTenant", summary: "A tenant; the look is recorded in its audit trail", tag: "platform",
                parameters: [.ifNoneMatch],
                responses: [.init(200, "The tenant.", schema: ["$ref": "#/components/schemas/PlatformTenant"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            let id = try call.id(of: TenantID.self)
            let acting = Self.acting(member, in: id)
            let results = try await tenants.postgres.batch(
                as: acting,
                [
                    "select \(Tenant.columns) from tenant where tenant_id = \(id)",
                    Self.look(at: id),
                ])
            guard let row = results[0].first else { throw Problem.notFound }
            let tenant = try Tenant(row: row)
            return EntityTag.reply(to: call, tenant.platformJSON, version: tenant.version)
        }
    }

    private var update: Route {
        .permitted(
            Permission(.platform, .update), .patch, "/v1/platform/tenants/{id}",
            Operation(
                id: "updatePlatformTenant", summary: "Change a tenant's plan, status or overrides",
                description: """
                    The change is in that tenant's audit trail. A suspended tenant's tokens are refused at once; active lets its people \
                    in again. An override of null falls back to the plan.
                    """,
                tag: "platform",
                parameters: [.ifMatch, .idempotencyKey],
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": [
                        "plan": ["type": "string"], "status": ["enum": ["active", "suspended"]], "overrides": Tenant.overridesSchema,
                    ],
                ],
                bodyExample: ["plan": "enterprise", "overrides": ["requests_per_second": 2000]],
                responses: [.init(200, "The tenant.", schema: ["$ref": "#/components/schemas/PlatformTenant"])],
                errors: [.conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            let id = try call.id(of: TenantID.self)
            let change = try change(call)
            let precondition = try Precondition(call)
            let key = try IdempotencyKey(call)
            let acting = Self.acting(member, in: id)
            return try await IdempotencyKey.guarding(key, as: acting, on: tenants.postgres) {
                let tenant = try await tenants.update(change, if: precondition, as: acting, by: member) { transaction, tenant in
                    if tenant.slug == Slug.platform, !tenant.isActive {
                        throw Problem(.conflict, "The platform's own tenant cannot be suspended: nobody could undo it.")
                    }
                    // Nothing is changed, and yet the tenant is shown: the trigger on its row tells of changes only.
                    if change.isEmpty { try await transaction.query(Self.look(at: id)) }
                    if let key {
                        let etag = EntityTag.of(tenant.version)
                        try await transaction.query(
                            key.insertion(as: acting, status: 200, body: tenant.platformJSON.bytes, etag: etag))
                    }
                }
                if change.makesTokensStale { announcer.announce(tenant) }
                return EntityTag.reply(to: call, tenant.platformJSON, version: tenant.version)
            }
        }
    }

    private func change(_ call: Call) throws -> TenantStore.Change {
        let body = BodyReader(try call.json(), members: ["plan", "status", "overrides"])
        var change = TenantStore.Change()
        change.plan = body.choice("plan", of: plans.plans.map(\.name), isRequired: false)
        change.isActive = body.choice("status", of: ["active", "suspended"], isRequired: false).map { $0 == "active" }
        if let overrides = body.object("overrides", members: PlanOverrides.names, isRequired: false) {
            var patch = JSONObject()
            for name in PlanOverrides.names where overrides.has(name) {
                if overrides.isNull(name) {
                    patch[name] = .null
                } else {
                    let lowest = name == "requests_per_second" ? 1 : 0
                    patch[name] = overrides.integer(name, in: lowest...1_000_000_000).map { .number($0) }
                }
            }
            if !patch.isEmpty { change.overrides = .object(patch) }
        }
        try body.finish()
        return change
    }
}
