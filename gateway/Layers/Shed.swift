import Core

/// Refuses what comes while too much is under way. Requests whose bodies are awaited, and streams that are open, cost little, so
/// new ones are not refused for them.
struct Shed: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        let worker = exchange.worker
        guard worker.inFlight - worker.gathering.count - worker.openStreams > worker.policy.inFlightLimit else { return .goOn }
        return .refuse(Problem(.overloaded, "Too many requests are under way. Try again shortly.", retryAfter: 1))
    }
}
