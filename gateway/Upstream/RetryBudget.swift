/// How many requests may be sent a second time: a tenth of those sent, so that an upstream in trouble is not given more to do.
struct RetryBudget {
    private var tokens = 10.0

    mutating func noteRequest() { if tokens < 100 { tokens += 0.1 } }

    mutating func allowsRetry() -> Bool {
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    /// Whether a request that failed is sent once more. Where nothing was sent the pool has tried every address itself.
    ///
    /// - Parameters:
    ///   - isSafe: The request reads only.
    ///   - isIdempotent: Done twice it is as done once.
    mutating func allowsRetry(after failure: UpstreamFailure, isSafe: Bool, isIdempotent: Bool) -> Bool {
        switch failure {
        // The upstream closed an idle connection as this request was sent on it: the common case, and harmless.
        case .closedBeforeAnswer(isReused: true) where isSafe: true
        case .closedBeforeAnswer where isIdempotent: allowsRetry()
        case .closedBeforeAnswer, .broken, .unreachable, .overloaded, .tenantBusy: false
        }
    }
}
