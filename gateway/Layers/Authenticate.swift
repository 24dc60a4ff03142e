import Core
import NIOCore

/// Finds out who asks: a member, by an access token that holds, or nobody. What is wrong with a token becomes the exchange's refusal,
/// unless the request is one that needs none.
struct Authenticate: Layer {
    private enum Outcome {
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

    func admit(_ exchange: Exchange) -> Verdict {
        if exchange.refusal != nil { return .goOn }
        return conclude(outcome(exchange, mayFetchKeys: true), exchange)
    }

    private func conclude(_ outcome: Outcome, _ exchange: Exchange) -> Verdict {
        switch outcome {
        // Signing in and registering cost a password's hash, so they count for the address whatever else is sent along.
        case .member where exchange.isSignIn: break
        case .member(let token): exchange.token = token
        case .noToken where exchange.isOpen: break
        case .noToken: exchange.refusal = Problem(.unauthenticated, "Send an access token: Authorization: Bearer <token>.")
        // Who comes to sign in may still hold an old token. The attempt counts for the address, or a token would be a way around its limit.
        case .refused where exchange.admitsRefusedToken: exchange.refusedToken = nil
        case .refused(let problem): exchange.refusal = problem
        case .unavailable: return .refuse(Problem(.upstreamUnavailable, "The gateway is starting. Try again shortly.", retryAfter: 1))
        case .waitingForKeys: return .wait
        }
        return .goOn
    }

    /// - Parameter mayFetchKeys: Whether an unknown key is worth asking identity.
    private func outcome(_ exchange: Exchange, mayFetchKeys: Bool) -> Outcome {
        let head = exchange.head
        if head.authorizations == 0 { return .noToken }
        guard exchange.worker.revocations.isReady else { return .unavailable }
        guard head.authorizations == 1 else { return .refused(Self.badToken) }
        let found = exchange.withHeadBytes { bytes -> Result<VerifiedToken, TokenFault> in
            let value = bytes[head.authorization]
            // The scheme is case-insensitive (RFC 9110, 11.1); one space, then the token and nothing else.
            guard value.count > 7, value.hasNamePrefix("bearer"), value[6] == 0x20 else { return .failure(.invalid) }
            return token(UnsafeRawBufferPointer(rebasing: value[7...]), exchange)
        }
        switch found {
        case .success(let token):
            guard let problem = Self.fault(of: token, exchange) else { return .member(token) }
            // It is genuine: what it is used for counts for its own user, and not for all who share an address.
            exchange.refusedToken = token
            exchange.worker.metrics.refusedTokens += 1
            return .refused(problem)
        case .failure(let fault):
            if fault == .unknownKey, mayFetchKeys {
                // It waits before it is counted, so how many may is bounded for each address.
                if let problem = exchange.refusalAtEdge() { return .refused(problem) }
                if fetchKeys(exchange) { return .waitingForKeys }
            }
            exchange.worker.metrics.refusedTokens += 1
            return .refused(Self.badToken)
        }
    }

    /// The verified token: the one of the request before, one from the cache, or one verified now. It may have expired.
    private func token(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Result<VerifiedToken, TokenFault> {
        let (worker, client) = (exchange.worker, exchange.client)
        if let token = client.lastToken, bytes.equals(token.bytes) { return .success(token) }
        guard bytes.count <= TokenVerifier.sizeLimit else { return .failure(.invalid) }
        let (place, cached) = worker.tokens.find(bytes)
        if let cached {
            client.lastToken = cached
            return .success(cached)
        }
        do throws(TokenFault) {
            let claims = try worker.verifier.verify(bytes, keys: worker.revocations.keys)
            let token = VerifiedToken(bytes: Array(bytes), claims: claims, limiter: worker.limiter)
            worker.tokens.insert(token, at: place)
            worker.metrics.verifiedTokens += 1
            client.lastToken = token
            return .success(token)
        } catch {
            return .failure(error)
        }
    }

    /// What is wrong with a genuine token by now. What has changed is looked up only when something has.
    static func fault(of token: VerifiedToken, _ exchange: Exchange) -> Problem? {
        if Timestamp.now.milliseconds >= token.claims.expiresAt { return tokenExpired }
        token.check(against: exchange.worker.revocations)
        switch token.validity {
        case .current: return nil
        case .stale: return Problem(.tokenStale, "The session has ended or its rights have changed. Sign in or refresh.")
        case .suspended: return Problem(.tenantSuspended, "The tenant is suspended.")
        case .unknownKey: return badToken
        }
    }

    /// Asks identity for its keys, and goes on with the request when they are there.
    private func fetchKeys(_ exchange: Exchange) -> Bool {
        let bound = NIOLoopBound(exchange, eventLoop: exchange.worker.eventLoop)
        return exchange.worker.shared.keyRefresh.request(on: exchange.worker.eventLoop) {
            let exchange = bound.value
            if exchange.isEnded { return }
            switch outcome(exchange, mayFetchKeys: false) {
            case .noToken, .unavailable, .waitingForKeys: exchange.resume(conclude(.refused(Self.badToken), exchange))
            case let outcome: exchange.resume(conclude(outcome, exchange))
            }
        }
    }
}
