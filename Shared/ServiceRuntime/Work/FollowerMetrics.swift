import Core
import Synchronization

/// What a follower of the log has done, for `/metrics`.
final class FollowerMetrics: Sendable {
    private struct Values {
        var applied = 0
        var dead = 0
        var position: Int64 = 0
        var current: Timestamp?
        var isLeader = false
    }
    /// The kind of records that it copies.
    let aggregate: String
    private let values = Mutex(Values())

    init(of aggregate: String) { self.aggregate = aggregate }

    /// Events applied since the start.
    var applied: Int { values.withLock { $0.applied } }
    /// Events set aside since the start because they could not be applied.
    var dead: Int { values.withLock { $0.dead } }
    /// Adds to what was done since the start.
    func count(applied: Int, dead: Int) {
        values.withLock { values in
            values.applied += applied
            values.dead += dead
        }
    }
    /// Up to where the log was followed.
    var position: Int64 {
        get { values.withLock { $0.position } }
        set { values.withLock { $0.position = newValue } }
    }
    /// Up to when the copies are known to be as the log says: the last look that found nothing, or the time of the oldest event that
    /// is not applied. `nil` in a process that does not follow.
    var current: Timestamp? {
        get { values.withLock { $0.current } }
        set { values.withLock { $0.current = newValue } }
    }
    /// How old what the copies say may be; it grows while activity cannot be asked.
    var lag: Duration { current.map { max(.zero, .zero - $0.timeLeft) } ?? .zero }
    /// Whether this process is the one that follows.
    var isLeader: Bool {
        get { values.withLock { $0.isLeader } }
        set { values.withLock { $0.isLeader = newValue } }
    }
}
