import NIOCore

/// Lets commands fail at once while Redis does not answer, so that nobody waits for a timeout that is sure to come.
struct RedisBreaker {
    private enum State {
        /// Commands pass; so many failed in a row. Can transition to: `open`.
        case closed(failures: Int)
        /// Commands fail until then. Can transition to: `probing`.
        case open(until: NIODeadline)
        /// One command is under way to see whether Redis is back. Can transition to: `closed`, `open`.
        case probing
    }

    let threshold: Int
    let pause: TimeAmount
    private var state = State.closed(failures: 0)

    init(threshold: Int, pause: TimeAmount) {
        self.threshold = threshold
        self.pause = pause
    }

    mutating func allows(now: NIODeadline) -> Bool {
        switch state {
        case .closed: return true
        case .probing: return false
        case .open(let until):
            guard now >= until else { return false }
            state = .probing
            return true
        }
    }

    mutating func succeeded() { state = .closed(failures: 0) }

    mutating func failed(now: NIODeadline) {
        switch state {
        case .closed(let failures) where failures + 1 < threshold: state = .closed(failures: failures + 1)
        case .closed, .probing: state = .open(until: now + pause)
        case .open: break
        }
    }
}
