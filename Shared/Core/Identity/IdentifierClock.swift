import Synchronization

/// Tells the ids of one process apart in time: its ticks rise, however many are taken in a millisecond and wherever the wall clock goes.
///
/// A tick is 48 bits of Unix time in milliseconds and 12 of a counter, which starts anywhere in the lower half of its range, so that
/// 2,048 follow each other at least before the time runs ahead of the clock (RFC 9562, section 6.2, methods 1 and 2).
struct IdentifierClock: ~Copyable, Sendable {
    static let process = IdentifierClock()

    private let last = Atomic<UInt64>(0)

    func tick(at instant: Timestamp) -> UInt64 {
        let first = Self.firstTick(at: instant)
        // Another thread may take a tick between the two: then this one looks again.
        var previous = last.load(ordering: .relaxed)
        while true {
            let next = max(first, previous + 1)
            let (isExchanged, found) = last.compareExchange(expected: previous, desired: next, ordering: .relaxed)
            if isExchanged { return next }
            previous = found
        }
    }

    /// A tick of the millisecond that does not look at others.
    static func firstTick(at instant: Timestamp) -> UInt64 {
        (UInt64(bitPattern: instant.milliseconds) & 0xFFFF_FFFF_FFFF) << 12 | UInt64.random(in: 0..<2048)
    }
}
