import Core
import Logging
import NIOCore
import Operations

/// One client's connection that speaks HTTP/2: it drives an ``HTTP2Session`` by what the socket does, and makes an exchange of each stream.
final class HTTP2Connection: ChannelDuplexHandler, EdgeConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes handed to the channel at once.
    private static let outputLimit = 64 * 1024
    /// How long a client may take to learn that the connection is about to end.
    private static let announcement = TimeAmount.seconds(2)
    /// How long a client may take to read why its connection ends, or to end a request that is answered.
    private static let linger = TimeAmount.seconds(2)

    let worker: Worker
    private(set) var client: Client
    var slot: Int?
    private var context: ChannelHandlerContext?
    private let session = HTTP2Session()
    /// After this the connection ends as soon as what is under way has.
    private var usableUntil = NIODeadline.distantFuture
    private var isWorking = false
    private var isFlushScheduled = false
    private var isReadHeld = false
    /// The last bytes are written; what the client still sends is dropped.
    private var isClosing = false
    /// When the connection is ended without a stream, or at last when it closes.
    private var idleDeadline = NIODeadline.uptimeNanoseconds(0)
    /// When the client was last seen to take what is written, or had taken all of it.
    private var stalledSince = NIODeadline.now()
    /// When a head that has begun must have ended.
    private var headDeadline: NIODeadline?
    private var announcedAt: NIODeadline?
    private var isReported = false
    /// What has come of the connection before it was known what it speaks.
    private var received: ByteBuffer?
    private var untaken = UntakenBytes()
    /// The bytes that wait in streams, as the worker knows them.
    private var notedBytes = 0

    /// - Parameters:
    ///   - client: Who it is, when that is not the connection's peer.
    ///   - received: What it has sent already.
    init(worker: Worker, client: Client? = nil, received: ByteBuffer? = nil) {
        self.worker = worker
        self.client = client ?? Client(address: nil)
        self.received = received
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
        guard worker.add(self) else { return context.close(promise: nil) }
        // A proxy's connection carries the streams of many, and one of them must not end the others'.
        let trusted = worker.policy.settings.trustedProxies
        if let address = client.address, trusted.contains(where: { $0.contains(address) }) { session.clients = 1000 }
        worker.metrics.http2.countConnection()
        // The gateway's SETTINGS need not wait for the client's.
        scheduleFlush()
        if let received { receive(received) }
        received = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        worker.remove(self)
        worker.noteUntaken(-untakenBytes)
        untaken = UntakenBytes()
        notedBytes = 0
        isClosing = true
        leaveStreams()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Reading stops while the client does not take what is written: what it sends has to be answered.
    func read(context: ChannelHandlerContext) {
        if isClosing || context.channel.isWritable { context.read() } else { isReadHeld = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isClosing { receive(unwrapInboundIn(data)) }
    }

    private func receive(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { session.receive($0, now: .now()) }
        report()
        proceed()
        scheduleFlush()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
        scheduleFlush()
    }

    // MARK: Work

    /// Does what the session has to tell.
    fileprivate func proceed() {
        // What is done here may have the session tell more, which the loop below sees.
        if isWorking { return }
        isWorking = true
        defer { isWorking = false }
        while !isClosing, let event = session.nextEvent() {
            switch event {
            case .request(let stream): start(stream)
            case .body(let stream, let part, let isLast): stream.exchange?.receive(part, isLast: isLast)
            case .writable(let stream): stream.exchange?.becameWritable()
            case .closed(let stream): leave(stream)
            }
        }
    }

    private func start(_ stream: HTTP2Stream) {
        worker.metrics.http2.countStream()
        stream.connection = self
        let reader = stream.reader
        stream.reader = HTTP2HeadReader()
        stream.expectsContinue = reader.expectsContinue
        if let fault = reader.fault {
            let exchange = Exchange(
                worker: worker, client: client, transport: stream, head: RequestHead(), bytes: ByteBuffer(), hasBody: stream.hasBody)
            stream.exchange = exchange
            exchange.refuse(fault)
        } else {
            let exchange = Exchange(
                worker: worker, client: client, transport: stream, head: reader.head, bytes: reader.bytes, hasBody: stream.hasBody)
            stream.exchange = exchange
            exchange.start()
        }
    }

    private func leave(_ stream: HTTP2Stream) {
        let exchange = stream.exchange
        stream.exchange = nil
        // It knows best whether it has ended already.
        exchange?.clientGone()
        if session.streams.isEmpty { idleDeadline = .now() + worker.policy.settings.keepAlive }
    }

    private func leaveStreams() {
        for stream in session.streams.values { leave(stream) }
        // Those that are over, and were not told of yet.
        while let event = session.nextEvent() {
            if case .closed(let stream) = event { leave(stream) }
        }
    }

    /// Has what there is to send be sent when all that is ready on this loop was looked at: many streams' frames leave in one piece.
    fileprivate func scheduleFlush() {
        guard !isFlushScheduled, !isClosing, let context else { return }
        isFlushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.isFlushScheduled = false
            bound.value.flush()
        }
    }

    private func flush() {
        guard let context, !isClosing else { return }
        var last: EventLoopPromise<Void>?
        var hasWritten = false
        while context.channel.isWritable, let bytes = session.takeOutput(limit: Self.outputLimit, now: .now()) {
            hasWritten = true
            untaken.mayBeLeft = true
            let isLast = session.fault != nil || session.isOver
            if isLast { last = context.eventLoop.makePromise() }
            context.write(wrapOutboundOut(bytes), promise: isLast ? last : nil)
            if isLast { break }
        }
        let isOver = session.fault != nil || session.isOver
        if hasWritten { context.flush() }
        report()
        proceed()
        if !context.channel.isWritable || session.untakenBytes != notedBytes { noteUntaken(context) }
        guard isOver else { return }
        noteUntaken(context)
        if last != nil || !untaken.mayBeLeft { close(after: last?.futureResult, context) }
    }

    /// Closing at once could take the last frames from a client that is still sending, so output ends first, and input is dropped until
    /// the client closes too.
    private func close(after written: EventLoopFuture<Void>?, _ context: ChannelHandlerContext) {
        if isClosing { return }
        isClosing = true
        idleDeadline = .now() + worker.policy.settings.bodyTimeout
        leaveStreams()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        // Who did nothing wrong may still be reading, and sends room for more meanwhile, which would meet a closed connection.
        let linger = session.fault == nil ? worker.policy.settings.bodyTimeout : Self.linger
        (written ?? context.eventLoop.makeSucceededVoidFuture()).whenComplete { _ in
            let connection = bound.value
            connection.idleDeadline = .now() + linger
            connection.context?.close(mode: .output, promise: nil)
        }
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
    }

    private func report() {
        guard let fault = session.fault, !isReported else { return }
        isReported = true
        worker.metrics.http2.count(fault)
        let isAttack = if case .excess = fault { true } else { false }
        worker.shared.logger.log(
            level: isAttack ? .warning : .debug, "A client's connection is ended for what it sent",
            metadata: ["reason": "\(fault.label)", "client": "\(client.address?.text ?? "")"])
    }

    // MARK: Time

    /// Counts what the client has not taken, in the channel and in its streams.
    ///
    /// - Returns: Whether the client has taken anything since the last time.
    @discardableResult private func noteUntaken(_ context: ChannelHandlerContext) -> Bool {
        let (change, hasTaken) = untaken.look(at: context.channel)
        let waiting = session.untakenBytes
        if change + waiting != notedBytes { worker.noteUntaken(change + waiting - notedBytes) }
        notedBytes = waiting
        return hasTaken
    }

    var untakenBytes: Int { untaken.count + notedBytes }

    func checkDeadlines(now: NIODeadline) {
        guard let context else { return }
        let isTaken = noteUntaken(context)
        if isClosing {
            if now >= idleDeadline { closeNow() }
            return
        }
        if isTaken || context.channel.isWritable { stalledSince = now }
        if now >= stalledSince + worker.policy.settings.bodyTimeout { return closeNow() }
        for stream in session.streams.values { check(stream, now) }
        if session.isInHead {
            let deadline = headDeadline ?? now + worker.policy.settings.headerTimeout
            headDeadline = deadline
            if now >= deadline { return closeNow() }
        } else {
            headDeadline = nil
        }
        if session.streams.isEmpty, now >= idleDeadline {
            // Nothing is under way that the client would have to be given time for.
            session.goAway()
            session.finishGoAway()
        } else if worker.isLeaving || now >= usableUntil {
            announceLeave(now)
        }
        if let announcedAt, now >= announcedAt + Self.announcement { session.finishGoAway() }
        if session.wantsWrite || session.isOver { scheduleFlush() }
    }

    private func check(_ stream: HTTP2Stream, _ now: NIODeadline) {
        if let exchange = stream.exchange, !exchange.isAnswering, !exchange.isEnded {
            exchange.checkDeadline(now: now)
        } else if stream.isAnswerSent, now >= stream.progressAt + Self.linger {
            session.reset(stream, .noError)
        } else if stream.isAnswered, now >= stream.progressAt + worker.policy.settings.bodyTimeout {
            // The client opens no window for the answer, or the answer's source has stopped.
            session.reset(stream, .cancel)
        }
    }

    private func announceLeave(_ now: NIODeadline) {
        guard announcedAt == nil else { return }
        announcedAt = now
        session.goAway()
    }

    func drain() {
        announceLeave(.now())
        for stream in session.streams.values { stream.exchange?.endStream() }
        scheduleFlush()
    }

    func closeNow() { context?.close(promise: nil) }

    // MARK: For streams

    fileprivate func startBody(of stream: HTTP2Stream) {
        if stream.awaitsContinue { session.sendContinue(on: stream) }
        resumeBody(of: stream)
    }

    fileprivate func resumeBody(of stream: HTTP2Stream) {
        session.startBody(of: stream)
        proceed()
        scheduleFlush()
    }

    fileprivate func pauseBody(of stream: HTTP2Stream) { session.pauseBody(of: stream) }

    fileprivate func isWritable(_ stream: HTTP2Stream) -> Bool { session.isWritable(stream) }

    fileprivate func answer(
        _ stream: HTTP2Stream, _ head: AnswerHead, lines: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool
    ) {
        stream.dropsAnswer = head.dropsBody || !head.hasBody
        let hasContent = !stream.dropsAnswer && !body.isEmpty
        session.answer(
            stream, status: head.status, contentLength: head.contentLength, lines: lines, isWhole: isLast && !hasContent)
        if hasContent { session.write(ByteBuffer(bytes: body), to: stream, isShared: false, isLast: isLast) }
        scheduleFlush()
    }

    fileprivate func write(_ part: ByteBuffer, to stream: HTTP2Stream, isShared: Bool, isLast: Bool) {
        session.write(stream.dropsAnswer ? ByteBuffer() : part, to: stream, isShared: isShared, isLast: isLast)
        scheduleFlush()
    }

    fileprivate func abort(_ stream: HTTP2Stream) {
        session.reset(stream, .internalError)
        scheduleFlush()
    }
}

extension HTTP2Stream: ExchangeTransport {
    var version: StaticString { "HTTP/2.0" }
    var awaitsContinue: Bool { expectsContinue && inbound.readableBytes == 0 && !isEnded }
    func startBody() { connection?.startBody(of: self) }
    func pauseBody() { connection?.pauseBody(of: self) }
    func resumeBody() { connection?.resumeBody(of: self) }
    var isWritable: Bool { connection?.isWritable(self) ?? false }

    func answer(_ head: AnswerHead, lines: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        connection?.answer(self, head, lines: lines, body: body, isLast: isLast)
    }

    func write(_ part: ByteBuffer, isShared: Bool, isLast: Bool) {
        connection?.write(part, to: self, isShared: isShared, isLast: isLast)
    }

    func abort() { connection?.abort(self) }
}
