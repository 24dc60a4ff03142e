import Core
import NIOCore

/// The header that a balancer of connections puts before all else, to name the client: the binary one of version 2
/// (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, section 2.2). Read without I/O.
enum ProxyHeader {
    enum Outcome: Equatable {
        case incomplete
        /// The header is so many bytes long. Without an address the connection is the balancer's own, as to see whether the gateway
        /// is well, or of a client that has none.
        case complete(length: Int, client: IPAddress?)
        case malformed
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let fixedLength = 16
    /// Two addresses of 108 bytes at most, as of Unix sockets, and 304 bytes for what else a balancer has to say.
    static let sizeLimit = 536

    /// - Parameter bytes: All that has come of the connection.
    static func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard bytes.prefix(signature.count).elementsEqual(signature.prefix(bytes.count)) else { return .malformed }
        guard bytes.count >= fixedLength else { return .incomplete }
        let length = fixedLength + (Int(bytes[14]) << 8 | Int(bytes[15]))
        let (command, family) = (bytes[12], bytes[13])
        guard length <= sizeLimit, command == 0x20 || command == 0x21 else { return .malformed }
        guard bytes.count >= length else { return .incomplete }
        func number<Number: FixedWidthInteger>(at offset: Int, _: Number.Type) -> Number {
            Number(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
        // The addresses of both ends, then their ports, then further values, which are passed over.
        switch (command, family) {
        case (0x20, _), (_, 0x00), (_, 0x31): return .complete(length: length, client: nil)
        case (_, 0x11) where length >= fixedLength + 12:
            return .complete(length: length, client: IPAddress(v4: number(at: 16, UInt32.self)))
        case (_, 0x21) where length >= fixedLength + 36:
            return .complete(length: length, client: IPAddress(high: number(at: 16, UInt64.self), low: number(at: 24, UInt64.self)))
        default: return .malformed
        }
    }
}

/// Reads a connection's ``ProxyHeader``, which must be there and come from a trusted proxy, and only then lets the connection begin.
///
/// It is the only handler of a new channel. When it has read the header it calls `begin` with the client's address, which adds the
/// handlers of the connection to a channel that is active already, and gives them all bytes behind the header. Then it is gone.
final class ProxyProtocolHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let proxies: TrustedProxies
    private let timeout: TimeAmount
    private let refused: () -> Void
    private let begin: (any Channel, IPAddress) throws -> Void
    private var peer: IPAddress?
    private var bytes = ByteBuffer()
    private var deadline: Scheduled<Void>?

    /// - Parameters:
    ///   - timeout: for the header to come.
    ///   - refused: called before a connection ends that has no such header, or comes from somebody else.
    ///   - begin: adds the handlers of the connection for a client of the address.
    init(
        proxies: TrustedProxies, timeout: TimeAmount, refused: @escaping () -> Void,
        begin: @escaping (any Channel, IPAddress) throws -> Void
    ) {
        self.proxies = proxies
        self.timeout = timeout
        self.refused = refused
        self.begin = begin
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let peer = context.remoteAddress?.ipAddress.flatMap({ IPAddress($0) }), proxies.contains(peer) else { return refuse(context) }
        self.peer = peer
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { [self] in refuse(context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let peer else { return }
        var part = unwrapInboundIn(data)
        if bytes.readableBytes == 0 { bytes = part } else { bytes.writeBuffer(&part) }
        switch bytes.withUnsafeReadableBytes(ProxyHeader.read) {
        case .incomplete: break
        case .malformed: refuse(context)
        case .complete(let length, let client):
            bytes.moveReaderIndex(forwardBy: length)
            begin(context, for: client ?? peer)
        }
    }

    private func begin(_ context: ChannelHandlerContext, for client: IPAddress) {
        deadline?.cancel()
        do { try begin(context.channel, client) } catch { return context.close(promise: nil) }
        // Whoever has no room for the connection has closed it.
        if bytes.readableBytes > 0, context.channel.isActive { context.fireChannelRead(wrapInboundOut(bytes)) }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func refuse(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        peer = nil
        refused()
        context.close(promise: nil)
    }
}
