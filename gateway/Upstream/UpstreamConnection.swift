import NIOCore

/// One connection to an upstream, which serves one request after another.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let endpoint: UpstreamEndpoint
    private let pool: UpstreamPool
    private var context: ChannelHandlerContext?
    private var client: (any UpstreamClient)?
    private var parser = ResponseHeadParser()
    private var body = BodyScanner.none
    private var inbound = ByteBuffer()
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
    private var begunAt = NIODeadline.uptimeNanoseconds(0)

    init(endpoint: UpstreamEndpoint, pool: UpstreamPool, usableUntil: NIODeadline) {
        self.endpoint = endpoint
        self.pool = pool
        self.usableUntil = usableUntil
    }

    var isOpen: Bool { context?.channel.isActive ?? false }
    var isReused: Bool { requestsServed > 0 }

    // MARK: For the client

    func begin(_ client: any UpstreamClient) {
        self.client = client
        begunAt = .now()
        hasBytesOfAnswer = false
        isAnswering = false
    }

    /// Has somebody else take the answer, before any of it has come.
    func handOver(to client: any UpstreamClient) { self.client = client }

    /// Gives the request up if it is still that client's.
    func abandon(for client: any UpstreamClient) {
        if self.client === client { abandon() }
    }

    func send(_ bytes: ByteBuffer) {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Stops reading the answer until ``resumeReading()``: the client's own peer is slow.
    func pauseReading() {
        guard !isReadPaused else { return }
        isReadPaused = true
        endpoint.paused.append(self)
        pool.relieve(endpoint)
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

    /// Ends in the middle of its answer, which its client does not take, for the sake of those who wait.
    func giveWay() {
        let client = client
        abandon()
        client?.upstreamFailed(.broken)
    }

    /// Gives the request up: its answer would be taken for that of the next one, so the connection ends.
    func abandon() {
        client = nil
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        guard client != nil else {
            // Nobody asked for anything.
            context.close(promise: nil)
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
        endpoint.metrics.answered(in: .now() - begunAt)
        body = parser.body
        let head = parser.head
        let wantsContent = head.isChunked && client?.wantsContent ?? false
        var content: [UInt8] = []
        let taken = try buffer.withUnsafeReadableBytes { bytes in
            let rest = UnsafeRawBufferPointer(rebasing: bytes[head.length...])
            return try body.scan(rest) { if wantsContent { content.append(contentsOf: rest[$0]) } }
        }
        let isLast = body.isDone
        let client = client
        if isLast { finish(hasRest: buffer.readableBytes > head.length + taken, keepsAlive: head.keepsAlive) }
        buffer.withUnsafeReadableBytes { bytes in
            let headBytes = UnsafeRawBufferPointer(rebasing: bytes[..<head.length])
            if wantsContent {
                content.withUnsafeBytes { client?.upstreamAnswered(head, bytes: headBytes, body: $0, isLast: isLast) }
            } else {
                let body = UnsafeRawBufferPointer(rebasing: bytes[head.length..<head.length + taken])
                client?.upstreamAnswered(head, bytes: headBytes, body: body, isLast: isLast)
            }
        }
    }

    private func receiveBody(_ buffer: inout ByteBuffer) throws {
        let wantsContent = parser.head.isChunked && client?.wantsContent ?? false
        var content = ByteBuffer()
        let taken = try buffer.withUnsafeReadableBytes { bytes in
            try body.scan(bytes) { if wantsContent { content.writeBytes(bytes[$0]) } }
        }
        let hasRest = taken < buffer.readableBytes
        let part = wantsContent ? content : buffer.getSlice(at: buffer.readerIndex, length: taken) ?? ByteBuffer()
        let isLast = body.isDone
        let client = client
        if isLast { finish(hasRest: hasRest, keepsAlive: parser.head.keepsAlive) }
        client?.upstreamBody(part, isLast: isLast)
    }

    /// The answer is whole: the connection goes back to the pool if it is in a known state.
    private func finish(hasRest: Bool, keepsAlive: Bool) {
        client = nil
        isAnswering = false
        unpause()
        requestsServed += 1
        parser.reset()
        endpoint.health.succeeded()
        if hasRest || !keepsAlive || NIODeadline.now() >= usableUntil {
            pool.detached(self)
            context?.close(promise: nil)
            if !keepsAlive { pool.saidGoodbye(endpoint) }
        } else {
            if isReadHeld { resumeReading() }
            pool.stays(endpoint)
            pool.release(self)
        }
    }

    private func fail(_ failure: UpstreamFailure) {
        let client = client
        self.client = nil
        pool.detached(self)
        context?.close(promise: nil)
        guard let client else { return }
        // An idle connection that the upstream closed says nothing about its health.
        if failure != .closedBeforeAnswer(isReused: true) {
            endpoint.health.failed(now: .now())
            endpoint.metrics.failed()
        }
        client.upstreamFailed(failure)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        fail(hasBytesOfAnswer ? .broken : .closedBeforeAnswer(isReused: isReused))
    }
}
