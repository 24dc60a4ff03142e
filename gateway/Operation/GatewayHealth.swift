import NIOCore
import NIOPosix

/// Asks a running gateway of this machine for its health.
public enum GatewayHealth {
    /// Whether the gateway whose admin address this is says that it is ready; `false` when nothing answers within 2 s.
    public static func isReady(host: String, port: Int) async -> Bool {
        do {
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connectTimeout(.seconds(2))
                .connect(host: host, port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            channel.channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.channel.close(promise: nil) }
            return try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                var answer = ByteBuffer()
                for try await part in inbound { answer.writeImmutableBuffer(part) }
                return String(buffer: answer).hasPrefix("HTTP/1.1 200")
            }
        } catch {
            return false
        }
    }
}
