import NIOCore

/// One connection to an upstream, which serves one request after another.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the request under way holds of the pool.
    struct Hold {
        let lane: UpstreamLane
        let share: TenantShare
        let since: NIODeadline
        /// Whether no answer has begun.
        var isAwaited = true
    }

    /// How long a connection may have been idle for a request that must not be sent twice.
    private static let freshness = TimeAmount.milliseconds(500)

    let endpoint: UpstreamEndpoint
    private let pool: UpstreamPool
    private var context: ChannelHandlerContext?
    private var requester: (any UpstreamRequester)?
    /// `nil` without a request, and for a probe.
    var hold: Hold?
    private var parser = ResponseHeadParser()
    private var body = BodyScanner.none
    private var inbound = ByteBuffer()
    private var isRequestWhole = true
    private var isAnswering = false
    private var hasBytesOfAnswer = false
    private var isReadPaused = false
    private var isReadHeld = false
    /// Whether the pool has stopped counting it.
    var isDetached = false
    private(set) var requestsServed = 0
    var idleSince = NIODeadline.uptimeNanoseconds(0)

    /// An answer that is whole after this is the last one.
    private let usableUntil: NIODeadline

    init(endpoint: UpstreamEndpoint, pool: UpstreamPool, usableUntil: NIODeadline) {
        self.endpoint = endpoint
        self.pool = pool
        self.usableUntil = usableUntil
    }

    var isOpen: Bool { context?.channel.isActive ?? false }
    private var isReused: Bool { requestsServed > 0 }

    /// Whether the upstream is surely not closing it just now: used a moment ago, and not before one of the processes behind the address
    /// said that it stops, which may be the one at its other end.
    func isFresh(now: NIODeadline) -> Bool {
        now - idleSince <= Self.freshness && endpoint.goodbyeAt.map { idleSince > $0 } ?? true
    }

    // MARK: For the requester

    func begin(_ requester: any UpstreamRequester) {
        self.requester = requester
        hasBytesOfAnswer = false
        isAnswering = false
        isRequestWhole = false
    }

    /// Has somebody else take the answer, before any of it has come.
    func handOver(to requester: any UpstreamRequester) { self.requester = requester }

    /// Sends the request, or a part of it.
    func send(_ bytes: ByteBuffer, isLast: Bool = true) {
        guard let context else { return }
        isRequestWhole = isLast
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Whether more of the request may be sent; when it may again ``UpstreamRequester/upstreamWritable()`` is called.
    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Bytes of requests that the system has not taken yet.
    var unsentBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    /// Stops reading the answer until ``resumeReading()``: the requester's own peer is slow.
    func pauseReading() {
        guard !isReadPaused, requester != nil else { return }
        isReadPaused = true
        if hold?.lane == .ordinary {
            endpoint.paused.append(self)
            pool.evictSlowReader(of: endpoint)
        }
    }

    func resumeReading() {
        unpause()
        guard isReadHeld else { return }
        isReadHeld = false
        context?.read()
    }

    private func unpause() {
        guard isReadPaused else { return }
        isReadPaused = false
        endpoint.paused.removeAll { $0 === self }
    }

    /// Gives the request up if it is still that requester's. Its answer would be taken for that of the next one, so the connection ends.
    func abandon(for requester: any UpstreamRequester) {
        if self.requester === requester { close() }
    }

    /// Gives the request up because no answer came in time. That counts as a failure, or a service that hangs would never be passed over.
    func abandonLate(for requester: any UpstreamRequester) {
        guard self.requester === requester else { return }
        if hold?.isAwaited ?? false { pool.requestFailed(at: endpoint) }
        close()
    }

    // MARK: For the pool

    /// Ends in the middle of its answer, which its requester does not take, for the sake of those who wait.
    func evict() {
        let requester = requester
        close()
        requester?.upstreamFailed(.broken)
    }

    func close() {
        requester = nil
        unpause()
        pool.detached(self)
        context?.close(promise: nil)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        unpause()
    }

    func read(context: ChannelHandlerContext) {
        if isReadPaused { isReadHeld = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { requester?.upstreamWritable() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        guard requester != nil else {
            // Nobody asked for anything.
            close()
            return
        }
        hasBytesOfAnswer = true
        if inbound.readableBytes > 0 {
            inbound.writeBuffer(&buffer)
            buffer = inbound
            inbound = ByteBuffer()
        }
        do {
            if isAnswering { try receiveBody(&buffer) } else { try receiveHead(&buffer) }
        } catch {
            fail(.broken)
        }
    }

    private func receiveHead(_ buffer: inout ByteBuffer) throws {
        while true {
            let isComplete = try buffer.withUnsafeReadableBytes { try parser.parse($0) }
            guard isComplete else {
                inbound = buffer
                return
            }
            guard parser.head.status >= 200 else {
                // An interim answer; the gateway has given its own.
                buffer.moveReaderIndex(forwardBy: parser.head.length)
                parser.reset()
                continue
            }
            break
        }
        isAnswering = true
        body = parser.body
        let head = parser.head
        var content: [UInt8] = []
        let taken = try buffer.withUnsafeReadableBytes { bytes in
            let rest = UnsafeRawBufferPointer(rebasing: bytes[head.length...])
            return try body.scan(rest) { if head.isChunked { content.append(contentsOf: rest[$0]) } }
        }
        let isLast = body.isDone
        let requester = requester
        let now = NIODeadline.now()
        pool.answerBegan(self, now: now)
        if isLast { finish(hasRest: buffer.readableBytes > head.length + taken, keepsAlive: head.keepsAlive, now: now) }
        buffer.withUnsafeReadableBytes { bytes in
            let headBytes = UnsafeRawBufferPointer(rebasing: bytes[..<head.length])
            if head.isChunked {
                content.withUnsafeBytes { requester?.upstreamAnswered(head, bytes: headBytes, body: $0, isLast: isLast) }
            } else {
                let body = UnsafeRawBufferPointer(rebasing: bytes[head.length..<head.length + taken])
                requester?.upstreamAnswered(head, bytes: headBytes, body: body, isLast: isLast)
            }
        }
    }

    /// Content of a known length is handed on as it came; that of chunks is gathered, or each would be a write of its own.
    private func receiveBody(_ buffer: inout ByteBuffer) throws {
        let isChunked = parser.head.isChunked
        var content = ByteBuffer()
        let taken = try buffer.withUnsafeReadableBytes { bytes in
            try body.scan(bytes) { if isChunked { content.writeBytes(bytes[$0]) } }
        }
        let hasRest = taken < buffer.readableBytes
        let part = isChunked ? content : buffer.getSlice(at: buffer.readerIndex, length: taken) ?? ByteBuffer()
        let isLast = body.isDone
        // Nothing but framing.
        guard isLast || part.readableBytes > 0 else { return }
        let requester = requester
        if isLast { finish(hasRest: hasRest, keepsAlive: parser.head.keepsAlive, now: .now()) }
        requester?.upstreamBody(part, isLast: isLast)
    }

    /// The answer is whole: the connection goes back to the pool if it is in a known state.
    private func finish(hasRest: Bool, keepsAlive: Bool, now: NIODeadline) {
        requester = nil
        isAnswering = false
        unpause()
        requestsServed += 1
        parser.reset()
        endpoint.health.succeeded()
        if keepsAlive { endpoint.stays() } else { endpoint.saidGoodbye(now: now) }
        if hasRest || !keepsAlive || !isRequestWhole || now >= usableUntil {
            pool.detached(self)
            context?.close(promise: nil)
        } else {
            if isReadHeld { resumeReading() }
            pool.release(self, now: now)
        }
    }

    private func fail(_ failure: UpstreamFailure) {
        let requester = requester
        let isProbe = hold == nil
        self.requester = nil
        pool.detached(self)
        context?.close(promise: nil)
        guard let requester else { return }
        // An idle connection that the upstream closed says nothing about its health.
        if !isProbe, failure != .closedBeforeAnswer(isReused: true) { pool.requestFailed(at: endpoint) }
        requester.upstreamFailed(failure)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        fail(hasBytesOfAnswer ? .broken : .closedBeforeAnswer(isReused: isReused))
    }
}
