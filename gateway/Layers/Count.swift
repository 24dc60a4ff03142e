import Core
import NIOCore

/// Takes the request off the limits that it falls under, waiting for leases where none is at hand; over a limit it is refused. A request
/// that was refused above is told so now: guessing tokens or paths is limited as signing in is.
struct Count: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        if let token = exchange.token, exchange.refusal == nil { return countMember(token, exchange) }
        if let token = exchange.refusedToken {
            return charge(token.userLimit.map { [$0] } ?? [], exchange)
        }
        return countAddress(exchange)
    }

    // MARK: Members

    /// The user's limit first: it is the smaller one, and one user at his limit must not use up his tenant's.
    private func countMember(_ token: VerifiedToken, _ exchange: Exchange) -> Verdict {
        let now = exchange.startedAt
        let user = token.userLimit.map { $0.take(now: now) } ?? .admitted
        switch (user, token.tenantLimit) {
        case (.admitted, nil): return .goOn
        case (.admitted, let tenantLimit?):
            if case .admitted? = tenantLimit.take(now: now) { return .goOn }
            token.userLimit?.giveBack()
        default: break
        }
        return charge([token.userLimit, token.tenantLimit].compactMap(\.self), exchange)
    }

    // MARK: Callers without a valid token

    /// The limit per address counts only requests without a valid token: members behind one address do not share it.
    private func countAddress(_ exchange: Exchange) -> Verdict {
        guard let address = exchange.address else { return passed(exchange) }
        let limiter = exchange.worker.limiter
        // Whoever asks for other things behind the same address does not sign people out, who come here when their token has expired.
        let limit = exchange.isRefresh ? limiter.refresh(address) : limiter.address(address)
        exchange.addressLimit = limit
        // The network's first: whoever is over that makes no further keys in Redis by his many addresses.
        return charge([limiter.network(address, isRefresh: exchange.isRefresh), limit].compactMap(\.self), exchange)
    }

    // MARK: Taking

    private func passed(_ exchange: Exchange) -> Verdict {
        guard let refusal = exchange.refusal else { return .goOn }
        if refusal.code == .tenantMismatch, let token = exchange.refusedToken {
            exchange.worker.shared.securityEvents.tenantMismatch(claims: token.claims, requestID: exchange.requestIDText)
        }
        return .refuse(refusal)
    }

    /// Takes a token of each limit.
    private func charge(_ limits: [LeasedBucket], taken: Int = 0, _ exchange: Exchange) -> Verdict {
        for index in limits.indices.dropFirst(taken) {
            let now = NIODeadline.now()
            if let decision = limits[index].take(now: now) {
                if let refused = refusal(decision, limits, taken: index, exchange) { return refused }
                continue
            }
            var verdict: Verdict?
            var hasReturned = false
            limits[index].wait(now: now) { decision in
                if exchange.isEnded {
                    // The client has gone; its tokens go to the next.
                    if case .admitted = decision { limits[index].giveBack() }
                    for limit in limits[..<index] { limit.giveBack() }
                    return
                }
                let next = refusal(decision, limits, taken: index, exchange) ?? charge(limits, taken: index + 1, exchange)
                if hasReturned { exchange.resume(next) } else { verdict = next }
            }
            hasReturned = true
            return verdict ?? .wait
        }
        return passed(exchange)
    }

    private func refusal(_ decision: LeasedBucket.Decision, _ limits: [LeasedBucket], taken: Int, _ exchange: Exchange) -> Verdict? {
        guard case .refused(let seconds) = decision else { return nil }
        if let kind = LimitKind(rawValue: limits[taken].name) { exchange.worker.metrics.limited[kind.index] += 1 }
        for limit in limits[..<taken] { limit.giveBack() }
        // The answer tells of the one that refused.
        if exchange.addressLimit != nil { exchange.addressLimit = limits[taken] }
        return .refuse(exchange.rateLimited(seconds))
    }
}

extension Exchange {
    /// Why what is answered before the limits is not answered this time; `nil` when it is.
    func refusalAtEdge() -> Problem? {
        guard let address, case .refused(let seconds) = worker.limiter.edge(address, now: startedAt) else { return nil }
        return rateLimited(seconds)
    }

    fileprivate func rateLimited(_ seconds: Int) -> Problem {
        Problem(.rateLimited, "Too many requests. Try again in \(seconds) s.", retryAfter: seconds)
    }
}
