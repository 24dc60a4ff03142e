import NIOCore

/// Whether an address is worth trying: a circuit breaker that is also outlier ejection. Only failures of transport count, and
/// answers that never came: an error that a service answers with may be one caller's doing and must not cut off the others.
///
/// Whether an address is back is found out by probes, never by a client's request. The first failed connection and the fifth failed
/// request start them; they end with the first that is answered.
struct UpstreamHealth {
    enum State: String, Sendable {
        /// Can transition to: `unreachable`, `ejected`.
        case healthy
        /// A connection could not be made. Those that are open serve on. Can transition to: `healthy`.
        case unreachable
        /// Requests failed in a row: nothing is sent. Can transition to: `healthy`.
        case ejected
    }

    enum Action: Equatable {
        case none
        case probe(after: TimeAmount)
    }

    /// Failures in a row until an address is ejected.
    static let threshold = 5
    private static let firstPause = TimeAmount.milliseconds(100)
    /// The address is back in use this long after the service is back, and the time of a probe.
    private static let longestPause = TimeAmount.milliseconds(500)

    private(set) var state = State.healthy
    private var failures = 0
    private var pause = Self.firstPause

    var isHealthy: Bool { state == .healthy }

    /// A request was answered. Brings back nobody: what was sent before an address was lost says nothing of it now.
    mutating func succeeded() { failures = 0 }

    mutating func requestFailed() -> Action {
        guard state == .healthy else { return .none }
        failures += 1
        return failures >= Self.threshold ? leave(for: .ejected) : .none
    }

    mutating func connectFailed() -> Action { state == .healthy ? leave(for: .unreachable) : .none }

    mutating func probeFailed() -> Action {
        pause = min(Self.longestPause, pause * 2)
        return .probe(after: pause)
    }

    mutating func probeSucceeded() {
        state = .healthy
        failures = 0
    }

    private mutating func leave(for state: State) -> Action {
        self.state = state
        pause = Self.firstPause
        return .probe(after: pause)
    }
}
