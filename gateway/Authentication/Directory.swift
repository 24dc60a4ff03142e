import Contracts
import Core
import Synchronization

/// What has changed since tokens were issued: ended sessions, raised epochs, suspended tenants, and which keys are valid. Kept by
/// ``StateFeed``, read by every request.
final class Directory: Sendable {
    enum Standing { case current, stale, suspended, unknownKey }

    struct TenantState: Sendable {
        var epoch: Int64
        var isActive: Bool
        /// `nil` when nothing was said of it.
        var location: Revocation.Location?
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

    private struct State {
        var keys = SigningKeys()
        var keysAreKnown = false
        var sessions: Set<SessionID>?
        var tenants: [TenantID: TenantState]?
        var members: [Member: Int64] = [:]
        var roles: [Role: Int64] = [:]
        /// Messages of the last seconds: a poll that was under way when they came does not undo them.
        var recent: [(revocation: Revocation, at: Timestamp)] = []
    }

    /// How long a message outweighs polls, in milliseconds.
    private static let recentSpan: Int64 = 15_000
    /// Messages kept; more in such a short time come from no honest service.
    private static let recentLimit = 50_000

    private let state = Mutex(State())
    /// Raised with each change, so that a token's standing is looked up once for each.
    private let counter = Atomic<UInt64>(1)
    private let ready = Atomic<Bool>(false)

    var version: UInt64 { counter.load(ordering: .acquiring) }
    /// Whether all three sources have been read once. Before that nothing is known of revocations.
    var isReady: Bool { ready.load(ordering: .acquiring) }
    var keys: SigningKeys { state.withLock { $0.keys } }

    private func update(_ body: (inout sending State) -> Void) {
        let isReady = state.withLock { state in
            body(&state)
            return state.keysAreKnown && state.sessions != nil && state.tenants != nil
        }
        counter.add(1, ordering: .acquiringAndReleasing)
        if isReady { ready.store(true, ordering: .releasing) }
    }

    func setKeys(_ keys: SigningKeys) {
        let known = state.withLock { $0.keysAreKnown ? $0.keys.identifiers : nil }
        if known == keys.identifiers { return }
        update {
            $0.keys = keys
            $0.keysAreKnown = true
        }
    }

    /// Puts what identity says in the place of what it said before.
    func setSessions(_ revocations: [Revocation]) {
        update { state in
            state.sessions = []
            Self.apply(revocations + Self.recent(&state), to: &state)
        }
    }

    /// Puts what tenant says in the place of what it said before.
    func setTenants(_ revocations: [Revocation]) {
        update { state in
            state.tenants = [:]
            state.members = [:]
            state.roles = [:]
            Self.apply(revocations + Self.recent(&state), to: &state)
        }
    }

    func apply(_ revocation: Revocation) {
        update { state in
            _ = Self.recent(&state)
            if state.recent.count < Self.recentLimit { state.recent.append((revocation, .now)) }
            Self.apply([revocation], to: &state)
        }
    }

    private static func recent(_ state: inout State) -> [Revocation] {
        let oldest = Timestamp.now.milliseconds - recentSpan
        state.recent.removeAll { $0.at.milliseconds < oldest }
        return state.recent.map(\.revocation)
    }

    private static func apply(_ revocations: [Revocation], to state: inout State) {
        for revocation in revocations {
            switch revocation {
            case .session(let id): state.sessions?.insert(id)
            case .tenant(let id, let epoch, let isActive, let location):
                // An older message must not undo a newer one: the status goes with the epoch, the location with the version.
                var tenant = state.tenants?[id] ?? TenantState(epoch: epoch, isActive: isActive, location: location)
                if epoch >= tenant.epoch { (tenant.epoch, tenant.isActive) = (epoch, isActive) }
                if let location, location.version >= tenant.location?.version ?? 0 { tenant.location = location }
                state.tenants?[id] = tenant
            case .member(let tenant, let user, let epoch): raise(&state.members[Member(tenant: tenant, user: user)], to: epoch)
            case .role(let tenant, let name, let epoch): raise(&state.roles[Role(tenant: tenant, name: name)], to: epoch)
            }
        }
    }

    private static func raise(_ known: inout Int64?, to epoch: Int64) { known = max(epoch, known ?? epoch) }

    /// Where the tenant of a token is by now, what it counts in, whose clocks it goes by, and when its fiscal year begins.
    func location(of claims: TokenClaims) -> (country: String?, currency: String, timeZone: String, fiscalYearStarts: Int) {
        let context = claims.context
        return state.withLock { state in
            guard let location = state.tenants?[claims.tenant]?.location else {
                return (context.country, context.currency, context.timeZone, context.fiscalYearStarts)
            }
            return (
                location.country, location.currency ?? context.currency, location.timeZone ?? context.timeZone,
                location.fiscalYearStarts ?? context.fiscalYearStarts
            )
        }
    }

    /// Whether a token is still good.
    func standing(of claims: TokenClaims) -> Standing {
        state.withLock { state in
            if state.keys[claims.keyID] == nil { return .unknownKey }
            if state.sessions?.contains(claims.session) ?? true { return .stale }
            if let tenant = state.tenants?[claims.tenant] {
                if !tenant.isActive { return .suspended }
                if tenant.epoch > claims.tenantEpoch { return .stale }
            }
            if let epoch = state.members[Member(tenant: claims.tenant, user: claims.user)], epoch > claims.memberEpoch { return .stale }
            // A token of a release that knew no such epoch was made before any.
            if let epoch = state.roles[Role(tenant: claims.tenant, name: claims.role)], epoch > claims.roleEpoch ?? 0 { return .stale }
            return .current
        }
    }
}
