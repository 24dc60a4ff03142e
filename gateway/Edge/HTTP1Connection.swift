import Core
import NIOCore

/// One client's connection that speaks HTTP/1: it turns bytes into exchanges, one after another, and their answers into bytes.
final class HTTP1Connection: ChannelDuplexHandler, RemovableChannelHandler, EdgeConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        /// Between requests, or in the middle of a head. Can transition to: `exchange`, `closing`.
        case head
        /// A request is under way. Can transition to: `head`, `closing`.
        case exchange(Exchange)
        /// The last answer was written; what the client still sends is dropped. Final.
        case closing
    }

    /// Bytes that a client may send ahead of what is being worked on.
    private static let inboundLimit = 64 * 1024
    /// Bytes that the framing of chunks may take beside the content, and what part of the content it may take beyond: chunks of 8 KiB, as
    /// programs send them, take a thousandth.
    private static let framingLimit = 64 * 1024
    private static let framingPart = 32
    /// How long a client that is still sending may take to read the last answer, once all of it has been sent.
    private static let linger = TimeAmount.seconds(2)
    /// How long a connection without a request lasts at a stop: one that is on its way already is served.
    private static let goodbye = TimeAmount.milliseconds(500)

    let worker: Worker
    private(set) var client: Client
    var slot: Int?
    private var context: ChannelHandlerContext?
    private var phase = Phase.head
    private var parser = RequestHeadParser()
    private var inbound = ByteBuffer()
    private var outbound = ByteBuffer()

    // Of the present request.
    private var framing = HTTP1Framing()
    private var body = BodyScanner.none
    private var wantsBody = false
    private var framingBytes = 0
    private var keepsAlive = true
    private var isChunked = false
    private var dropsBody = false

    /// When the connection is ended: without a request, or without progress of an answer.
    private var idleDeadline = NIODeadline.uptimeNanoseconds(0)
    private var untaken = UntakenBytes()
    /// An answer that begins after this is the connection's last.
    private var usableUntil = NIODeadline.distantFuture
    private let isEncrypted: Bool
    /// In the phase `closing`: whether the system has all of the last answer.
    private var isLastWritten = false
    private var isReadHeld = false
    /// Whether no head has come yet.
    private var isNew = true
    private var isProceeding = false

    /// - Parameters:
    ///   - address: The client's, when it is not the connection's peer.
    ///   - isEncrypted: Whether TLS lies between this and the channel. What is written has a copy of its own then.
    init(worker: Worker, address: IPAddress? = nil, isEncrypted: Bool = false) {
        self.worker = worker
        self.isEncrypted = isEncrypted
        client = Client(address: address)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) { begin(context) }

    private func begin(_ context: ChannelHandlerContext) {
        if client.address == nil { client = Client(address: context.remoteAddress?.ipAddress.flatMap { IPAddress($0) }) }
        idleDeadline = .now() + worker.policy.settings.headerTimeout
        if let age = worker.policy.settings.clientLifetime() { usableUntil = .now() + age }
        if !worker.add(self) { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        worker.remove(self)
        worker.noteUntaken(-untaken.count)
        untaken = UntakenBytes()
        if case .exchange(let exchange) = phase { exchange.clientGone() }
        phase = .closing
        inbound = ByteBuffer()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Reading stops while the client is ahead of what can be passed on, and while it does not take its answers: one that sends
    /// requests and never reads would fill the memory with answers.
    func read(context: ChannelHandlerContext) {
        if isAhead(context) { isReadHeld = true } else { context.read() }
    }

    private func isAhead(_ context: ChannelHandlerContext) -> Bool {
        switch phase {
        case .head: !context.channel.isWritable || inbound.readableBytes >= Self.inboundLimit
        case .exchange: !(wantsBody && !body.isDone) && inbound.readableBytes >= Self.inboundLimit
        case .closing: false
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if case .closing = phase { return }
        if inbound.readableBytes == 0 { inbound = buffer } else { inbound.writeBuffer(&buffer) }
        proceed()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        noteProgress()
        if case .exchange(let exchange) = phase { exchange.becameWritable() }
        proceed()
    }

    // MARK: Requests

    /// Does what can be done with the bytes at hand.
    private func proceed() {
        // An answer given at once comes back here; the loop below goes on with the next request instead of going deeper.
        if isProceeding { return }
        isProceeding = true
        defer {
            isProceeding = false
            if inbound.readableBytes == 0 { inbound = ByteBuffer() }
            releaseRead()
        }
        while true {
            switch phase {
            case .head:
                guard inbound.readableBytes > 0, context?.channel.isWritable ?? false else { return }
                do {
                    let isFirst = !parser.hasStarted
                    guard try inbound.withUnsafeReadableBytes({ bytes throws(HeadFault) in try parser.parse(bytes) }) else {
                        // Counted from the first byte: a client gains nothing by sending another one now and then.
                        if isFirst { idleDeadline = .now() + worker.policy.settings.headerTimeout }
                        return
                    }
                } catch {
                    return speaksHTTP2() ? becomeHTTP2() : refuse(error)
                }
                startExchange()
            case .exchange(let exchange):
                guard wantsBody, !body.isDone, inbound.readableBytes > 0 else { return }
                passBody(to: exchange)
            case .closing:
                return
            }
        }
    }

    private func releaseRead() {
        guard isReadHeld, let context, !isAhead(context) else { return }
        isReadHeld = false
        context.read()
    }

    /// A client that knows that HTTP/2 is spoken here begins with its preface, which is no head (RFC 9113, 3.3). In TLS it says so before.
    private func speaksHTTP2() -> Bool { isNew && !isEncrypted && inbound.withUnsafeReadableBytes { HTTP2FrameScanner.isPreface($0) } }

    private func becomeHTTP2() {
        parser = RequestHeadParser()
        guard let context, inbound.readableBytes >= HTTP2FrameScanner.preface.utf8CodeUnitCount else { return }
        phase = .closing
        worker.remove(self)
        let connection = HTTP2Connection(worker: worker, client: client, received: inbound)
        inbound = ByteBuffer()
        let pipeline = context.pipeline.syncOperations
        do { try pipeline.addHandler(connection, position: .after(self)) } catch { return context.close(promise: nil) }
        pipeline.removeHandler(self, promise: nil)
    }

    private func startExchange() {
        isNew = false
        framing = parser.framing
        body = parser.body
        let head = parser.head
        parser = RequestHeadParser()
        guard let bytes = inbound.readSlice(length: framing.length) else { return }
        // What is being worked on need not be here too until the answer comes.
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
        begin(Exchange(worker: worker, client: client, transport: self, head: head, bytes: bytes, hasBody: !body.isDone)).start()
    }

    private func begin(_ exchange: Exchange) -> Exchange {
        wantsBody = false
        framingBytes = 0
        phase = .exchange(exchange)
        return exchange
    }

    /// A head that cannot be trusted: the answer says so, and the connection ends.
    private func refuse(_ fault: HeadFault) {
        framing = HTTP1Framing()
        parser = RequestHeadParser()
        // What follows is unknown; so it counts as a body without end.
        body = .length(.max)
        begin(Exchange(worker: worker, client: client, transport: self, head: RequestHead(), bytes: ByteBuffer(), hasBody: true))
            .refuse(fault)
    }

    /// Hands on what has come of the body, without its framing.
    private func passBody(to exchange: Exchange) {
        var content = ByteBuffer()
        let taken: Int
        do {
            let isChunked = framing.isChunked
            taken = try inbound.withUnsafeReadableBytes { bytes in
                try body.scan(bytes) { if isChunked { content.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[$0])) } }
            }
        } catch {
            return failBody(.malformed, of: exchange)
        }
        if framing.isChunked {
            inbound.moveReaderIndex(forwardBy: taken)
            framingBytes += taken - content.readableBytes
            if framingBytes > Self.framingLimit + body.contentBytes / Self.framingPart { return failBody(.tooMuchFraming, of: exchange) }
        } else {
            content = inbound.readSlice(length: taken) ?? ByteBuffer()
            if inbound.readableBytes == 0 { inbound = ByteBuffer() }
        }
        exchange.receive(content, isLast: body.isDone)
    }

    /// What follows in the body is not awaited.
    private func failBody(_ fault: BodyFault, of exchange: Exchange) {
        body = .length(.max)
        exchange.bodyFailed(fault)
    }

    /// Drops what is here of a body that nobody wants.
    private func skipBody() {
        guard !body.isDone else { return }
        let taken = try? inbound.withUnsafeReadableBytes { try body.scan($0) }
        if let taken {
            inbound.moveReaderIndex(forwardBy: taken)
        } else {
            // Broken framing: nothing after it can be told.
            body = .length(.max)
        }
    }

    // MARK: Time

    private var isOld: Bool { usableUntil != .distantFuture && NIODeadline.now() >= usableUntil }

    /// The client has taken some of its answer, or got more of it.
    private func noteProgress() {
        let deadline = NIODeadline.now() + worker.policy.settings.bodyTimeout
        switch phase {
        case .exchange: idleDeadline = deadline
        // The end of the last answer is still on its way. It does not make a head that has begun wait for longer.
        case .head where !parser.hasStarted:
            idleDeadline = worker.isDraining && !untaken.mayBeLeft ? .now() + Self.goodbye : max(idleDeadline, deadline)
        case .closing where !isLastWritten: idleDeadline = deadline
        case .head, .closing: break
        }
    }

    func checkDeadlines(now: NIODeadline) {
        if lookAtUntaken() { noteProgress() }
        switch phase {
        case .exchange(let exchange) where !exchange.isAnswering: exchange.checkDeadline(now: now)
        case .head, .exchange, .closing: if now >= idleDeadline { closeNow() }
        }
    }

    /// At a stop: a stream ends, and an idle connection gets a moment for a request that is on its way already, and ends.
    func drain() {
        if case .exchange(let exchange) = phase { exchange.endStream() }
        if case .head = phase, !parser.hasStarted { idleDeadline = min(idleDeadline, .now() + Self.goodbye) }
    }

    var untakenBytes: Int { untaken.count }

    /// - Returns: Whether the client has taken anything since the last look.
    @discardableResult private func lookAtUntaken() -> Bool {
        guard let context else { return false }
        let (change, hasTaken) = untaken.look(at: context.channel)
        worker.noteUntaken(change)
        return hasTaken
    }

    func closeNow() { context?.close(promise: nil) }
}

// MARK: - Answers

extension HTTP1Connection: ExchangeTransport {
    var version: StaticString { framing.isHTTP11 ? "HTTP/1.1" : "HTTP/1.0" }

    func startBody() {
        wantsBody = true
        if awaitsContinue {
            context?.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        }
        proceed()
        releaseRead()
    }

    var awaitsContinue: Bool { framing.expectsContinue && inbound.readableBytes == 0 }

    func pauseBody() { wantsBody = false }

    func resumeBody() {
        wantsBody = true
        proceed()
        releaseRead()
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    func answer(_ head: AnswerHead, lines: UnsafeRawBufferPointer, body content: UnsafeRawBufferPointer, isLast: Bool) {
        // The rest of the request: here already, or never awaited.
        skipBody()
        dropsBody = head.dropsBody
        isChunked = head.hasBody && head.contentLength == nil && framing.isHTTP11
        // A client of HTTP/1.0 knows no chunks: it gets the content and then the end of the connection.
        let endsWithConnection = head.hasBody && head.contentLength == nil && !framing.isHTTP11
        keepsAlive = framing.keepsAlive && body.isDone && !isOld && !worker.isLeaving && !endsWithConnection
        outbound.clear()
        outbound.writeHead(capacity: lines.count + content.count + 256) { writer in
            writer.put("HTTP/1.1 ")
            writer.put(decimal: head.status)
            writer.put(" ")
            writer.put(ReasonPhrase.of(head.status))
            writer.put("\r\n")
            writer.put(lines)
            if let length = head.contentLength {
                writer.put("Content-Length: ")
                writer.put(decimal: length)
                writer.put("\r\n")
            } else if isChunked {
                writer.put("Transfer-Encoding: chunked\r\n")
            }
            if !keepsAlive {
                writer.put("Connection: close\r\n")
            } else if !framing.isHTTP11 {
                writer.put("Connection: keep-alive\r\n")
            }
            writer.put("\r\n")
            guard !dropsBody else { return }
            if isChunked {
                writer.putChunk(content, isLast: isLast)
            } else {
                writer.put(content)
            }
        }
        send(outbound, isLast: isLast)
        // A connection that once carried much does not keep the memory for it.
        if outbound.capacity > Self.inboundLimit { outbound = ByteBuffer() }
    }

    func write(_ part: ByteBuffer, isShared: Bool, isLast: Bool) {
        if isShared, !isEncrypted { untaken.shared += part.readableBytes }
        if dropsBody { return send(ByteBuffer(), isLast: isLast) }
        guard isChunked else { return send(part, isLast: isLast) }
        var framed = ByteBuffer()
        framed.writeHead(capacity: part.readableBytes + HeadWriter.chunkFraming) { writer in
            part.withUnsafeReadableBytes { writer.putChunk($0, isLast: isLast) }
        }
        send(framed, isLast: isLast)
    }

    private func send(_ bytes: ByteBuffer, isLast: Bool) {
        guard let context else { return }
        untaken.mayBeLeft = true
        guard isLast else {
            noteProgress()
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            if !context.channel.isWritable { lookAtUntaken() }
            return
        }
        guard keepsAlive else { return sendLast(bytes, context) }
        phase = .head
        idleDeadline = .now() + (worker.isDraining ? Self.goodbye : worker.policy.settings.keepAlive)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        if !context.channel.isWritable { lookAtUntaken() }
        proceed()
    }

    /// Writes the last bytes of this connection. Closing at once could take the answer from a client that is still sending, so
    /// output ends first, and input is dropped until the client closes too. As long as the client takes more of the answer, it gets it.
    private func sendLast(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        phase = .closing
        // More may be on its way from a client that did not ask for the end, or sends requests ahead.
        let lingers = !body.isDone || framing.keepsAlive || inbound.readableBytes > 0
        inbound = ByteBuffer()
        noteProgress()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(bytes)).whenComplete { _ in
            let connection = bound.value
            connection.isLastWritten = true
            connection.idleDeadline = .now() + Self.linger
            connection.context?.close(mode: lingers ? .output : .all, promise: nil)
        }
        releaseRead()
    }

    func abort() { closeNow() }
}
