import Core
import NIOCore

/// The gateway, top-down: what happens to a request whose head has been read, layer by layer, until it is answered here or sent on.
extension ClientConnection {
    func startRequest() {
        begin()
        // Request id and trace come first: every answer below and every log line carries them.
        identify()
        if worker.policy.crossOrigin.isEnabled { keepCrossOriginLines() }
        phase = .deciding
        exchange.body = head.isChunked ? .chunked : .length(head.contentLength ?? 0)

        // The route is looked up before anything is asked of the caller, since what is asked depends on it. It costs nothing
        // and tells nothing: the table is public.
        exchange.route = withHeadBytes { worker.routes.route(of: $0[head.path]) }

        // A method that no service has is refused whoever sends it.
        if head.method == .other {
            return refuseCaller(Problem(.methodNotAllowed, "The methods are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS."))
        }
        // A browser asks with OPTIONS, and without a token, whether it may send the real request.
        if head.method == .options { return answerPreflight() }

        // Shedding stands before all that costs: an overloaded gateway must stay able to say so.
        if worker.metrics.inFlight - worker.gathering > worker.policy.inFlightLimit {
            return refuse(Problem(.overloaded, "Too many requests are under way. Try again shortly.", retryAfter: 1))
        }
        let isDocument = exchange.route == nil && isOwnPage
        let isOpen = isDocument || route?.isOpen ?? false

        switch authenticate() {
        case .member where isSignIn:
            // Signing in and registering cost a password's hash, so they count for the address whatever else is sent along.
            admitAnonymous(to: false)
        case .member(let token):
            exchange.token = token
            admitMember(token)
        case .noToken where isOpen:
            admitAnonymous(to: isDocument)
        case .noToken:
            refuseCaller(Problem(.unauthenticated, "Send an access token: Authorization: Bearer <token>."))
        case .refused where isDocument || admitsRefusedToken:
            // Who comes to sign in may still hold an old token.
            admitAnonymous(to: isDocument)
        case .refused(let problem):
            refuseCaller(problem)
        case .unavailable:
            refuse(Problem(.upstreamUnavailable, "The gateway is starting. Try again shortly.", retryAfter: 1))
        case .waitingForKeys:
            break
        }
    }

    // MARK: Authentication

    enum Authentication {
        case noToken
        case member(VerifiedToken)
        case refused(Problem)
        /// Signed with a key that is being looked for; the request goes on when it has been found or not.
        case waitingForKeys
        /// Nothing is known of revocations yet, so no token can be trusted.
        case unavailable
    }

    private static let badToken = Problem(.unauthenticated, "The access token is not valid.")
    private static let tokenExpired = Problem(.tokenExpired, "The access token has expired. Refresh it.")

    /// - Parameter mayFetchKeys: Whether an unknown key is worth asking identity.
    private func authenticate(mayFetchKeys: Bool = true) -> Authentication {
        if head.authorizations == 0 { return .noToken }
        guard worker.revocations.isReady else { return .unavailable }
        guard head.authorizations == 1 else { return .refused(Self.badToken) }
        let outcome = withHeadBytes { bytes -> Result<VerifiedToken, TokenFault> in
            let value = bytes[head.authorization]
            // The scheme is case-insensitive (RFC 9110, 11.1); one space, then the token and nothing else.
            guard value.count > 7, value.hasNamePrefix("bearer"), value[6] == 0x20 else { return .failure(.invalid) }
            return token(UnsafeRawBufferPointer(rebasing: value[7...]))
        }
        switch outcome {
        case .success(let token): return validity(of: token)
        case .failure(let fault):
            if fault == .unknownKey, mayFetchKeys, fetchKeys() { return .waitingForKeys }
            worker.metrics.refusedTokens += 1
            return .refused(fault == .expired ? Self.tokenExpired : Self.badToken)
        }
    }

    /// The verified token: the one of the request before, one from the cache, or one verified now.
    private func token(_ bytes: UnsafeRawBufferPointer) -> Result<VerifiedToken, TokenFault> {
        if let lastToken, bytes.equals(lastToken.bytes) { return unexpired(lastToken) }
        guard bytes.count <= TokenVerifier.sizeLimit else { return .failure(.invalid) }
        let (place, cached) = worker.tokens.find(bytes)
        if let cached {
            lastToken = cached
            return unexpired(cached)
        }
        do throws(TokenFault) {
            let claims = try worker.verifier.verify(bytes, keys: worker.revocations.keys, now: exchange.wallClock)
            let token = VerifiedToken(bytes: Array(bytes), claims: claims, limiter: worker.limiter)
            worker.tokens.insert(token, at: place)
            worker.metrics.verifiedTokens += 1
            lastToken = token
            return .success(token)
        } catch {
            return .failure(error)
        }
    }

    private func unexpired(_ token: VerifiedToken) -> Result<VerifiedToken, TokenFault> {
        exchange.wallClock.milliseconds < token.claims.expiresAt ? .success(token) : .failure(.expired)
    }

    /// Whether the token is still good, looked up anew only when something has changed.
    private func validity(of token: VerifiedToken) -> Authentication {
        token.check(against: worker.revocations)
        switch token.validity {
        case .current: return .member(token)
        case .stale: return .refused(Problem(.tokenStale, "The session has ended or its rights have changed. Sign in or refresh."))
        case .suspended: return .refused(Problem(.tenantSuspended, "The tenant is suspended."))
        case .unknownKey: return .refused(Self.badToken)
        }
    }

    /// What is wrong by now with the token that the request was admitted with.
    func tokenFault() -> Problem? {
        guard let token = exchange.token else { return nil }
        if Timestamp.now.milliseconds >= token.claims.expiresAt { return Self.tokenExpired }
        if case .refused(let problem) = validity(of: token) { return problem }
        return nil
    }

    /// Asks identity for its keys, and goes on with the request when they are there.
    private func fetchKeys() -> Bool {
        let number = exchange.number
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        return worker.shared.keyRefresh.request(on: worker.eventLoop) {
            let connection = bound.value
            guard connection.phase == .deciding, connection.exchange.number == number else { return }
            switch connection.authenticate(mayFetchKeys: false) {
            case .member where connection.isSignIn: connection.admitAnonymous(to: false)
            case .member(let token):
                connection.exchange.token = token
                connection.admitMember(token)
            case .refused where connection.admitsRefusedToken: connection.admitAnonymous(to: false)
            case .refused(let problem): connection.refuseCaller(problem)
            case .noToken, .unavailable, .waitingForKeys: connection.refuseCaller(Self.badToken)
            }
            connection.proceed()
        }
    }

    // MARK: Callers without a valid token

    /// Whether the path is one that makes a session, for which a token at hand does not matter.
    private var isSignIn: Bool {
        guard let route, route.isOpen else { return false }
        return route.prefix == RouteTable.signIn && !isRefresh && !withHeadBytes { RouteTable.isForMembers($0[head.path]) }
    }

    private var isRefresh: Bool { withHeadBytes { $0[head.path].equals(RouteTable.refresh) } }

    /// Whether a request whose token was refused goes on as one without: to sign in, but not to what only members do.
    private var admitsRefusedToken: Bool {
        route?.isOpen ?? false && !withHeadBytes { RouteTable.isForMembers($0[head.path]) }
    }

    /// The limit per address counts only requests without a valid token: members behind one address do not share it.
    private func chargeAddress(_ body: @escaping (ClientConnection) -> Void) {
        guard let address = clientAddress() else { return body(self) }
        // Whoever asks for other things behind the same address does not sign people out, who come here when their token has expired.
        let limit = isRefresh ? worker.limiter.refresh(address) : worker.limiter.address(address)
        exchange.addressLimit = limit
        charge([limit], body)
    }

    private func clientAddress() -> IPAddress? {
        guard let peer else { return nil }
        let forwarded = head.forwardedFor.isEmpty ? nil : withHeadBytes { $0[head.forwardedFor].text }
        let address = ClientAddress.resolve(peer: peer, forwardedFor: forwarded, trusted: worker.policy.settings.trustedProxies)
        exchange.clientAddress = address
        return address
    }

    private func admitAnonymous(to document: Bool) {
        chargeAddress { connection in
            if document { connection.answerOwnPage() } else { connection.forwardIfSmall() }
        }
    }

    /// Counted before it is told: guessing tokens or paths is limited as signing in is.
    private func refuseCaller(_ problem: Problem) { chargeAddress { $0.refuse(problem) } }

    // MARK: Members

    private func admitMember(_ token: VerifiedToken) {
        if !head.forwardedFor.isEmpty { _ = clientAddress() }
        // Header, subdomain and token must agree before the request counts for the tenant.
        let agrees = withHeadBytes {
            worker.policy.tenantResolution.agrees(slug: token.slug, tenant: $0[head.tenant], host: $0[head.host])
        }
        guard agrees else {
            // It counts for the user all the same: each writes an event, and nobody may write them without end.
            return charge([token.userLimit].compactMap(\.self)) { connection in
                connection.worker.shared.securityEvents.tenantMismatch(
                    claims: token.claims, requestID: String(decoding: connection.exchange.requestID, as: UTF8.self))
                connection.refuse(Problem(.tenantMismatch, "The token belongs to another tenant than the request names."))
            }
        }
        // The user's limit first: it is the smaller one, and one user at his limit must not use up his tenant's.
        let now = exchange.startedAt
        let user = token.userLimit.map { $0.take(now: now) } ?? .admitted
        switch (user, token.tenantLimit) {
        case (.admitted, nil): admitted()
        case (.admitted, let tenantLimit?):
            if case .admitted? = tenantLimit.take(now: now) { return admitted() }
            token.userLimit?.giveBack()
            charge([token.userLimit, tenantLimit].compactMap(\.self)) { $0.admitted() }
        default:
            charge([token.userLimit, token.tenantLimit].compactMap(\.self)) { $0.admitted() }
        }
    }

    private func admitted() {
        // Unknown paths are refused only now, so that they count for the limits as all others.
        if exchange.route == nil {
            if isOwnPage { return answerOwnPage() }
            return refuse(.notFound)
        }
        forwardIfSmall()
    }

    /// The declared length is judged before a byte of the body is awaited.
    private func forwardIfSmall() {
        if let length = head.contentLength, length > worker.policy.settings.bodyLimit { return refuse(bodyTooLarge) }
        forward()
    }

    // MARK: Limits

    /// Takes a token of each limit, waiting for leases where none is at hand, then goes on; over a limit the request is refused.
    private func charge(_ limits: [LeasedBucket], taken: Int = 0, _ body: @escaping (ClientConnection) -> Void) {
        guard taken < limits.count else { return body(self) }
        let number = exchange.number
        let settle = { [self] (decision: LeasedBucket.Decision) in
            guard phase == .deciding, exchange.number == number else {
                // The client has gone; its token goes to the next.
                if case .admitted = decision { limits[taken].giveBack() }
                return
            }
            switch decision {
            case .admitted: charge(limits, taken: taken + 1, body)
            case .refused(let seconds):
                for limit in limits[..<taken] { limit.giveBack() }
                if let kind = LimitKind(rawValue: limits[taken].name) { worker.metrics.limited[kind.index] += 1 }
                refuse(Problem(.rateLimited, "Too many requests. Try again in \(seconds) s.", retryAfter: seconds))
            }
        }
        let now = NIODeadline.now()
        if let decision = limits[taken].take(now: now) { return settle(decision) }
        limits[taken].wait(now: now) { [self] decision in
            settle(decision)
            proceed()
        }
    }

    var bodyTooLarge: Problem {
        Problem(.bodyTooLarge, "The body is larger than \(worker.policy.settings.bodyLimit) bytes.")
    }
}
