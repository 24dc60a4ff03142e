import Contracts
import NIOCore

/// At most `count` requests in any `period` seconds. A decision, `limits-hold-in-any-window`, has the arithmetic of the numbers here.
extension RateLimit {
    var window: TimeAmount { .seconds(Int64(period)) }

    /// So many requests are noted in Redis under one time, that of the last of them: what a full window loses by that is a hundredth.
    var part: Int { max(1, count / 100) }

    /// So many are told to Redis under one time. Small, since parts of all event loops lie side by side at the window's edge.
    var toldPart: Int { max(1, count / 1024) }

    /// The most that a lease holds, of a window that is empty.
    var leaseLimit: Int { max(1, count / 16) }

    /// How long a lease may be kept; longer than Redis is waited for.
    var leaseSpan: TimeAmount { max(.milliseconds(500), min(.seconds(10), .milliseconds(100 * Int64(period)))) }
}
