import Core
import NIOCore

/// One client's connection: it turns bytes into requests, one after another, and holds what is known of the present one.
///
/// What happens to a request is in `ClientConnection+Layers.swift`, its way to the upstream and back in
/// `ClientConnection+Forwarding.swift`, the gateway's own answers in `ClientConnection+Answers.swift`.
final class ClientConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// Between requests, or in the middle of a head. Can transition to: `deciding`, `closing`.
        case head
        /// A head was read; a layer waits for something. Can transition to: `gathering`, `forwarding`, `head`, `closing`.
        case deciding
        /// The request is admitted; the rest of its body is awaited. Can transition to: `deciding`, `head`, `closing`.
        case gathering
        /// The request is with the upstream. Can transition to: `head`, `closing`.
        case forwarding
        /// The last answer was written; what the client still sends is dropped. Final.
        case closing
    }

    /// What is known of the present request.
    struct Exchange {
        /// Tells a late callback for an earlier request from one for this.
        var number = 0
        var startedAt = NIODeadline.uptimeNanoseconds(0)
        var wallClock = Timestamp(milliseconds: 0)
        /// When the client is told that it took too long, its body or the answer.
        var deadline = NIODeadline.uptimeNanoseconds(0)
        var requestID: [UInt8] = []
        var trace: TraceContext?
        var route: RouteTable.Route?
        var token: VerifiedToken?
        /// The limit that counts, when there is no token.
        var addressLimit: LeasedBucket?
        var clientAddress: IPAddress?
        var body = BodyScanner.none
        /// Bytes of the body, with its framing, that have come so far.
        var bodyLength = 0
        /// Those of them that are counted in the worker's ``Worker/heldBytes``.
        var heldBytes = 0
        var ticket: UpstreamPool.Ticket?
        var upstream: UpstreamConnection?
        var attempts = 0
        var connectFailures = 0
        var isAnswered = false
        /// The status told to the client.
        var status = 0
        /// Whether the answer is passed on without its body.
        var dropsBody = false
    }

    /// Bytes that a client may send ahead of what is being worked on.
    static let inboundLimit = 64 * 1024

    let worker: Worker
    var context: ChannelHandlerContext?
    var place: Int?
    var parser = RequestHeadParser()
    var phase = Phase.head
    var exchange = Exchange()
    var inbound = ByteBuffer()
    /// The request as sent to the upstream.
    var outbound = ByteBuffer()
    /// The answer's head, and the part of its body that came with it.
    var answer = ByteBuffer()
    /// The token of the request before: most connections send the same one each time.
    var lastToken: VerifiedToken?
    var peer: IPAddress?
    private var peerText: [UInt8] = []
    /// When the connection is ended, in the phases `head` and `closing`, or without progress of a body.
    var idleDeadline = NIODeadline.uptimeNanoseconds(0)
    private var lastSeen = NIODeadline.uptimeNanoseconds(0)
    var keepsAlive = true
    /// The fields for browsers, made from the request's Origin.
    var crossOriginLines: [UInt8] = []
    private var isReadHeld = false
    private var isProceeding = false

    init(worker: Worker) { self.worker = worker }

    var head: RequestHead { _read { yield parser.head } }
    var route: RouteTable.Route? { exchange.route }

    /// The bytes of a part of the head. Only until the request has been sent on.
    func withHeadBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result { inbound.withUnsafeReadableBytes(body) }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        peer = context.remoteAddress?.ipAddress.flatMap { IPAddress($0) }
        idleDeadline = .now() + worker.policy.settings.headerTimeout
        if !worker.add(self) { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        worker.remove(self)
        departFromUpstream()
        if phase == .deciding || phase == .gathering || phase == .forwarding { finishRecord() }
        phase = .closing
        inbound = ByteBuffer()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Reading stops while the client is ahead of what can be passed on, and while it does not take its answers: one that sends
    /// requests and never reads would fill the memory with answers.
    func read(context: ChannelHandlerContext) {
        if phase != .closing, isAhead(context) { isReadHeld = true } else { context.read() }
    }

    private func isAhead(_ context: ChannelHandlerContext) -> Bool {
        (phase != .gathering && inbound.readableBytes >= Self.inboundLimit) || (phase == .head && !context.channel.isWritable)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if phase == .closing { return }
        if inbound.readableBytes == 0 { inbound = buffer } else { inbound.writeBuffer(&buffer) }
        proceed()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            noteProgress()
            exchange.upstream?.resumeReading()
            proceed()
        }
    }

    // MARK: Requests

    /// Does what can be done with the bytes at hand.
    func proceed() {
        // An answer given at once comes back here; the loop below goes on with the next request instead of going deeper.
        if isProceeding { return }
        isProceeding = true
        defer {
            isProceeding = false
            if inbound.readableBytes == 0 { inbound = ByteBuffer() }
            if isReadHeld, let context, !isAhead(context) {
                isReadHeld = false
                context.read()
            }
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
                    refuseHead(error)
                    return
                }
                startRequest()
            case .gathering:
                guard inbound.readableBytes > head.length + exchange.bodyLength else { return }
                gather()
            case .deciding, .forwarding, .closing:
                return
            }
        }
    }

    func begin() {
        exchange.number += 1
        exchange.startedAt = .now()
        exchange.wallClock = .now
        exchange.deadline = exchange.startedAt + worker.policy.settings.requestTimeout
        exchange.requestID.removeAll(keepingCapacity: true)
        exchange.trace = nil
        exchange.route = nil
        exchange.token = nil
        exchange.addressLimit = nil
        exchange.clientAddress = nil
        exchange.ticket = nil
        exchange.upstream = nil
        exchange.bodyLength = 0
        exchange.attempts = 0
        exchange.connectFailures = 0
        exchange.isAnswered = false
        exchange.status = 0
        exchange.dropsBody = false
        keepsAlive = true
        worker.metrics.inFlight += 1
    }

    /// Follows what has come of the body through its framing.
    ///
    /// - Returns: Whether it is whole.
    func scanBody() throws(BodyScanner.Fault) -> Bool {
        let start = head.length + exchange.bodyLength
        exchange.bodyLength += try inbound.withUnsafeReadableBytes { bytes throws(BodyScanner.Fault) in
            try exchange.body.scan(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
        return exchange.body.isDone
    }

    /// Counts and logs the request, once.
    func finishRecord() {
        lastSeen = .now()
        let microseconds = Int((lastSeen - exchange.startedAt).nanoseconds / 1000)
        let route = route
        worker.metrics.inFlight -= 1
        if phase == .gathering { worker.gathering -= 1 }
        worker.release(exchange.heldBytes)
        exchange.heldBytes = 0
        worker.metrics.record(route: route?.index, service: route?.service, status: exchange.status, microseconds: microseconds)
        guard let trace = exchange.trace else { return }
        var entry = AccessLog.Entry(method: head.method, route: route, status: exchange.status, microseconds: microseconds, trace: trace)
        if worker.policy.settings.logsClients {
            entry.client = exchange.clientAddress ?? peer
            entry.user = exchange.token.map { Array($0.claims.user.description.utf8) }
        }
        worker.log.write(
            entry, requestID: exchange.requestID, tenant: exchange.token?.tenantText, now: exchange.wallClock)
    }

    /// The answer has been written: on to the next request, or the end.
    func finishExchange() {
        finishRecord()
        exchange.upstream = nil
        exchange.ticket = nil
        // A connection that once carried much does not keep the memory for it.
        if outbound.capacity > Self.inboundLimit { outbound = ByteBuffer() }
        guard keepsAlive else { return }
        parser.reset()
        phase = .head
        idleDeadline = lastSeen + worker.policy.settings.keepAlive
    }

    /// Writes the last bytes of this connection. Closing at once could take the answer from a client that is still sending, so
    /// output ends first, and input is dropped until the client closes too.
    func writeLast(_ bytes: ByteBuffer) {
        phase = .closing
        inbound = ByteBuffer()
        idleDeadline = .now() + .seconds(2)
        guard let context else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let lingers = !exchange.body.isDone
        context.writeAndFlush(wrapOutboundOut(bytes)).whenComplete { _ in
            bound.value.close(mode: lingers ? .output : .all, promise: nil)
        }
    }

    func noteProgress() { idleDeadline = .now() + worker.policy.settings.bodyTimeout }

    /// Called a few times a second.
    func checkDeadline(now: NIODeadline) {
        switch phase {
        case .head, .closing:
            if now >= idleDeadline { closeNow() }
        case .deciding:
            if now >= exchange.deadline { answerTooLate() }
        case .gathering:
            if now >= exchange.deadline { refuseLateBody() }
        case .forwarding where !exchange.isAnswered:
            if now >= exchange.deadline { answerTooLate() }
        case .forwarding:
            if now >= idleDeadline { closeNow() }
        }
    }

    /// At a stop: an idle connection gets a moment for a request that is on its way already, and ends.
    func drain() {
        if phase == .head, !parser.hasStarted { idleDeadline = min(idleDeadline, .now() + .milliseconds(500)) }
    }

    func closeNow() { context?.close(promise: nil) }

    /// The client has gone. What it has asked for is done all the same, and counts for as much as the answer will tell.
    private func departFromUpstream() {
        let limits = [exchange.token?.userLimit, exchange.token?.tenantLimit].compactMap(\.self)
        if phase == .forwarding, !exchange.isAnswered, !head.isSafe, !limits.isEmpty, let upstream = exchange.upstream {
            exchange.upstream = nil
            DepartedClient(limits: limits).wait(at: upstream, until: exchange.deadline, on: worker.eventLoop)
        }
        abandonUpstream()
    }

    func abandonUpstream() {
        exchange.ticket?.cancel()
        exchange.ticket = nil
        let upstream = exchange.upstream
        exchange.upstream = nil
        upstream?.abandon()
    }

    /// The client's address as the signed context tells it.
    var addressText: [UInt8] {
        guard let address = exchange.clientAddress, address != peer else {
            if peerText.isEmpty { peerText = Array((peer?.text ?? "").utf8) }
            return peerText
        }
        return Array(address.text.utf8)
    }
}
