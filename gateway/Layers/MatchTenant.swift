import Core

/// Header, subdomain and token must agree. Each attempt writes an event, so it is counted for the user before it is told. Without a token
/// the first two must; what they name is then the service's to judge.
struct MatchTenant: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        if exchange.refusal != nil { return .goOn }
        guard let token = exchange.token else {
            if exchange.route != nil, exchange.namedTenant == .impossible { exchange.refusal = TenantResolution.impossible }
            return .goOn
        }
        let head = exchange.head
        let agrees = exchange.withHeadBytes {
            exchange.policy.tenantResolution.agrees(slug: token.slug, tenant: $0[head.tenant], host: $0[head.host])
        }
        if !agrees {
            exchange.refusal = TenantResolution.mismatch
            exchange.refusedToken = token
        }
        return .goOn
    }
}
