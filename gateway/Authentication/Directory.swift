import Core
import Synchronization

/// What has changed since tokens were issued: ended sessions, raised epochs, suspended tenants, and which keys are valid. Kept by
/// ``StateFeed``, read by every request.
final class Directory: Sendable {
    enum Standing { case current, stale, suspended, unknownKey }

    struct TenantState: Sendable {
        var epoch: Int64
        var isActive: Bool
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

    /// One message over Redis.
    enum Change: Sendable {
        case session(SessionID)
        case tenant(TenantID, TenantState)
        case member(Member, epoch: Int64)
        case role(Role, epoch: Int64)

        /// `nil` for a message of a form that is not known here, such as one of a later release.
        init?(_ json: JSON) {
            switch json["kind"]?.string {
            case "session":
                guard let id = json["id"]?.string.flatMap({ SessionID($0) }) else { return nil }
                self = .session(id)
            case "tenant":
                guard let tenant = Directory.tenant(json) else { return nil }
                self = .tenant(tenant.id, tenant.state)
            case "member":
                guard let member = Directory.member(json) else { return nil }
                self = .member(member.member, epoch: member.epoch)
            case "role":
                guard let role = Directory.role(json) else { return nil }
                self = .role(role.role, epoch: role.epoch)
            default: return nil
            }
        }
    }

    static func tenant(_ json: JSON) -> (id: TenantID, state: TenantState)? {
        guard let id = json["id"]?.string.flatMap({ TenantID($0) }), let epoch = json["epoch"]?.integer,
            let status = json["status"]?.string
        else { return nil }
        return (id, TenantState(epoch: epoch, isActive: status == "active"))
    }

    static func member(_ json: JSON) -> (member: Member, epoch: Int64)? {
        guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let user = json["user"]?.string.flatMap({ UserID($0) }),
            let epoch = json["epoch"]?.integer
        else { return nil }
        return (Member(tenant: tenant, user: user), epoch)
    }

    static func role(_ json: JSON) -> (role: Role, epoch: Int64)? {
        guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let name = json["name"]?.string,
            let epoch = json["epoch"]?.integer
        else { return nil }
        return (Role(tenant: tenant, name: name), epoch)
    }

    private struct State {
        var keys = SigningKeys()
        var keysAreKnown = false
        var sessions: Set<SessionID>?
        var tenants: [TenantID: TenantState]?
        var members: [Member: Int64] = [:]
        var roles: [Role: Int64] = [:]
        /// Messages of the last seconds: a poll that was under way when they came does not undo them.
        var recent: [(change: Change, at: Timestamp)] = []
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

    func setSessions(_ sessions: Set<SessionID>) {
        update { state in
            var sessions = sessions
            for case (.session(let id), _) in Self.pruned(&state) { sessions.insert(id) }
            state.sessions = sessions
        }
    }

    func setTenants(_ tenants: [TenantID: TenantState], members: [Member: Int64], roles: [Role: Int64]) {
        update { state in
            state.tenants = tenants
            state.members = members
            state.roles = roles
            for (change, _) in Self.pruned(&state) { Self.apply(change, to: &state) }
        }
    }

    func apply(_ change: Change) {
        update { state in
            _ = Self.pruned(&state)
            if state.recent.count < Self.recentLimit { state.recent.append((change, .now)) }
            Self.apply(change, to: &state)
        }
    }

    private static func pruned(_ state: inout State) -> [(change: Change, at: Timestamp)] {
        let oldest = Timestamp.now.milliseconds - recentSpan
        state.recent.removeAll { $0.at.milliseconds < oldest }
        return state.recent
    }

    private static func apply(_ change: Change, to state: inout State) {
        switch change {
        case .session(let id): state.sessions?.insert(id)
        case .tenant(let id, let tenant):
            // An older message must not undo a newer one.
            if let known = state.tenants?[id], known.epoch > tenant.epoch { return }
            state.tenants?[id] = tenant
        case .member(let member, let epoch): state.members[member] = max(epoch, state.members[member] ?? epoch)
        case .role(let role, let epoch): state.roles[role] = max(epoch, state.roles[role] ?? epoch)
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
