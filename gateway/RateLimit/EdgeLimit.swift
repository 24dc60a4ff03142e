import NIOCore

/// How often an address may be answered before any limit was asked: preflights, and heads that cannot be read. In memory, on one event
/// loop, for at most 10,000 addresses; of IPv6 a /64 counts as one.
struct EdgeLimit {
    /// 50 in a second, and 500 at once: a browser asks once in ten minutes for each path, so 3,000 pages opened in one second behind one
    /// address are not slowed by more than what they would wait for anyway.
    private static let interval = TimeAmount.milliseconds(20)
    private static let burst = 500

    /// Of each address when all that it took is given back.
    private var refilledAt = GenerationCache<UInt64, NIODeadline>(limit: 10_000)

    /// - Returns: `nil` when admitted, else after how many seconds the next one is.
    mutating func take(_ address: IPAddress, now: NIODeadline) -> Int? {
        let key = address.isV4 ? address.low : address.high
        let refilled = max(refilledAt[key] ?? now, now)
        guard refilled <= now + Self.interval * (Self.burst - 1) else { return 1 }
        refilledAt[key] = refilled + Self.interval
        return nil
    }
}
