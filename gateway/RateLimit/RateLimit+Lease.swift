import NIOCore

/// So many requests in so many seconds: a token bucket that holds `limit` tokens and fills up in `window` seconds.
struct RatePolicy: Hashable, Sendable {
    var limit: Int
    /// Seconds.
    var window: Int

    var perSecond: Double { Double(limit) / Double(window) }

    /// Tokens taken from Redis at once: what 50 ms use up at the full rate. A slow limit is drawn one by one, so that no
    /// gateway keeps tokens that another could use.
    var leaseSize: Int { max(1, min(limit / 2, Int(perSecond * 0.05))) }

    /// How long a lease may be kept. A single token of a slow limit was drawn for a request that is waiting for it.
    var leaseSpan: TimeAmount { perSecond >= 1 ? .seconds(1) : .seconds(Int64(window)) }
}
