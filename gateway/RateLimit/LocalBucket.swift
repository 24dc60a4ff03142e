import Contracts
import NIOCore

/// A token bucket in memory: this event loop's share of a limit while Redis is away.
struct LocalBucket {
    private let capacity: Double
    private let perSecond: Double
    private var tokens: Double
    private var filledAt: NIODeadline

    /// - Parameter share: The part of the limit, 0…1. At least one request in a window is admitted.
    init(policy: RateLimit, share: Double, now: NIODeadline) {
        capacity = max(1, Double(policy.count) * share)
        perSecond = capacity / Double(policy.period)
        tokens = capacity
        filledAt = now
    }

    /// Takes a token, or says after how many seconds there is one.
    mutating func take(now: NIODeadline) -> Int? {
        tokens = min(capacity, tokens + Double((now - filledAt).nanoseconds) / 1e9 * perSecond)
        filledAt = now
        if tokens >= 1 {
            tokens -= 1
            return nil
        }
        return max(1, Int(((1 - tokens) / perSecond).rounded(.up)))
    }

    /// Takes tokens that may not be there yet.
    mutating func owe(_ count: Int) { tokens = max(-capacity, tokens - Double(count)) }

    var remaining: Int { max(0, Int(tokens)) }
}
