import NIOCore

/// The life of one link to Redis over many connections, without I/O: connect, greet, be ready, wait, connect again.
struct RedisLinkStateMachine {
    enum State: Equatable {
        /// Not started. Can transition to: `connecting`, `stopped`.
        case idle
        /// Can transition to: `greeting`, `ready`, `waiting`, `stopped`.
        case connecting
        /// AUTH and SELECT were sent; so many replies are to come. Can transition to: `ready`, `waiting`, `stopped`.
        case greeting(left: Int)
        /// Can transition to: `waiting`, `stopped`.
        case ready
        /// No connection until a timer fires. Can transition to: `connecting`, `stopped`.
        case waiting
        case stopped
    }

    enum ReplyAction: Equatable { case deliver, becomeReady, ignore, close }

    private(set) var state = State.idle
    private var attempts = 0
    /// Random factor in 0…1; a parameter so that tests can fix it.
    private let jitter: () -> Double

    init(jitter: @escaping () -> Double = { .random(in: 0...1) }) { self.jitter = jitter }

    /// Whether to connect now.
    mutating func start() -> Bool {
        guard state == .idle || state == .waiting else { return false }
        state = .connecting
        return true
    }

    /// Whether the link is ready already, since there is nothing to greet with; `nil` when the connection came too late.
    mutating func connected(greetings: Int) -> Bool? {
        guard state == .connecting else { return nil }
        if greetings > 0 {
            state = .greeting(left: greetings)
            return false
        }
        return becomeReady()
    }

    private mutating func becomeReady() -> Bool {
        state = .ready
        attempts = 0
        return true
    }

    mutating func received(_ value: RedisValue) -> ReplyAction {
        switch state {
        case .ready: return .deliver
        case .greeting(let left):
            // A wrong password does not become right by going on.
            if case .error = value { return .close }
            if left == 1 {
                _ = becomeReady()
                return .becomeReady
            }
            state = .greeting(left: left - 1)
            return .ignore
        case .idle, .connecting, .waiting, .stopped: return .ignore
        }
    }

    /// The connection, or the attempt at one, ended; the result is when to try again.
    mutating func closed() -> TimeAmount? {
        switch state {
        case .idle, .waiting, .stopped: return nil
        case .connecting, .greeting, .ready:
            state = .waiting
            // 50 ms doubled up to 2 s, of which half is random so that many gateways do not come back at one instant.
            let ceiling = min(2000.0, 50.0 * Double(1 << min(attempts, 6)))
            attempts += 1
            return .microseconds(Int64(ceiling * (0.5 + 0.5 * jitter()) * 1000))
        }
    }

    mutating func stop() { state = .stopped }
}
