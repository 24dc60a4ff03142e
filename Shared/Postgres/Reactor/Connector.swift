import Glibc
import Logging
import Synchronization

/// A thread that makes the calls of libpq that block: connecting, and asking the server to cancel. Shared by the client's reactors.
///
/// It tries one connection at a time, and after a failure waits with jittered exponential back-off, 50 ms to 2 s; so a server
/// that comes up is not met by all connections of all processes at once.
final class Connector: Sendable {
    private struct State {
        var wanted = Ring<(index: Int, reactor: Reactor)>()
        var cancellations = Ring<Cancellation>()
        var isStarted = false
        var isStopped = false
    }

    /// More than that many waiting requests to cancel are dropped; the server's timeouts do the rest.
    private static let maximumCancellations = 64

    private let state = Mutex(State())
    private let poller = Poller()
    private let configuration: PostgresConfiguration
    private let logger: Logger

    init(configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Connects for that place of the reactor, which gets the handle through its inbox.
    func connect(_ index: Int, for reactor: Reactor) { update { $0.wanted.append((index, reactor)) } }

    func cancel(_ cancellation: Cancellation) {
        update { if $0.cancellations.count < Self.maximumCancellations { $0.cancellations.append(cancellation) } }
    }

    /// Ends the thread after what it is just doing.
    func stop() { update { $0.isStopped = true } }

    private func update(_ change: (inout State) -> Void) {
        let mustStart = state.withLock { state in
            change(&state)
            defer { state.isStarted = true }
            return !state.isStarted && !state.isStopped
        }
        if mustStart { startThread { [self] in run() } } else { poller.wakeUp() }
    }

    private enum Job {
        case connect(Int, Reactor)
        case cancel(Cancellation)
        case none
        case stop
    }

    private func nextJob(canConnect: Bool) -> Job {
        state.withLock { state in
            if state.isStopped {
                state.wanted = Ring()
                return .stop
            }
            if let cancellation = state.cancellations.popFirst() { return .cancel(cancellation) }
            if canConnect, let next = state.wanted.popFirst() { return .connect(next.index, next.reactor) }
            return .none
        }
    }

    private func run() {
        var backoff = Backoff()
        var isReachable: Bool?
        while true {
            let wait = backoff.timeLeft(at: monotonicNow())
            switch nextJob(canConnect: wait <= 0) {
            case .stop: return
            case .cancel(let cancellation): cancellation.send()
            case .none: poller.wait(milliseconds: wait > 0 ? Int32(wait / 1_000_000 + 1) : -1) { _ in }
            case .connect(let index, let reactor):
                do throws(ConnectFailure) {
                    let handle = try ConnectionHandle(parameters: configuration.parameters(for: reactor.lane(of: index)))
                    backoff.reset()
                    if isReachable != true { logger.info("postgres connected") }
                    isReachable = true
                    reactor.push(.connected(index, handle))
                } catch {
                    backoff.fail(at: monotonicNow())
                    if isReachable != false {
                        logger.warning("postgres cannot be reached, trying again", metadata: ["reason": .string(error.reason)])
                    }
                    isReachable = false
                    update { $0.wanted.append((index, reactor)) }
                }
            }
        }
    }
}

/// How long to wait before the next attempt to connect.
struct Backoff {
    private static let shortest: Int64 = 50_000_000
    private static let longest: Int64 = 2_000_000_000
    private var step = shortest
    private var notBefore: Int64 = 0

    /// Nanoseconds; not above zero when an attempt may be made.
    func timeLeft(at now: Int64) -> Int64 { notBefore - now }

    mutating func fail(at now: Int64) {
        notBefore = now + Int64.random(in: step / 2...step)
        step = min(step * 2, Self.longest)
    }

    mutating func reset() { self = Backoff() }
}
