import Contracts
import NIOCore

/// A token bucket that holds `count` tokens and fills up in `period` seconds.
extension RateLimit {
    var perSecond: Double { Double(count) / Double(period) }

    /// Tokens taken from Redis at once: what 50 ms use up at the full rate. A slow limit is drawn one by one, so that no
    /// gateway keeps tokens that another could use.
    var leaseSize: Int { max(1, min(count / 2, Int(perSecond * 0.05))) }

    /// How long a lease may be kept. A single token of a slow limit was drawn for a request that is waiting for it.
    var leaseSpan: TimeAmount { perSecond >= 1 ? .seconds(1) : .seconds(Int64(period)) }
}
