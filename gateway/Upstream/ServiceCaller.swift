import Core
import NIOCore
import Operations

/// The gateway's own calls to services: for keys, for what has been revoked, for the API document. They have connections of their
/// own, so that traffic cannot hold them up.
struct ServiceCaller: Sendable {
    struct Answer: Sendable {
        var status: Int
        var body: [UInt8]
    }

    let eventLoop: any EventLoop
    private let pools: NIOLoopBoundBox<[UpstreamPool]>
    private let signers: [ContextSigner]

    init(configuration: GatewayConfiguration, eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        signers = configuration.signers
        let pools = ServiceName.allCases.map { service in
            UpstreamPool(
                service: service, addresses: configuration.upstreams[service] ?? [], connectionLimit: 4,
                connectionAge: configuration.upstreamConnectionAge, eventLoop: eventLoop)
        }
        self.pools = .makeBoxSendingValue(pools, eventLoop: eventLoop)
    }

    /// Sends a request and gathers the answer, at most 16 MiB of it.
    ///
    /// The future fails with ``UpstreamFailure``, also when no whole answer came within the time limit.
    func call(_ service: ServiceName, method: String = "GET", target: String, body: [UInt8] = [], timeout: TimeAmount = .seconds(2))
        -> EventLoopFuture<Answer>
    {
        let context = SystemContext(service: "gateway", timeout: .nanoseconds(timeout.nanoseconds))
        let signature = signers[service.index].sign(.service(context), method: method, target: target, body: .whole(body))
        var request = ByteBuffer(
            string: "\(method) \(target) HTTP/1.1\r\nHost: martlet\r\nX-Request-Id: \(context.requestID)\r\n"
                + "\(ContextSigner.headerName): \(signature)\r\n")
        if !body.isEmpty || method != "GET" {
            request.writeString("Content-Type: application/json\r\nContent-Length: \(body.count)\r\n")
        }
        request.writeString("\r\n")
        request.writeBytes(body)
        let promise = eventLoop.makePromise(of: Answer.self)
        eventLoop.execute { [pools, request] in
            let call = ServiceCall(request: request, promise: promise)
            let timer = self.eventLoop.assumeIsolated().scheduleTask(in: timeout) { call.giveUp() }
            promise.futureResult.whenComplete { _ in timer.cancel() }
            call.start(pools.value[service.index])
        }
        return promise.futureResult
    }

    /// Closes the connections.
    func close() { eventLoop.execute { [pools] in for pool in pools.value { pool.closeIdle() } } }
}

private final class ServiceCall: UpstreamClient {
    private static let bodyLimit = 16 << 20

    let wantsContent = true
    // Of these calls those that change something are repeated by their callers, with ids that make a repeat harmless.
    let mayBeRepeated = true
    private let request: ByteBuffer
    private let promise: EventLoopPromise<ServiceCaller.Answer>
    private var answer = ServiceCaller.Answer(status: 0, body: [])
    private var ticket: UpstreamPool.Ticket?
    private var connection: UpstreamConnection?

    init(request: ByteBuffer, promise: EventLoopPromise<ServiceCaller.Answer>) {
        self.request = request
        self.promise = promise
    }

    func start(_ pool: UpstreamPool) {
        if let ticket = pool.acquire(self) { self.ticket = ticket }
    }

    func giveUp() {
        ticket?.cancel()
        connection?.abandon()
        connection = nil
        promise.fail(UpstreamFailure.broken)
    }

    func upstreamReady(_ connection: UpstreamConnection) {
        self.connection = connection
        connection.send(request)
    }

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        answer.status = head.status
        answer.body.append(contentsOf: body)
        if isLast { finish() }
    }

    func upstreamBody(_ body: ByteBuffer, isLast: Bool) {
        guard answer.body.count + body.readableBytes <= Self.bodyLimit else { return giveUp() }
        answer.body.append(contentsOf: body.readableBytesView)
        if isLast { finish() }
    }

    private func finish() {
        connection = nil
        promise.succeed(answer)
    }

    func upstreamFailed(_ failure: UpstreamFailure) {
        connection = nil
        promise.fail(failure)
    }

}
