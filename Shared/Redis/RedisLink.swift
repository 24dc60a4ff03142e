import Logging
import NIOCore
import NIOPosix
import Operations

/// Keeps one connection to Redis alive on one event loop. All methods and callbacks run on that loop.
final class RedisLink {
    /// What the owner of the link is told.
    struct Callbacks {
        var ready: () -> Void
        var reply: (RedisValue) -> Void
        /// The connection is gone, or an attempt failed.
        var lost: () -> Void
    }

    let eventLoop: any EventLoop
    private let configuration: RedisConfiguration
    private let sentinels: RedisSentinels?
    private var machine = RedisLinkStateMachine()
    private var channel: (any Channel)?
    /// Why the connection is given up that is being closed.
    private var reason: (any Error)?
    private var hasToldReason = false
    var callbacks: Callbacks?

    init(configuration: RedisConfiguration, eventLoop: any EventLoop) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        sentinels =
            if case .sentinels(let addresses, let master) = configuration.place {
                RedisSentinels(addresses, master: master, configuration: configuration, eventLoop: eventLoop)
            } else {
                nil
            }
    }

    var state: RedisLinkStateMachine.State { machine.state }

    func start() {
        guard machine.start() else { return }
        guard case .server(let address) = configuration.place else { return askForMaster() }
        connect(to: address)
    }

    private func askForMaster() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sentinels?.ask().whenComplete { result in
            switch result {
            case .success(let address): bound.value.connect(to: address)
            case .failure(let error): bound.value.closed(nil, error)
            }
        }
    }

    private func connect(to address: RedisAddress) {
        // It may have been stopped while a sentinel was asked.
        guard machine.state == .connecting else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        configuration.connect(to: address, on: eventLoop) {
            self.received($0)
        } closed: {
            self.closed($0, $1)
        }
        .whenComplete { result in
            switch result {
            case .success(let channel): bound.value.connected(channel)
            case .failure(let error): bound.value.closed(nil, error)
            }
        }
    }

    func send(_ command: [String]) {
        if let channel { RedisCommandFormat.send(command, on: channel) }
    }

    /// Drops the connection; the link connects again by itself.
    func reset(because reason: RedisError) {
        self.reason = reason
        channel?.close(promise: nil)
    }

    func stop() {
        machine.stop()
        channel?.close(promise: nil)
        channel = nil
    }

    private func connected(_ channel: any Channel) {
        let greeting = configuration.greeting
        guard let isReady = machine.connected(greetings: greeting.count) else {
            channel.close(promise: nil)
            return
        }
        self.channel = channel
        guard !isReady else { return becomeReady() }
        for command in greeting { send(command) }
        eventLoop.assumeIsolated().scheduleTask(in: configuration.connectTimeout) {
            guard self.channel === channel, case .greeting = self.machine.state else { return }
            self.reset(because: .timeout)
        }
    }

    private func becomeReady() {
        hasToldReason = false
        callbacks?.ready()
    }

    private func received(_ value: RedisValue) {
        let isRole = configuration.asksForRole && machine.state == .greeting(left: 1)
        let value = isRole ? Self.checked(role: value) : value
        switch machine.received(value) {
        case .deliver: callbacks?.reply(value)
        case .becomeReady: becomeReady()
        case .ignore: break
        case .close: if case .error(let text) = value { reset(because: .server(text)) }
        }
    }

    /// The reply to `ROLE` as one to the greeting. A user who may not ask is told by the first write whether the server takes any.
    private static func checked(role: RedisValue) -> RedisValue {
        if case .error(let text) = role, text.hasPrefix("NOPERM") { return .null }
        return role.array?.first?.string == "master" ? .null : .error("not the master, as the sentinels will know soon")
    }

    private func closed(_ closed: (any Channel)?, _ error: (any Error)?) {
        // A handler that closes before `connected` ran reports through the connect future's channel later.
        if let closed, let channel, closed !== channel { return }
        channel = nil
        let reason = reason ?? error ?? RedisError.connectionLost
        self.reason = nil
        guard let pause = machine.closed() else { return }
        if !hasToldReason {
            hasToldReason = true
            configuration.logger?.warning("no connection to redis", metadata: [LogKey.reason: .string("\(reason)")])
        }
        callbacks?.lost()
        eventLoop.assumeIsolated().scheduleTask(in: pause) { self.start() }
    }
}

extension RedisConfiguration {
    /// One attempt to connect, encrypted where that is wanted.
    ///
    /// - Parameters:
    ///   - received: called with each reply.
    ///   - closed: called when a connection that was made has ended, with what ended it.
    func connect(
        to address: RedisAddress, on eventLoop: any EventLoop, received: @escaping (RedisValue) -> Void,
        closed: @escaping (any Channel, (any Error)?) -> Void
    ) -> EventLoopFuture<any Channel> {
        let callbacks = NIOLoopBound((received, closed), eventLoop: eventLoop)
        return ClientBootstrap(group: eventLoop)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { [tls] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(tls.handler(to: address.host)) }
                    let (received, closed) = callbacks.value
                    try pipeline.addHandler(RedisReplyHandler(received: received, closed: closed))
                }
            }
            .connect(host: address.host, port: address.port)
    }
}

private final class RedisReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let received: (RedisValue) -> Void
    private let closed: (any Channel, (any Error)?) -> Void
    private let reader = RedisReplyReader()
    private var error: (any Error)?

    init(received: @escaping (RedisValue) -> Void, closed: @escaping (any Channel, (any Error)?) -> Void) {
        self.received = received
        self.closed = closed
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try reader.feed(unwrapInboundIn(data))
            while let value = try reader.next() { received(value) }
        } catch {
            errorCaught(context: context, error: error)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.error = self.error ?? error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { closed(context.channel, error) }
}
