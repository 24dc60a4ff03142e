import Synchronization

/// What the relay has done, for `/metrics`.
final class RelayMetrics: Sendable {
    private struct Values {
        var delivered = 0
        var pending = 0
        var dead = 0
        var lag: Duration = .zero
        var isLeader = false
    }
    private let values = Mutex(Values())

    /// Events handed over since the start.
    var delivered: Int { values.withLock { $0.delivered } }
    /// Events set aside since the start because activity refused them.
    var dead: Int { values.withLock { $0.dead } }
    /// Adds to what was done since the start; deliveries of one relay run at the same time.
    func count(delivered: Int = 0, dead: Int = 0) {
        values.withLock { values in
            values.delivered += delivered
            values.dead += dead
        }
    }
    /// Events seen in the outbox and not yet handed over, up to those of one look.
    var pending: Int {
        get { values.withLock { $0.pending } }
        set { values.withLock { $0.pending = newValue } }
    }
    /// Age of the oldest event in the outbox when the relay looked last, zero when there was none and in a
    /// process that does not hand over.
    var lag: Duration {
        get { values.withLock { $0.lag } }
        set { values.withLock { $0.lag = newValue } }
    }
    /// Whether this process is the one that hands over.
    var isLeader: Bool {
        get { values.withLock { $0.isLeader } }
        set { values.withLock { $0.isLeader = newValue } }
    }
}
