import Core

/// One of the things that a request passes before it is sent on. A layer keeps nothing of an exchange; what it finds out is the
/// exchange's.
protocol Layer: Sendable {
    func admit(_ exchange: Exchange) -> Verdict
}

enum Verdict {
    case goOn
    case answer(OwnAnswer)
    case refuse(Problem)
    /// The layer waits for something, and calls ``Exchange/resume(_:)`` later.
    case wait
}

/// The layers in their order: what stands before another protects it, or finds out what it needs.
enum LayerStack {
    static let all: [any Layer] = [
        // First: every answer below and every log line carries request id and trace.
        Identify(),
        // Before all that costs: an overloaded gateway must stay able to say so.
        Shed(),
        // Browsers ask without a token whether they may send one, and a method that nobody has is refused whoever sends it.
        Methods(),
        // Who asks. What is wrong with a token is told after it has been counted.
        Authenticate(),
        // Header, subdomain and token must agree before a request counts for a tenant.
        MatchTenant(),
        // Everything below happens at most as often as the limits say.
        Count(),
        // Unknown paths are refused only here, so that they count as all others.
        OwnPages(),
        // The declared length is judged before a byte of the body is awaited. Then the request is forwarded.
        JudgeBody(),
    ]
}
