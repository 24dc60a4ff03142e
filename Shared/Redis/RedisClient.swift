import NIOCore

/// A client of Redis: one connection, commands pipelined in order, reconnecting by itself.
///
/// It is made for work that can go on without Redis: a command never waits longer than
/// ``RedisConfiguration/commandTimeout``, and while Redis is away it fails at once.
public final class RedisClient: Sendable {
    public let eventLoop: any EventLoop
    private let pipeline: NIOLoopBoundBox<RedisPipeline>

    /// Makes a client on the event loop; it connects with the first command or with ``run()``. Only ``run()`` closes the connection
    /// again.
    public init(configuration: RedisConfiguration, eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        pipeline = .makeBoxSendingValue(RedisPipeline(configuration: configuration, eventLoop: eventLoop), eventLoop: eventLoop)
    }

    /// Sends a command and returns its reply; from any thread, cheapest from ``eventLoop``.
    ///
    /// The future fails with ``RedisError``.
    public func send(_ arguments: [String]) -> EventLoopFuture<RedisValue> {
        let promise = eventLoop.makePromise(of: RedisValue.self)
        if eventLoop.inEventLoop {
            pipeline.value.send(arguments, promise)
        } else {
            eventLoop.execute { self.pipeline.value.send(arguments, promise) }
        }
        return promise.futureResult
    }

    /// Sends a command and returns its reply.
    ///
    /// - Throws: ``RedisError``.
    public func command(_ arguments: [String]) async throws -> RedisValue {
        try await send(arguments).get()
    }

    /// Connects, and stops the client when the task is cancelled.
    public func run() async {
        let stopped = eventLoop.makePromise(of: Void.self)
        eventLoop.execute { self.pipeline.value.start() }
        await withTaskCancellationHandler {
            try? await stopped.futureResult.get()
        } onCancel: {
            eventLoop.execute {
                self.pipeline.value.stop()
                stopped.succeed()
            }
        }
    }
}

/// The commands of one client that wait for replies. Runs on one event loop.
private final class RedisPipeline {
    private struct Slot {
        /// `nil` once the caller has been told that time is up; the reply is still to come and is dropped.
        var promise: EventLoopPromise<RedisValue>?
        var deadline: NIODeadline
    }

    private let configuration: RedisConfiguration
    private let link: RedisLink
    private var breaker: RedisBreaker
    private var waiting = CircularBuffer<Slot>()
    /// Commands given before the first connection stands; sent in order once it does.
    private var unsent = CircularBuffer<[String]>()
    private var hasTimer = false
    private var isStopped = false

    init(configuration: RedisConfiguration, eventLoop: any EventLoop) {
        self.configuration = configuration
        link = RedisLink(configuration: configuration, eventLoop: eventLoop)
        breaker = RedisBreaker(threshold: configuration.breakerThreshold, pause: configuration.breakerPause)
    }

    func start() {
        guard !isStopped, link.state == .idle else { return }
        // Weak: a client may be dropped without being stopped, and its connection outlives it then.
        link.callbacks = .init(
            ready: { [weak self] in self?.becameReady() },
            reply: { [weak self] in self?.received($0) },
            lost: { [weak self] in self?.lost() })
        link.start()
    }

    func stop() {
        isStopped = true
        link.stop()
        failAll(.stopped)
    }

    func send(_ arguments: [String], _ promise: EventLoopPromise<RedisValue>) {
        if isStopped { return promise.fail(RedisError.stopped) }
        start()
        let now = NIODeadline.now()
        guard link.state != .waiting else { return promise.fail(RedisError.unavailable) }
        guard waiting.count < configuration.inFlightLimit else { return promise.fail(RedisError.overloaded) }
        // Asked last: the one that it lets through when it is open is its probe, and must be sent.
        guard breaker.allows(now: now) else { return promise.fail(RedisError.unavailable) }
        if link.state == .ready { link.send(arguments) } else { unsent.append(arguments) }
        waiting.append(Slot(promise: promise, deadline: now + configuration.commandTimeout))
        scheduleTimer(at: now + configuration.commandTimeout)
    }

    private func becameReady() {
        while let command = unsent.popFirst() { link.send(command) }
    }

    private func received(_ value: RedisValue) {
        guard let slot = waiting.popFirst() else { return link.reset(because: .malformedReply) }
        // A late reply is a sign of life too, but not one that closes the breaker: the caller was not served.
        guard let promise = slot.promise else { return }
        breaker.succeeded()
        guard case .error(let text) = value else { return promise.succeed(value) }
        promise.fail(RedisError.server(text))
        // Another server took over, and the name or the sentinels know which.
        if text.hasPrefix("READONLY") { link.reset(because: .server(text)) }
    }

    private func lost() {
        breaker.failed(now: .now())
        failAll(.connectionLost)
    }

    private func failAll(_ error: RedisError) {
        let slots = waiting
        // The last ones never left, and cannot have been carried out.
        let sent = slots.count - unsent.count
        unsent.removeAll()
        waiting.removeAll()
        for (index, slot) in slots.enumerated() {
            slot.promise?.fail(index >= sent && error == .connectionLost ? .unavailable : error)
        }
    }

    /// One timer serves all slots: deadlines are in the order of the slots.
    private func scheduleTimer(at deadline: NIODeadline) {
        guard !hasTimer else { return }
        hasTimer = true
        link.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.timerFired() }
    }

    private func timerFired() {
        hasTimer = false
        let now = NIODeadline.now()
        for index in waiting.indices {
            let slot = waiting[index]
            guard slot.deadline <= now else {
                scheduleTimer(at: slot.deadline)
                break
            }
            guard let promise = slot.promise else { continue }
            waiting[index].promise = nil
            breaker.failed(now: now)
            promise.fail(RedisError.timeout)
        }
        guard let oldest = waiting.first, oldest.promise == nil else { return }
        // A peer that stays silent this long is gone without a FIN; replies in order mean that nothing behind it can be served.
        if now - oldest.deadline > configuration.commandTimeout * 8 {
            link.reset(because: .timeout)
        } else {
            scheduleTimer(at: now + configuration.commandTimeout)
        }
    }
}
