import NIOCore
import NIOPosix
import Synchronization

/// A service that takes a body as it comes and answers when the test says so, on a real socket. Each connection serves one request.
final class StreamUpstream: Sendable {
    /// One request, from the end of its head on.
    final class Peer: Sendable {
        struct State: Sendable {
            var head = ""
            /// Bytes after the head, with their framing.
            var bodyBytes = 0
            var isClosed = false
        }

        let state = Mutex(State())
        private let channel: any Channel

        fileprivate init(_ channel: any Channel) { self.channel = channel }

        var head: String { state.withLock { $0.head } }
        var bodyBytes: Int { state.withLock { $0.bodyBytes } }
        var isClosed: Bool { state.withLock { $0.isClosed } }

        func write(_ text: String) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
        func close() { channel.close(promise: nil) }
        /// Goes on reading, after the pause that begins with the end of the head.
        func resume() async throws { try await channel.setOption(.autoRead, value: true).get() }
    }

    private let pauses: Bool
    private let (peers, arrivals) = AsyncStream.makeStream(of: Peer.self)
    private let channel = Mutex<(any Channel)?>(nil)

    /// - Parameter pauses: Whether nothing of a body is read until ``Peer/resume()``.
    init(pauses: Bool = false) { self.pauses = pauses }

    func start() async throws -> Int {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { [pauses, arrivals] channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = PeerHandler(peer: Peer(channel), pauses: pauses) { arrivals.yield($0) }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.channel.withLock { $0 = channel }
        return channel.localAddress?.port ?? 0
    }

    func stop() async {
        try? await channel.withLock { $0 }?.close().get()
        arrivals.finish()
    }

    /// The next request whose head is here.
    func next() async throws -> Peer {
        for await peer in peers { return peer }
        throw TestClient.Ended()
    }
}

private final class PeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: StreamUpstream.Peer
    private let pauses: Bool
    private let onHead: (StreamUpstream.Peer) -> Void
    private var bytes: [UInt8] = []
    private var hasHead = false

    init(peer: StreamUpstream.Peer, pauses: Bool, onHead: @escaping (StreamUpstream.Peer) -> Void) {
        self.peer = peer
        self.pauses = pauses
        self.onHead = onHead
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if hasHead { return peer.state.withLock { $0.bodyBytes += part.readableBytes } }
        bytes.append(contentsOf: part.readableBytesView)
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
        hasHead = true
        if pauses { context.channel.setOption(.autoRead, value: false).whenFailure { _ in } }
        peer.state.withLock { state in
            state.head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
            state.bodyBytes = bytes.count - end.upperBound
        }
        onHead(peer)
    }

    func channelInactive(context: ChannelHandlerContext) { peer.state.withLock { $0.isClosed = true } }
}
