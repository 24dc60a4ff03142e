import Contracts
import Core
import Postgres

/// The table of tenants.
struct TenantStore: Sendable {
    let postgres: PostgresClient
    /// As the role that may look across tenants.
    let system: PostgresClient

    /// The caller's own tenant.
    ///
    /// - Throws: ``Problem`` `not_found`.
    func require(as context: RequestContext) async throws -> Tenant {
        let rows = try await postgres.batch(
            as: context, ["select \(Tenant.columns) from tenant where tenant_id = \(context.tenant)"])[0]
        guard let row = rows.first else { throw Problem.notFound }
        return try Tenant(row: row)
    }

    /// Writes a new tenant and its first member; a tenant that is there already under this id stays as it is.
    ///
    /// - Throws: ``Problem`` `already_exists` when another one has the slug, which is not named: it is another tenant's.
    func create(name: String, slug: String, plan: String, owner: Person, role: BuiltInRole, as context: RequestContext) async throws {
        do {
            _ = try await postgres.batch(
                as: context,
                [
                    """
                    insert into tenant (tenant_id, name, slug, plan, created_by, updated_by)
                    values (\(context.tenant), \(name), \(slug), \(plan), \(owner.id), \(owner.id))
                    on conflict on constraint tenant_pkey do nothing
                    """,
                    """
                    insert into member (tenant_id, user_id, email, name, role, created_by, updated_by)
                    values (\(context.tenant), \(owner.id), \(owner.email), \(owner.name), \(role.rawValue), \(owner.id), \(owner.id))
                    on conflict on constraint member_pkey do nothing
                    """,
                ])
        } catch let error as PostgresError where error.isUniqueViolation && error.constraint == "tenant_slug_unique" {
            throw Problem(.alreadyExists, "Another tenant has this slug.", underlying: error)
        }
    }

    /// The fields of a tenant that a change can set; those that are `nil` stay.
    struct Change: Sendable {
        var name: String?
        var slug: String?
        var locale: String?
        var timeZone: String?
        var currency: String?
        var fiscalYearStarts: Int?
        var country: BodyReader.Clearable?
        /// A merge patch: members of null are removed.
        var settings: JSON?
        var plan: String?
        var isActive: Bool?
        /// A merge patch too, of ``PlanOverrides``.
        var overrides: JSON?

        init() {}

        var isEmpty: Bool { assignments.isEmpty }

        /// Whether tokens made before must not be used any longer.
        var makesTokensStale: Bool { slug != nil || plan != nil || isActive != nil || overrides != nil }

        /// Whether gateways must be told, as tokens say something else.
        var isAnnounced: Bool {
            makesTokensStale || country != nil || locale != nil || currency != nil || timeZone != nil || fiscalYearStarts != nil
        }

        fileprivate var assignments: [SQL] {
            var list: [SQL] = []
            if let name { list.append("name = \(name)") }
            if let slug { list.append("slug = \(slug)") }
            if let locale { list.append("locale = \(locale)") }
            if let timeZone { list.append("time_zone = \(timeZone)") }
            if let currency { list.append("currency = \(currency)") }
            if let fiscalYearStarts { list.append("fiscal_year_starts = \(fiscalYearStarts)") }
            if let country { list.append("country = \(country.text.sqlValue)") }
            if let settings { list.append("settings = jsonb_strip_nulls(settings || \(settings)::jsonb)") }
            if let plan { list.append("plan = \(plan)") }
            if let isActive { list.append("status = \(isActive ? "active" : "suspended")") }
            if let overrides { list.append("overrides = jsonb_strip_nulls(overrides || \(overrides)::jsonb)") }
            if makesTokensStale { list.append("epoch = epoch + 1") }
            if isAnnounced { list.append("epoch_changed_at = now()") }
            return list
        }
    }

    /// Changes the tenant of the context.
    ///
    /// An empty change leaves all as it is.
    ///
    /// - Parameter platformOperator: who acts in the tenant without being a member of it, as himself.
    /// - Throws: ``Problem`` `already_exists` at `/slug` (not naming who has it, for it is another tenant), `version_mismatch`,
    ///   `not_found`, `conflict` when the platform's own tenant would lose its slug, `token_stale`; and what `further` throws, which then
    ///   undoes the change.
    func update(
        _ change: Change, if precondition: Precondition, as context: RequestContext, by platformOperator: RequestContext? = nil,
        further: @Sendable (PostgresTransaction, Tenant) async throws -> Void = { _, _ in }
    ) async throws -> Tenant {
        do {
            return try await postgres.transaction(as: context) { transaction in
                let present: SQL = "select \(Tenant.columns) from tenant where tenant_id = \(context.tenant)"
                let found: PostgresResult
                if let platformOperator {
                    found = try await transaction.query(present + " for no key update")
                    try await confirm(platformOperator)
                } else {
                    found = try await TenantTurn(in: transaction, as: context, [present]).found[0]
                }
                guard let row = found.first else { throw Problem.notFound }
                var tenant = try Tenant(row: row)
                try precondition.check(tenant.version)
                if let slug = change.slug, tenant.slug == Slug.platform, slug != tenant.slug {
                    throw Problem(.conflict, "The platform's own tenant keeps its slug: operators are found by it.")
                }
                if !change.isEmpty {
                    let changed = try await transaction.query(
                        """
                        update tenant set \(SQL.joined(change.assignments, separator: ", ")),
                               version = version + 1, updated_at = now(), updated_by = \(context.user)
                        where tenant_id = \(context.tenant) returning \(Tenant.columns)
                        """)
                    guard let row = changed.first else { throw Problem.notFound }
                    tenant = try Tenant(row: row)
                }
                try await further(transaction, tenant)
                return tenant
            }
        } catch let error as PostgresError where error.isUniqueViolation && error.constraint == "tenant_slug_unique" {
            let detail = "Another tenant has this slug."
            throw Problem(
                .alreadyExists, detail, faults: [.init(pointer: "/slug", code: .alreadyExists, detail: detail)], underlying: error)
        } catch let error as PostgresError where error.constraint == "tenant_settings_size" {
            throw Problem.invalid([.init(pointer: "/settings", code: .tooLong, detail: "The settings are larger than 16 KiB.")])
        }
    }

    // Across tenants.

    /// The operator's own tenant is another one, of which the transaction sees nothing.
    private func confirm(_ platformOperator: RequestContext) async throws {
        let results = try await system.batch(
            as: SystemContext(service: "tenant", edge: platformOperator.edge), TenantTurn.standing(of: platformOperator))
        try TenantTurn.confirm(results[0], TenantRoles(results[1]), as: platformOperator)
    }

    /// A page of tenants and the one after it. Each tenant on the page gets an event in its trail: an operator has looked at it.
    ///
    /// - Parameters:
    ///   - search: a part of the slug.
    ///   - limit: the size of the page; one more is returned when another page follows.
    ///   - reader: the operator.
    func list(
        after cursor: TenantID?, search: String?, limit: Int, shownTo reader: UserID, as context: SystemContext
    ) async throws -> [Tenant] {
        // One statement, so that the events are those of the tenants that are shown. It writes what emit_event would, which is for
        // the one tenant of app.tenant.
        let rows = try await system.batch(
            as: context,
            [
                """
                with page as (
                    select \(Tenant.columns) from tenant
                    where (\(cursor.map(\.sqlValue) ?? .null)::uuid is null or tenant_id > \(cursor.map(\.sqlValue) ?? .null)::uuid)
                      and (\(search.map(\.sqlValue) ?? .null)::text is null or strpos(slug, \(search.map(\.sqlValue) ?? .null)::text) > 0)
                    order by tenant_id limit \(limit + 1)
                ), looks as (
                    insert into outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
                    select id, 'tenant', id::text, 'platform.tenant_listed', '{}'::jsonb, \(reader.description), \(context.requestID), outbox_lane(id)
                    from (select id from page order by id limit \(limit)) as shown
                )
                select * from page order by id
                """
            ])[0]
        return try rows.map { try Tenant(row: $0) }
    }

    func find(slug: String, as context: SystemContext) async throws -> Tenant? {
        let rows = try await system.batch(as: context, ["select \(Tenant.columns) from tenant where slug = \(slug)"])[0]
        return try rows.first.map { try Tenant(row: $0) }
    }

    /// What gateways must know: of all suspended tenants, and of those that say something else than a token that may live.
    func states(changedWithin period: Duration, as context: SystemContext) async throws -> [Revocation] {
        let rows = try await system.batch(
            as: context,
            [
                """
                select \(Tenant.columns) from tenant
                where status = 'suspended' or epoch_changed_at > \(Timestamp.now.advanced(by: .zero - period))
                """
            ])[0]
        return try rows.map { try Tenant(row: $0).state }
    }
}
