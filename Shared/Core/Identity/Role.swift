/// A role that every tenant has: its permissions and whose records they reach.
public enum BuiltInRole: String, Sendable, CaseIterable {
    case superAdmin = "super_admin"
    case tenantAdmin = "tenant_admin"
    case manager, sales, support
    case readOnly = "read_only"

    private typealias Grant = (resources: [PermissionResource], actions: [PermissionAction], scope: RowScope)

    private static let everything = PermissionAction.allCases
    private static let allButAdmin = PermissionAction.allCases.filter { $0 != .admin }
    private static let tickets: [PermissionResource] = [.tickets, .articles]
    private static let personal: [PermissionResource] = [.tasks, .notes, .activities]
    private static let supportSettings: [PermissionResource] = [.queues, .slaPolicies, .macros]
    private static let ofTenants = PermissionResource.allCases.filter { $0 != .platform }

    private var grants: [Grant] {
        switch self {
        case .superAdmin:
            [(PermissionResource.allCases, Self.everything, .all)]
        case .tenantAdmin:
            [(Self.ofTenants, Self.everything, .all)]
        case .manager:
            [
                ([.leads, .contacts, .accounts, .deals, .products] + Self.personal + Self.tickets, Self.allButAdmin, .all),
                ([.pipelines, .exchangeRates, .customFields, .members, .teams, .audit], [.read], .all),
                (Self.supportSettings, [.read, .update], .all),
                ([.views], Self.everything, .all),
                ([.reports], [.read, .export], .all),
            ]
        case .sales:
            [
                ([.leads], [.read, .create, .update, .import], .team),
                ([.contacts, .accounts], [.read, .create, .update], .team),
                ([.deals], [.read, .create, .update], .all),
                (Self.tickets, [.read, .create], .all),
                (Self.personal, [.read, .create, .update, .delete], .own),
                ([.views], [.read, .create, .update, .delete], .own),
                ([.pipelines, .products, .exchangeRates, .customFields, .reports, .members, .teams], [.read], .all),
            ]
        case .support:
            [
                ([.contacts, .accounts], [.read, .update], .all),
                (Self.tickets, [.read, .create, .update, .share], .all),
                (Self.personal, [.read, .create, .update, .delete], .own),
                ([.views], [.read, .create, .update, .delete], .own),
                ([.macros], Self.everything, .all),
                ([.queues, .slaPolicies, .customFields, .reports, .members, .teams], [.read], .all),
            ]
        case .readOnly:
            [
                (
                    [.leads, .contacts, .accounts, .deals, .pipelines, .products, .exchangeRates, .customFields, .views, .reports]
                        + Self.personal + Self.tickets + Self.supportSettings, [.read], .all
                )
            ]
        }
    }

    public var permissions: PermissionSet {
        PermissionSet(grants.flatMap { grant in grant.resources.flatMap { resource in grant.actions.map { Permission(resource, $0) } } })
    }

    public var scopes: RowScopes {
        var scopes = RowScopes()
        for grant in grants {
            for resource in grant.resources { scopes[resource] = max(scopes[resource], grant.scope) }
        }
        return scopes
    }
}
