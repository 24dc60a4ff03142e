import NIOCore
import Synchronization

/// Asks for identity's keys when a token names an unknown one: all who wait share one fetch, and there is at most one in 5 s, so that
/// made-up key ids cannot be used to flood identity.
final class KeyRefresh: Sendable {
    private struct State {
        var isRunning = false
        var startedAt: NIODeadline?
        var waiters: [(loop: any EventLoop, body: @Sendable () -> Void)] = []
    }

    private static let interval = TimeAmount.seconds(5)
    private static let waiterLimit = 256

    private let state = Mutex(State())
    /// An element for each fetch that is wanted.
    let requests: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (requests, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// Has the keys fetched and then calls the closure on the event loop, whatever came of it.
    ///
    /// - Returns: `false` when there was a fetch a moment ago: the key is unknown for good.
    func request(on loop: any EventLoop, _ body: @escaping @Sendable () -> Void) -> Bool {
        let now = NIODeadline.now()
        return state.withLock { state in
            guard state.waiters.count < Self.waiterLimit else { return false }
            if !state.isRunning {
                if let startedAt = state.startedAt, now - startedAt < Self.interval { return false }
                state.isRunning = true
                state.startedAt = now
                continuation.yield()
            }
            state.waiters.append((loop, body))
            return true
        }
    }

    /// To be called after each fetch.
    ///
    /// - Parameter mayRepeat: whether the next may follow at once: nobody can flood identity through a gateway that is not ready.
    func finished(mayRepeat: Bool) {
        let waiters = state.withLock { state in
            state.isRunning = false
            if mayRepeat { state.startedAt = nil }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.loop.execute(waiter.body) }
    }
}
