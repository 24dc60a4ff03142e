import NIOCore

/// Whether an address is worth trying: a circuit breaker that is also outlier ejection. Only failures of transport count, and
/// answers that never came: an error that a service answers with may be one caller's doing and must not cut off the others.
struct UpstreamHealth {
    private enum State {
        /// Can transition to: `ejected`.
        case healthy(failures: Int)
        /// Held back until then. Can transition to: `probing`.
        case ejected(until: NIODeadline)
        /// One request is under way to see. Can transition to: `healthy`, `ejected`.
        case probing(since: NIODeadline)
    }

    /// Failures in a row until an address is ejected.
    static let threshold = 5
    private static let firstPause = TimeAmount.milliseconds(500)
    private static let longestPause = TimeAmount.seconds(8)
    /// A probe that was never heard of again does not keep the address out for longer than this.
    private static let probeLimit = TimeAmount.seconds(5)

    private var state = State.healthy(failures: 0)
    private var ejections = 0

    var isHealthy: Bool { if case .healthy = state { true } else { false } }

    /// Whether a request may be sent now. It counts as the probe when the address is coming back.
    mutating func allows(now: NIODeadline) -> Bool {
        switch state {
        case .healthy: return true
        case .ejected(let until):
            guard now >= until else { return false }
            state = .probing(since: now)
            return true
        case .probing(let since):
            guard now - since > Self.probeLimit else { return false }
            state = .probing(since: now)
            return true
        }
    }

    mutating func succeeded() {
        if case .healthy(0) = state { return }
        state = .healthy(failures: 0)
        ejections = 0
    }

    mutating func failed(now: NIODeadline) {
        switch state {
        case .healthy(let failures) where failures + 1 < Self.threshold: state = .healthy(failures: failures + 1)
        case .healthy, .probing:
            let pause = min(Self.longestPause, Self.firstPause * (1 << min(ejections, 10)))
            ejections += 1
            state = .ejected(until: now + pause)
        case .ejected: break
        }
    }
}

/// How many requests may be sent a second time: a tenth of those sent, so that an upstream in trouble is not given more to do.
struct RetryBudget {
    private var tokens = 10.0

    mutating func noteRequest() { if tokens < 100 { tokens += 0.1 } }

    mutating func allowsRetry() -> Bool {
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
