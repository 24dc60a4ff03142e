import NIOCore

/// Listens to channels of Redis for as long as it runs. Messages sent while the connection is away are lost, as always with
/// Redis' publish and subscribe; ``Event/subscribed`` says when to look for what was missed.
public final class RedisSubscriber: Sendable {
    public enum Event: Sendable, Equatable {
        /// All channels are subscribed to, at first and after each reconnect.
        case subscribed
        case message(channel: String, payload: [UInt8])
        /// The connection is gone; the subscriber connects again by itself.
        case disconnected
    }

    private let eventLoop: any EventLoop
    private let listener: NIOLoopBoundBox<Listener>

    /// - Parameter handler: Called on the event loop for each event, in order; it must not block.
    public init(
        configuration: RedisConfiguration, channels: [String], eventLoop: any EventLoop,
        handler: @escaping @Sendable (Event) -> Void
    ) {
        self.eventLoop = eventLoop
        listener = .makeBoxSendingValue(
            Listener(configuration: configuration, channels: channels, eventLoop: eventLoop, handler: handler), eventLoop: eventLoop)
    }

    /// Listens until the task is cancelled.
    public func run() async {
        let stopped = eventLoop.makePromise(of: Void.self)
        eventLoop.execute { self.listener.value.start() }
        await withTaskCancellationHandler {
            try? await stopped.futureResult.get()
        } onCancel: {
            eventLoop.execute {
                self.listener.value.stop()
                stopped.succeed()
            }
        }
    }
}

private final class Listener {
    /// A silent connection is asked for a sign of life this often, and given up when none came until the next time.
    private static let pingInterval = TimeAmount.seconds(10)

    private let link: RedisLink
    private let channels: [String]
    private let handler: @Sendable (RedisSubscriber.Event) -> Void
    private var confirmed = 0
    private var heardSincePing = true
    private var pings: RepeatedTask?

    init(
        configuration: RedisConfiguration, channels: [String], eventLoop: any EventLoop,
        handler: @escaping @Sendable (RedisSubscriber.Event) -> Void
    ) {
        link = RedisLink(configuration: configuration, eventLoop: eventLoop)
        self.channels = channels
        self.handler = handler
    }

    func start() {
        link.callbacks = .init(
            ready: { [weak self] in self?.becameReady() },
            reply: { [weak self] in self?.received($0) },
            lost: { [weak self] in self?.handler(.disconnected) })
        link.start()
        let bound = NIOLoopBound(self, eventLoop: link.eventLoop)
        pings = link.eventLoop.scheduleRepeatedTask(initialDelay: Self.pingInterval, delay: Self.pingInterval) { _ in
            bound.value.ping()
        }
    }

    func stop() {
        pings?.cancel()
        link.stop()
    }

    private func becameReady() {
        confirmed = 0
        heardSincePing = true
        link.send(["SUBSCRIBE"] + channels)
    }

    private func ping() {
        guard link.state == .ready else { return }
        guard heardSincePing else { return link.reset(because: .timeout) }
        heardSincePing = false
        link.send(["PING"])
    }

    private func received(_ value: RedisValue) {
        heardSincePing = true
        // Such as a user who may not subscribe: said in the log with the reset, and asked again.
        if case .error(let text) = value { return link.reset(because: .server(text)) }
        guard let parts = value.array, let kind = parts.first?.string else { return }
        switch (kind, parts.count) {
        case ("subscribe", _):
            confirmed += 1
            if confirmed == channels.count { handler(.subscribed) }
        case ("message", 3):
            guard let channel = parts[1].string, case .bytes(let payload) = parts[2] else { return }
            handler(.message(channel: channel, payload: payload))
        default: break
        }
    }
}
