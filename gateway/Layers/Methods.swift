import Core

/// Methods that are answered whoever sends them.
struct Methods: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        switch exchange.head.method {
        case .other:
            exchange.refusal = Problem(.methodNotAllowed, "The methods are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS.")
            return .goOn
        case .options:
            if let refusal = exchange.refusalAtEdge() { return .refuse(refusal) }
            return .answer(preflight(exchange))
        default: return .goOn
        }
    }

    private func preflight(_ exchange: Exchange) -> OwnAnswer {
        let crossOrigin = exchange.policy.crossOrigin
        let isAllowed =
            crossOrigin.isEnabled && !exchange.head.requestedMethod.isEmpty
            && exchange.withHeadBytes { crossOrigin.allows($0[exchange.head.origin]) }
        return OwnAnswer(status: 204, lines: isAllowed ? CrossOrigin.preflightLines : "")
    }
}
