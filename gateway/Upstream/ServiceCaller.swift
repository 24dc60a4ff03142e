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
        var limits = UpstreamLimits()
        limits.ordinary.places = FileLimit.ownConnections
        limits.connectionAge = configuration.upstreamConnectionAge
        // Few, and each with a time limit of its own.
        (limits.expectedWait, limits.longestWait) = (.seconds(60), .seconds(60))
        let pools = ServiceName.allCases.map { service in
            UpstreamPool(service: service, addresses: configuration.upstreams[service] ?? [], limits: limits, eventLoop: eventLoop)
        }
        self.pools = .makeBoxSendingValue(pools, eventLoop: eventLoop)
    }

    /// Sends a request and gathers the answer, at most 16 MiB of it.
    ///
    /// The future fails with ``UpstreamFailure``, also when no whole answer came within the time limit, or with ``AnswerTooLarge``.
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

    /// Puts other addresses in force.
    func apply(_ policy: GatewayPolicy) {
        eventLoop.execute { [pools] in
            for pool in pools.value { pool.update(addresses: policy.settings.upstreams[pool.service] ?? []) }
        }
    }

    /// Closes the connections.
    func close() { eventLoop.execute { [pools] in for pool in pools.value { pool.close() } } }
}

/// A service said more than the gateway takes.
struct AnswerTooLarge: Error, CustomStringConvertible {
    /// Bytes.
    let limit: Int
    var description: String { "the answer is larger than \(limit) bytes" }
}

private final class ServiceCall: UpstreamRequester {
    private static let bodyLimit = 16 << 20

    // Of these calls those that change something are repeated by their callers, with ids that make a repeat harmless.
    let mayBeRepeated = true
    private let request: ByteBuffer
    private let promise: EventLoopPromise<ServiceCaller.Answer>
    private var answer = ServiceCaller.Answer(status: 0, body: [])
    private var waiter: UpstreamWaiter?
    private var connection: UpstreamConnection?

    init(request: ByteBuffer, promise: EventLoopPromise<ServiceCaller.Answer>) {
        self.request = request
        self.promise = promise
    }

    func start(_ pool: UpstreamPool) {
        if let waiter = pool.acquire(self) { self.waiter = waiter }
    }

    func giveUp(for reason: any Error = UpstreamFailure.broken) {
        waiter?.cancel()
        connection?.abandon(for: self)
        connection = nil
        promise.fail(reason)
    }

    func upstreamReady(_ connection: UpstreamConnection) {
        self.connection = connection
        connection.send(request)
    }

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        answer.status = head.status
        take(body, isLast: isLast)
    }

    func upstreamBody(_ content: ByteBuffer, isLast: Bool) { content.withUnsafeReadableBytes { take($0, isLast: isLast) } }

    private func take(_ content: UnsafeRawBufferPointer, isLast: Bool) {
        guard answer.body.count + content.count <= Self.bodyLimit else { return giveUp(for: AnswerTooLarge(limit: Self.bodyLimit)) }
        answer.body.append(contentsOf: content)
        guard isLast else { return }
        connection = nil
        promise.succeed(answer)
    }

    func upstreamFailed(_ failure: UpstreamFailure) {
        connection = nil
        promise.fail(failure)
    }

}
