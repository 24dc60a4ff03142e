import Core
import NIOCore
import Operations

/// A request's way to its service and back.
extension Exchange: UpstreamRequester {
    var mayBeRepeated: Bool { upload == nil && head.isIdempotent }

    var tenant: TenantID? { token?.claims.tenant }

    var lane: UpstreamLane {
        switch streaming {
        case .upload: .bulk
        case .answer: .stream
        case nil: .ordinary
        }
    }

    private var pool: UpstreamPool? { route.map { worker.pools[$0.service.index] } }

    /// A connection to a service is taken for a whole request only, but where its body is too long for that: clients that send slowly, or
    /// stop in the middle, would otherwise hold all there are.
    func acquire(avoiding endpoint: UpstreamEndpoint? = nil) {
        guard let pool else { return refuse(.notFound) }
        // No waiter means that the pool has called back already.
        if let waiter = pool.acquire(self, avoiding: endpoint) { self.waiter = waiter }
    }

    func upstreamReady(_ connection: UpstreamConnection) {
        waiter = nil
        let isWhole = upload?.isWhole ?? true
        guard machine.handle(.connectionIsReady(bodyIsWhole: isWhole)) == .send else { return connection.abandon(for: self) }
        upstream = connection
        attempts += 1
        if attempts == 1 { writeRequest() }
        if upload != nil { beginUpload(on: connection, isWhole: isWhole) } else { connection.send(request) }
    }

    /// An answer that its client has waited for so long counts as one that never came.
    private static let patience = TimeAmount.seconds(5)

    /// Gives up what is held of the way to the service.
    func giveUp(_ held: ExchangeStateMachine.Upstream, clientHasGone: Bool = false) {
        let upstream = upstream
        self.upstream = nil
        switch held {
        case .nothing: break
        case .place:
            waiter?.cancel()
            waiter = nil
        case .connection where clientHasGone && !head.isSafe:
            let limits = [token?.userLimit, token?.tenantLimit].compactMap(\.self)
            guard let upstream, !limits.isEmpty else { return upstream?.abandon(for: self) ?? () }
            DepartedClient(limits: limits).wait(at: upstream, until: deadline, on: worker.eventLoop)
        // Clients that give up before the gateway does must not hide a service that hangs.
        case .connection where clientHasGone && NIODeadline.now() - startedAt >= Self.patience: upstream?.abandonLate(for: self)
        case .connectionInRequest, .connection, .connectionInAnswer: upstream?.abandon(for: self)
        }
    }

    // MARK: The answer

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        guard machine.handle(.answerHead(isLast: isLast)) == .relayHead else { return }
        status = head.status
        // The first was taken before the request went on; how many there are only the service can tell.
        if head.operations > 1, let token {
            for limit in [token.userLimit, token.tenantLimit] { limit?.owe(head.operations - 1, now: .now()) }
        }
        let decision = beginCompression(of: head, length: head.contentLength ?? (isLast ? body.count : nil))
        let coded = compressed.map { $0.compress(body, isLast: isLast) }
        let lines = worker.writeLines { writer in
            for run in head.kept { writer.put(bytes[run]) }
            if decision.varies { writer.put(AnswerCompression.varyLine) }
            if decision.compresses { writer.put(AnswerCompression.codingLine) }
            if !head.hasCacheControl { writer.put(AnswerFields.cacheControl(hasEntityTag: head.hasEntityTag)) }
            if !head.hasContentSecurityPolicy {
                writer.put("Content-Security-Policy: ")
                writer.put(AnswerFields.closedPolicy)
                writer.put("\r\n")
            }
            putCommonFields(&writer, withLimits: !head.hasRateLimit)
        }
        var answerHead = AnswerHead(status: head.status, contentLength: head.contentLength, dropsBody: self.head.method == .head)
        if decision.compresses { answerHead.contentLength = isLast ? coded?.readableBytes : nil }
        if !answerHead.dropsBody { bytesSent = coded?.readableBytes ?? body.count }
        relay(isLast: isLast) { transport in
            if let coded {
                coded.withUnsafeReadableBytes { transport.answer(answerHead, lines: lines, body: $0, isLast: isLast) }
            } else {
                transport.answer(answerHead, lines: lines, body: body, isLast: isLast)
            }
        }
        if !isLast, !isEnded { answerGoesOn(isStream: lane == .stream && head.contentLength == nil) }
    }

    private func answerGoesOn(isStream: Bool) {
        dropUpload()
        guard isStream else { return }
        isOpenEnded = true
        worker.openStreams += 1
        // Whoever asks for the head alone has it, and whoever came to a gateway that stops goes on elsewhere.
        if head.method == .head || worker.isDraining { endStream() }
    }

    /// Ends an answer that goes on for as long as it is taken, as a whole one: the client comes again for what follows. Others are not
    /// touched.
    func endStream() {
        guard isOpenEnded, machine.handle(.streamEnds) == .endAnswer else { return }
        giveUp(.connectionInAnswer)
        finish()?.write(ByteBuffer(), isShared: false, isLast: true)
    }

    /// Decides whether the answer is compressed, and begins.
    private func beginCompression(of head: ResponseHead, length: Int?) -> AnswerCompression.Decision {
        // A stream is not compressed, or what it tells would wait in the compressor for more.
        guard policy.settings.compresses, lane != .stream else { return .init(compresses: false, varies: false) }
        var decision = AnswerCompression.decide(
            status: head.status, length: length, content: head.content, accepted: self.head.accepted, isSecret: route?.hasSecrets ?? true)
        if decision.compresses, self.head.method != .head {
            compressed = worker.compression.begin(length: length)
            decision.compresses = compressed != nil
        }
        return decision
    }

    func upstreamBody(_ content: ByteBuffer, isLast: Bool) {
        guard machine.handle(.answerPart(isLast: isLast)) == .relayPart else { return }
        let coded = compressed.map { compressed in content.withUnsafeReadableBytes { compressed.compress($0, isLast: isLast) } }
        // The compressor may keep a part until the next.
        if let coded, coded.readableBytes == 0, !isLast { return }
        if head.method != .head { bytesSent += (coded ?? content).readableBytes }
        relay(isLast: isLast) { $0.write(coded ?? content, isShared: false, isLast: isLast) }
    }

    private func relay(isLast: Bool, _ write: (any ExchangeTransport) -> Void) {
        if isLast {
            upstream = nil
            if let transport = finish() { write(transport) }
        } else if let transport {
            write(transport)
            // Writing may have ended the exchange: a client that does not read gives way to others.
            if !isEnded, !transport.isWritable { upstream?.pauseReading() }
        }
    }

    /// The client takes its answer again.
    func becameWritable() { upstream?.resumeReading() }

    func upstreamFailed(_ failure: UpstreamFailure) {
        waiter = nil
        let endpoint = upstream?.endpoint
        upstream = nil
        let mayRetry = !isAnswering && mayRetry(failure)
        switch machine.handle(.upstreamFailed(mayRetry: mayRetry)) {
        case .acquire:
            worker.metrics.retries += 1
            acquire(avoiding: endpoint)
        // The client has part of the answer, and must see that no more comes.
        case .abortAnswer: finish()?.abort()
        case .refuseForService where failure == .overloaded:
            refuse(Problem(.overloaded, "Too many requests wait for this service. Try again shortly.", retryAfter: 1))
        case .refuseForService where failure == .tenantBusy:
            refuse(Problem(.rateLimited, "The tenant has too many requests under way. Try again in 1 s.", retryAfter: 1))
        case .refuseForService:
            refuse(Problem(.upstreamUnavailable, "The service does not answer at the moment. Try again shortly.", retryAfter: 1))
        default: break
        }
    }

    private func mayRetry(_ failure: UpstreamFailure) -> Bool {
        // Of a body that goes on as it comes nothing is left to be sent once more.
        guard let pool, attempts < (upload == nil ? 3 : 1) else { return false }
        return pool.budget.allowsRetry(after: failure, isSafe: head.isSafe, isIdempotent: head.isIdempotent)
    }
}
