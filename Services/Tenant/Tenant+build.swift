import Core
import Foundation
import Operations
import ServiceRuntime

/// Which organisations there are, who belongs to them, and who may do what.
public enum TenantService {
    public static let definition = ServiceDefinition(
        name: .tenant,
        // Always there: it is a resource of this module.
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations"), settings: TenantConfiguration.settings,
        copies: [.memberNames], build: build)

    /// Puts the service together from its settings and what it runs on.
    ///
    /// - Throws: ``SettingError``, ``PlanFileError``.
    @Sendable public static func build(_ dependencies: ServiceDependencies) async throws -> ServiceParts {
        let plans = try TenantConfiguration(settings: dependencies.settings).plans
        let postgres = dependencies.postgres
        let system = dependencies.systemPostgres
        let tenants = TenantStore(postgres: postgres, system: system)
        let members = MemberStore(postgres: postgres, system: system)
        let roles = RoleStore(postgres: postgres, system: system)
        let memberships = MembershipStore(system: system, plans: plans)
        let announcer = EpochAnnouncer(redis: dependencies.redis, logger: dependencies.logger)
        let cursors = dependencies.cursors
        let acceptance = InvitationAcceptance(postgres: postgres, plans: plans, announcer: announcer)
        let routes = [
            TenantRoutes(tenants: tenants, announcer: announcer).routes,
            MemberRoutes(members: members, roles: roles, announcer: announcer, cursors: cursors).routes,
            InvitationRoutes(
                invitations: InvitationStore(postgres: postgres), members: members, acceptance: acceptance, cursors: cursors
            ).routes,
            RoleRoutes(roles: roles, announcer: announcer).routes,
            TeamRoutes(teams: TeamStore(postgres: postgres), cursors: cursors).routes,
            AuthorizationRoutes(postgres: postgres, services: dependencies.services).routes,
            PlanRoutes(plans: plans, tenants: tenants, members: members).routes,
            PlatformRoutes(tenants: tenants, plans: plans, announcer: announcer, cursors: cursors).routes,
            InternalRoutes(
                tenants: tenants, members: members, memberships: memberships, roles: roles, acceptance: acceptance,
                platform: PlatformOperators(tenants: tenants, announcer: announcer)
            ).routes,
        ]
        return ServiceParts(
            routes: routes.flatMap { $0 },
            schemas: [
                ("Tenant", Tenant.schema), ("PlatformTenant", Tenant.platformSchema), ("Member", Member.schema),
                ("Invitation", Invitation.schema), ("Role", Role.schema), ("Team", Team.schema), ("Plan", Plan.schema),
            ])
    }
}
