import Contracts
import Core

/// Revocations, found by what they are about. Messages come in any order: an older one never undoes a newer one.
struct Revocations: Sendable {
    struct Tenant: Sendable {
        var epoch: Int64
        var isActive: Bool
        /// `nil` when nothing was said of it.
        var location: Revocation.Location?

        /// The status goes with the epoch, the location with the version; of equals the other one is the newer.
        func merged(with other: Tenant) -> Tenant {
            var merged = self
            if other.epoch >= epoch { (merged.epoch, merged.isActive) = (other.epoch, other.isActive) }
            if let newer = other.location, newer.version >= location?.version ?? 0 { merged.location = newer }
            return merged
        }
    }

    struct Member: Hashable, Sendable {
        var tenant: TenantID
        var user: UserID
    }

    /// A role that a tenant has made.
    struct Role: Hashable, Sendable {
        var tenant: TenantID
        var name: String
    }

    private(set) var sessions: Set<SessionID> = []
    private(set) var tenants: [TenantID: Tenant] = [:]
    private(set) var members: [Member: Int64] = [:]
    private(set) var roles: [Role: Int64] = [:]

    init(_ revocations: [Revocation] = []) {
        for revocation in revocations { apply(revocation) }
    }

    var count: Int { sessions.count + tenants.count + members.count + roles.count }

    mutating func apply(_ revocation: Revocation) {
        switch revocation {
        case .session(let id): sessions.insert(id)
        case .tenant(let id, let epoch, let isActive, let location):
            let said = Tenant(epoch: epoch, isActive: isActive, location: location)
            tenants[id] = tenants[id]?.merged(with: said) ?? said
        case .member(let tenant, let user, let epoch): Self.raise(&members[Member(tenant: tenant, user: user)], to: epoch)
        case .role(let tenant, let name, let epoch): Self.raise(&roles[Role(tenant: tenant, name: name)], to: epoch)
        }
    }

    private static func raise(_ known: inout Int64?, to epoch: Int64) { known = max(epoch, known ?? epoch) }
}
