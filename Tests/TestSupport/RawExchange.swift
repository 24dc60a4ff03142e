import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// Sends bytes as they are over a fresh connection, for requests that no HTTP library would send.
public enum RawExchange {
    /// Sends, then reads until the other side closes, or for `quiet` after the last byte.
    ///
    /// - Returns: all that was received, as text.
    public static func send(_ bytes: [UInt8], port: Int, quiet: TimeAmount = .milliseconds(500)) async throws -> String {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(IdleStateHandler(readTimeout: quiet))
                    try channel.pipeline.syncOperations.addHandler(CollectingHandler(collector: collector))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        // The other side may close before it has read everything; what it said is what counts.
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        try await channel.closeFuture.get()
        return String(decoding: collector.bytes.withLockedValue { $0 }, as: UTF8.self)
    }

    public static func send(_ text: String, port: Int) async throws -> String { try await send(Array(text.utf8), port: port) }

    private final class Collector: Sendable {
        let bytes = NIOLockedValueBox<[UInt8]>([])
    }

    private final class CollectingHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let collector: Collector

        init(collector: Collector) { self.collector = collector }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            collector.bytes.withLockedValue { $0.append(contentsOf: buffer.readableBytesView) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
