import Contracts
import Core
import NIOCore
import Synchronization

/// What has changed since tokens were issued: ended sessions, raised epochs, suspended tenants, and which keys are valid. Kept by
/// ``RevocationFeed``, read by every request.
///
/// All event loops take its lock, so nothing under it grows with what is known: a poll's answer is put together before, and a message costs a
/// few insertions.
final class RevocationState: Sendable {
    enum Validity { case current, stale, suspended, unknownKey }

    /// Who is asked for a part of it.
    enum Source: String, CaseIterable, Sendable { case identity, tenant, keys }

    private struct State {
        var keys = SigningKeys()
        var keysReadAt: NIODeadline?
        /// Attempts to read a source that came to nothing.
        var failures = [Int](repeating: 0, count: Source.allCases.count)
        var sessions = RevocationSource()
        var tenants = RevocationSource()
    }

    private let state = Mutex(State())
    private let maximumAge: TimeAmount
    /// Raised with each change, so that a token's validity is looked up once for each.
    private let counter = Atomic<UInt64>(1)
    private let ready = Atomic<Bool>(false)

    /// - Parameter maximumAge: How old what is known may be.
    init(maximumAge: TimeAmount = .seconds(600)) { self.maximumAge = maximumAge }

    var version: UInt64 { counter.load(ordering: .acquiring) }
    /// Whether enough is known to take tokens: all three sources have been read, and what was revoked is not known too late.
    /// Looked at with each attempt to learn more.
    var isReady: Bool { ready.load(ordering: .acquiring) }
    var keys: SigningKeys { state.withLock { $0.keys } }

    /// When each source was last read, `nil` for never, and how often that failed.
    var sources: [(source: Source, readAt: NIODeadline?, failures: Int)] {
        state.withLock { state in
            let readAt = [state.sessions.readAt, state.tenants.readAt, state.keysReadAt]
            return Source.allCases.indices.map { (Source.allCases[$0], readAt[$0], state.failures[$0]) }
        }
    }

    func noteFailure(of source: Source, now: NIODeadline = .now()) {
        state.withLock { state in
            if let index = Source.allCases.firstIndex(of: source) { state.failures[index] += 1 }
        }
        refreshReadiness(now: now)
    }

    private func refreshReadiness(now: NIODeadline = .now()) {
        let isReady = state.withLock { state in
            guard state.keysReadAt != nil, let sessions = state.sessions.readAt, let tenants = state.tenants.readAt else { return false }
            return now - min(sessions, tenants) <= maximumAge
        }
        ready.store(isReady, ordering: .releasing)
    }

    func setKeys(_ keys: SigningKeys, now: NIODeadline = .now()) {
        let isNew = state.withLock { state in
            defer { state.keysReadAt = now }
            guard state.keysReadAt == nil || state.keys.identifiers != keys.identifiers else { return false }
            state.keys = keys
            return true
        }
        if isNew { changed(now: now) } else { refreshReadiness(now: now) }
    }

    /// Puts what identity says in the place of what it said before.
    func setSessions(_ revocations: [Revocation], now: NIODeadline = .now()) {
        let answer = Revocations(revocations)
        // What is no longer needed is freed when the lock is.
        let spent = state.withLock { $0.sessions.replace(with: answer, now: now) }
        _ = consume spent
        changed(now: now)
    }

    /// Puts what tenant says in the place of what it said before.
    func setTenants(_ revocations: [Revocation], now: NIODeadline = .now()) {
        let answer = Revocations(revocations)
        let spent = state.withLock { $0.tenants.replace(with: answer, now: now) }
        _ = consume spent
        changed(now: now)
    }

    func apply(_ revocation: Revocation) {
        state.withLock { state in
            if case .session = revocation { state.sessions.note(revocation) } else { state.tenants.note(revocation) }
        }
        counter.add(1, ordering: .acquiringAndReleasing)
    }

    private func changed(now: NIODeadline) {
        counter.add(1, ordering: .acquiringAndReleasing)
        refreshReadiness(now: now)
    }

    /// Where the tenant of a token is by now, what it counts in, whose clocks it goes by, and when its fiscal year begins.
    func location(of claims: TokenClaims) -> (country: String?, currency: String, timeZone: String, fiscalYearStarts: Int) {
        let context = claims.context
        guard let location = state.withLock({ $0.tenants.tenant(claims.tenant)?.location }) else {
            return (context.country, context.currency, context.timeZone, context.fiscalYearStarts)
        }
        return (
            location.country, location.currency ?? context.currency, location.timeZone ?? context.timeZone,
            location.fiscalYearStarts ?? context.fiscalYearStarts
        )
    }

    /// Whether a token is still good.
    func validity(of claims: TokenClaims) -> Validity {
        state.withLock { state in
            if state.keys[claims.keyID] == nil { return .unknownKey }
            if state.sessions.readAt == nil || state.sessions.hasEnded(claims.session) { return .stale }
            if let tenant = state.tenants.tenant(claims.tenant) {
                if !tenant.isActive { return .suspended }
                if tenant.epoch > claims.tenantEpoch { return .stale }
            }
            if state.tenants.epoch(of: .init(tenant: claims.tenant, user: claims.user)) > claims.memberEpoch { return .stale }
            // A token of a release that knew no such epoch was made before any.
            if state.tenants.epoch(of: .init(tenant: claims.tenant, name: claims.role)) > claims.roleEpoch ?? 0 { return .stale }
            return .current
        }
    }
}

/// What one service says: its last whole answer, and the messages since, which an answer that was under way when they came does not undo.
private struct RevocationSource {
    /// How long a message outweighs answers.
    private static let span = TimeAmount.seconds(15)
    /// Messages kept at a time; of more, the next answer tells.
    private static let limit = 250_000

    private(set) var readAt: NIODeadline?
    private var polled = Revocations()
    /// Messages of two periods. The older is forgotten as a whole, when an answer has come and the younger is older than ``span``.
    private var older = Revocations()
    private var younger = Revocations()
    private var youngerSince: NIODeadline?

    /// - Returns: What is no longer needed.
    mutating func replace(with answer: Revocations, now: NIODeadline) -> [Revocations] {
        var spent = [polled]
        polled = answer
        readAt = now
        if let since = youngerSince, now - since >= Self.span {
            spent.append(older)
            (older, younger, youngerSince) = (younger, Revocations(), now)
        } else if youngerSince == nil {
            youngerSince = now
        }
        return spent
    }

    mutating func note(_ revocation: Revocation) {
        if younger.count < Self.limit { younger.apply(revocation) }
    }

    func hasEnded(_ session: SessionID) -> Bool {
        polled.sessions.contains(session) || older.sessions.contains(session) || younger.sessions.contains(session)
    }

    func tenant(_ id: TenantID) -> Revocations.Tenant? {
        var tenant = polled.tenants[id]
        for newer in [older.tenants[id], younger.tenants[id]] {
            if let newer { tenant = tenant.map { $0.merged(with: newer) } ?? newer }
        }
        return tenant
    }

    func epoch(of member: Revocations.Member) -> Int64 {
        max(polled.members[member] ?? .min, older.members[member] ?? .min, younger.members[member] ?? .min)
    }

    func epoch(of role: Revocations.Role) -> Int64 {
        max(polled.roles[role] ?? .min, older.roles[role] ?? .min, younger.roles[role] ?? .min)
    }
}
