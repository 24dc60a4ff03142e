import Core

/// Header, subdomain and token must agree. Each attempt writes an event, so it is counted for the user before it is told.
struct MatchTenant: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        guard exchange.refusal == nil, let token = exchange.token else { return .goOn }
        let head = exchange.head
        let agrees = exchange.withHeadBytes {
            exchange.policy.tenantResolution.agrees(slug: token.slug, tenant: $0[head.tenant], host: $0[head.host])
        }
        if !agrees {
            exchange.refusal = Problem(.tenantMismatch, "The token belongs to another tenant than the request names.")
            exchange.refusedToken = token
        }
        return .goOn
    }
}
