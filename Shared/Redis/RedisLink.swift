import NIOCore
import NIOPosix

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
    private var machine = RedisLinkStateMachine()
    private var channel: (any Channel)?
    var callbacks: Callbacks?

    init(configuration: RedisConfiguration, eventLoop: any EventLoop) {
        self.configuration = configuration
        self.eventLoop = eventLoop
    }

    var state: RedisLinkStateMachine.State { machine.state }

    func start() {
        guard machine.start() else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(configuration.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RedisReplyHandler(link: bound.value))
                }
            }
            .connect(host: configuration.host, port: configuration.port)
            .whenComplete { result in
                switch result {
                case .success(let channel): bound.value.connected(channel)
                case .failure: bound.value.closed(nil)
                }
            }
    }

    func send(_ command: [String]) {
        guard let channel else { return }
        var buffer = channel.allocator.buffer(capacity: 256)
        RedisCommandFormat.write(command, into: &buffer)
        channel.writeAndFlush(buffer, promise: nil)
    }

    /// Drops the connection; the link connects again by itself.
    func reset() { channel?.close(promise: nil) }

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
        if isReady { callbacks?.ready() } else { for command in greeting { send(command) } }
    }

    fileprivate func received(_ value: RedisValue) {
        switch machine.received(value) {
        case .deliver: callbacks?.reply(value)
        case .becomeReady: callbacks?.ready()
        case .ignore: break
        case .close: reset()
        }
    }

    fileprivate func closed(_ closed: (any Channel)?) {
        // A handler that closes before `connected` ran reports through the connect future's channel later.
        if let closed, let channel, closed !== channel { return }
        channel = nil
        guard let pause = machine.closed() else { return }
        callbacks?.lost()
        eventLoop.assumeIsolated().scheduleTask(in: pause) { self.start() }
    }
}

private final class RedisReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: RedisLink
    private let reader = RedisReplyReader()

    init(link: RedisLink) { self.link = link }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try reader.feed(unwrapInboundIn(data))
            while let value = try reader.next() { link.received(value) }
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { link.closed(context.channel) }
}
