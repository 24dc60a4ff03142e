import Core
import NIOCore
import NIOSSL
import NIOTLS

/// Makes a new connection a TLS connection, and hands it on when its handshake has ended well.
enum TLSAcceptor {
    /// Puts what TLS needs at the end of the channel's pipeline: at the connection's start, or later, when something before it has read
    /// what it was to read. On the channel's event loop.
    ///
    /// - Parameters:
    ///   - address: Who the handshake counts for, asked once the channel is active; see ``HandshakeGate/enter(_:end:)``.
    ///   - next: Called once, with what was agreed on, after the handshake: adds the handlers that speak it. The channel is active by then,
    ///     so they begin in `handlerAdded`, and see every byte of the protocol.
    static func configure(
        _ channel: any Channel, certificates: CertificateStore, gate: HandshakeGate,
        address: @escaping (any Channel) -> IPAddress?, next: @escaping (any Channel, ApplicationProtocol) throws -> Void
    ) throws {
        let handshake = Handshake(gate: gate, next: next)
        try channel.pipeline.syncOperations.addHandler(FirstBytes(certificates: certificates, handshake: handshake, address: address))
    }
}

/// One connection's way to its protocol.
private final class Handshake {
    private let gate: HandshakeGate
    private let next: (any Channel, ApplicationProtocol) throws -> Void
    private var place: HandshakeGate.Place?
    private var timer: Scheduled<Void>?

    init(gate: HandshakeGate, next: @escaping (any Channel, ApplicationProtocol) throws -> Void) {
        self.gate = gate
        self.next = next
    }

    func begin(_ channel: any Channel, address: IPAddress?) {
        guard let place = gate.enter(address, end: { channel.close(promise: nil) }) else { return channel.close(promise: nil) }
        self.place = place
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: gate.limits.time) { bound.value.expire() }
    }

    private func expire() { if let place { gate.expire(place) } }

    func complete(_ channel: any Channel, negotiated: String?) throws {
        leave(failure: nil)
        // A client that names no protocol, or none of ours, is taken to speak the oldest.
        try next(channel, negotiated.flatMap { ApplicationProtocol(rawValue: $0) } ?? .http11)
    }

    func fail(_ failure: HandshakeGate.Failure) { leave(failure: failure) }

    private func leave(failure: HandshakeGate.Failure?) {
        timer?.cancel()
        timer = nil
        if let place { gate.leave(place, failure: failure) }
        place = nil
    }
}

/// Waits for the first bytes, so that a connection on which none come costs no TLS state (some 25 kB), and tells TLS from clear text.
private final class FirstBytes: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The type of a TLS record that carries a handshake (RFC 8446, 5.1).
    private static let handshakeRecord: UInt8 = 22

    private let certificates: CertificateStore
    private let handshake: Handshake
    private let address: (any Channel) -> IPAddress?
    private var isClosing = false

    init(certificates: CertificateStore, handshake: Handshake, address: @escaping (any Channel) -> IPAddress?) {
        self.certificates = certificates
        self.handshake = handshake
        self.address = address
    }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { begin(context) } }
    func channelActive(context: ChannelHandlerContext) { begin(context) }

    private func begin(_ context: ChannelHandlerContext) { handshake.begin(context.channel, address: address(context.channel)) }

    func channelInactive(context: ChannelHandlerContext) { handshake.fail(.closed) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isClosing { return }
        let bytes = unwrapInboundIn(data)
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return }
        guard first == Self.handshakeRecord else { return refuse(first, context) }
        do {
            var configuration = NIOSSLHandler.Configuration()
            configuration.maximumPreservedOutboundBufferCapacity = 32 * 1024
            let tls = NIOSSLServerHandler(context: certificates.context, configuration: configuration)
            let pipeline = context.pipeline.syncOperations
            try pipeline.addHandlers([tls, HandshakeEnd(handshake: handshake)], position: .after(self))
            context.fireChannelRead(data)
            pipeline.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    /// Who speaks HTTP in clear text is told so; anything else has not come for an answer.
    private func refuse(_ first: UInt8, _ context: ChannelHandlerContext) {
        isClosing = true
        handshake.fail(.clearText)
        guard (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) else { return context.close(promise: nil) }
        let body = "This port speaks TLS: ask with https.\n"
        let answer =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
            + "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}

/// Stands behind TLS until the handshake has ended.
private final class HandshakeEnd: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let handshake: Handshake

    init(handshake: Handshake) { self.handshake = handshake }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            try handshake.complete(context.channel, negotiated: negotiated)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .handshakeFailed(let reason)? = error as? NIOSSLError { handshake.fail(.init(reason)) }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { handshake.fail(.closed) }
}

extension HandshakeGate.Failure {
    /// What BoringSSL says in words that no interface gives otherwise. They name its reasons, which do not change.
    init(_ error: BoringSSLError) {
        guard case .sslError(let errors) = error, !errors.contains(.eofDuringHandshake) else {
            self = .closed
            return
        }
        let text = errors.map(\.description).joined()
        let reasons: [(words: [String], failure: Self)] = [
            (["_ALERT_"], .refused),
            (["UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER", "INAPPROPRIATE_FALLBACK"], .version),
            (["NO_SHARED_CIPHER", "NO_SHARED_GROUP", "NO_COMMON_SIGNATURE_ALGORITHMS", "NO_CIPHERS"], .algorithms),
        ]
        self = reasons.first { $0.words.contains { text.contains($0) } }?.failure ?? .malformed
    }
}
