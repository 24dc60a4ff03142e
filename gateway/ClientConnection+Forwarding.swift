import Core
import Crypto
import NIOCore
import Operations

/// A request's way to the upstream and back.
extension ClientConnection: UpstreamClient {
    /// A client of HTTP/1.0 knows no chunks: it gets the content and then the end of the connection.
    var wantsContent: Bool { !head.isHTTP11 }

    var mayBeRepeated: Bool { head.isIdempotent }

    private var pool: UpstreamPool? { route.map { worker.pools[$0.service.index] } }

    /// Sends the request on when all of it is here. This is the last layer.
    ///
    /// A connection to a service is taken for a whole request only: clients that send slowly, or stop in the middle, would otherwise
    /// hold all there are.
    func forward() {
        exchange.dropsBody = head.method == .head
        gather()
    }

    /// Takes what has come of the body, and goes on once it is whole.
    func gather() {
        let isWhole: Bool
        do { isWhole = try scanBody() } catch {
            return refuseBody(HeadFault.malformed("The body's chunked framing is malformed.").problem)
        }
        let limit = worker.configuration.bodyLimit
        guard exchange.body.contentBytes <= limit, exchange.bodyLength <= limit + Self.framingLimit else { return refuseBody(bodyTooLarge) }
        guard worker.hold(exchange.bodyLength - exchange.heldBytes, for: self) else { return refuseBodyForRoom() }
        exchange.heldBytes = exchange.bodyLength
        guard isWhole else { return awaitBody() }
        if phase == .gathering {
            phase = .deciding
            worker.gathering -= 1
            // The service has its whole time, however long the client took. What the client may do can have changed meanwhile.
            exchange.deadline = .now() + worker.configuration.requestTimeout
            if let problem = tokenFault() { return refuse(problem) }
        }
        guard let pool else { return refuse(.notFound) }
        wait(for: pool.acquire(self))
    }

    /// Bytes that the framing of chunks may take beside the content.
    private static let framingLimit = 64 * 1024

    /// Ends a request whose body there is no room for.
    func refuseBodyForRoom() {
        refuseBody(Problem(.overloaded, "Too many requests are being received. Try again shortly.", retryAfter: 1))
    }

    private func awaitBody() {
        guard phase == .deciding else { return }
        phase = .gathering
        worker.gathering += 1
        exchange.deadline = .now() + worker.configuration.bodyTimeout
        if head.expectsContinue {
            context?.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        }
    }

    /// No ticket means that the pool has called back already, and that may have ended this exchange and begun the next.
    private func wait(for ticket: UpstreamPool.Ticket?) {
        if let ticket { exchange.ticket = ticket }
    }

    func upstreamReady(_ connection: UpstreamConnection) {
        exchange.ticket = nil
        exchange.upstream = connection
        exchange.attempts += 1
        if exchange.attempts == 1 { writeRequest() }
        phase = .forwarding
        connection.send(outbound)
    }

    /// Puts the whole request into `outbound`.
    private func writeRequest() {
        let (headLength, bodyLength) = (head.length, exchange.bodyLength)
        outbound.clear()
        let address = addressText
        inbound.withUnsafeReadableBytes { bytes in
            let capacity = headLength + bodyLength + HeadWriter.slack + (exchange.token?.contextClaims.count ?? 0) + Int(head.target.count)
            outbound.writeHead(capacity: capacity) { writer in
                let body = UnsafeRawBufferPointer(rebasing: bytes[headLength..<headLength + bodyLength])
                writeRequestHead(bytes, body: body, address: address, into: &writer)
                eachPiece(of: body) { writer.put($0) }
            }
        }
        inbound.moveReaderIndex(forwardBy: headLength + bodyLength)
        // What is sent now is in `outbound`, and need not be here too until the answer comes.
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
    }

    /// The content of a whole body, without its framing, which was found to be right.
    private func eachPiece(of body: UnsafeRawBufferPointer, _ take: (UnsafeRawBufferPointer) -> Void) {
        var scanner = head.isChunked ? BodyScanner.chunked : .length(body.count)
        _ = try? scanner.scan(body) { take(UnsafeRawBufferPointer(rebasing: body[$0])) }
    }

    private func writeRequestHead(
        _ bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, address: [UInt8], into writer: inout HeadWriter
    ) {
        // HEAD is asked as GET, so that a service has one route for both; the answer's body stays here.
        let method = writer.position
        if exchange.dropsBody { writer.put("GET") } else { writer.put(bytes[head.methodName]) }
        writer.put(" ")
        writer.put(bytes[head.target])
        let requestLine = writer.written(since: method)
        writer.put(" HTTP/1.1\r\nHost: martlet\r\n")
        if head.nominated.isEmpty {
            for run in head.kept { writer.put(bytes[run]) }
        } else {
            putUnnominated(bytes, into: &writer)
        }
        if let length = head.isChunked ? exchange.body.contentBytes : head.contentLength {
            writer.put("Content-Length: ")
            writer.put(decimal: length)
            writer.put("\r\n")
        }
        writer.put("X-Request-Id: ")
        writer.put(exchange.requestID)
        writer.put("\r\n")
        exchange.trace?.write(into: &writer)
        if let route { putContext(for: route.service, requestLine: requestLine, body: body, address: address, into: &writer) }
        writer.put("\r\n")
    }

    /// The signed context (see ``ContextSigner``), written where it is sent from.
    private func putContext(
        for service: ServiceName, requestLine: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, address: [UInt8],
        into writer: inout HeadWriter
    ) {
        let signer = worker.signers[service.index]
        writer.put("Martlet-Context: ")
        let start = writer.position
        writer.put(signer.prefix)
        if let token = exchange.token { writer.put(token.contextClaims) } else { writer.put("-") }
        writer.put(";")
        writer.put(exchange.requestID)
        writer.put(";")
        let timeLeft = (exchange.deadline - exchange.startedAt).nanoseconds / 1_000_000
        writer.put(decimal: Int(exchange.wallClock.milliseconds + timeLeft))
        writer.put(";")
        writer.put(address)
        writer.put(";")
        if exchange.body.contentBytes > 0 {
            var hash = SHA256()
            eachPiece(of: body) { hash.update(bufferPointer: $0) }
            hash.finalize().withUnsafeBytes { writer.put(base64URL: $0) }
        }
        writer.put(";")
        let mac = signer.authenticationCode(of: writer.written(since: start), requestLine: requestLine)
        mac.withUnsafeBytes { writer.put(base64URL: $0) }
        writer.put("\r\n")
    }

    /// The kept lines without those that Connection names.
    private func putUnnominated(_ bytes: UnsafeRawBufferPointer, into writer: inout HeadWriter) {
        for run in head.kept {
            var start = Int(run.start)
            while start < run.end, let lineFeed = bytes.lineFeed(from: start) {
                let line = UnsafeRawBufferPointer(rebasing: bytes[start...lineFeed])
                let name = line.prefix { $0 != UInt8(ascii: ":") }
                let isNominated = head.nominated.contains { slice in
                    bytes[slice].count == name.count && zip(bytes[slice], name).allSatisfy { $0 | 0x20 == $1 | 0x20 }
                }
                if !isNominated { writer.put(line) }
                start = lineFeed + 1
            }
        }
    }

    private func refuseBody(_ problem: Problem) {
        // What follows in the body is not awaited.
        exchange.body = .length(.max)
        refuse(problem)
    }

    // MARK: The answer

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        exchange.isAnswered = true
        exchange.status = head.status
        // The first was taken before the request went on; how many there are only the service can tell.
        if head.operations > 1, let token = exchange.token {
            for limit in [token.userLimit, token.tenantLimit] { limit?.owe(head.operations - 1, now: .now()) }
        }
        let request = self.head
        let endsWithConnection = head.isChunked && !request.isHTTP11
        keepsAlive = request.keepsAlive && !worker.isLeaving && !endsWithConnection
        answer.clear()
        answer.writeHead(capacity: head.length + body.count + HeadWriter.slack + (exchange.token?.policyLine.count ?? 0)) { writer in
            writer.put("HTTP/1.1 ")
            writer.put(decimal: head.status)
            writer.put(" ")
            writer.put(bytes[head.reason])
            writer.put("\r\n")
            for run in head.kept { writer.put(bytes[run]) }
            if head.isChunked, request.isHTTP11 { writer.put("Transfer-Encoding: chunked\r\n") }
            if !head.hasCacheControl { writer.put("Cache-Control: no-store\r\n") }
            if !head.hasContentSecurityPolicy { writer.put("Content-Security-Policy: default-src 'none'\r\n") }
            putCommonFields(&writer, withLimits: !head.hasRateLimit)
            writer.put("\r\n")
            if !exchange.dropsBody { writer.put(body) }
        }
        write(answer, isLast: isLast)
    }

    func upstreamBody(_ body: ByteBuffer, isLast: Bool) {
        write(exchange.dropsBody ? ByteBuffer() : body, isLast: isLast)
    }

    private func write(_ bytes: ByteBuffer, isLast: Bool) {
        guard isLast else {
            noteProgress()
            guard let context else { return }
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            if !context.channel.isWritable { exchange.upstream?.pauseReading() }
            return
        }
        exchange.upstream = nil
        finishExchange()
        if keepsAlive {
            context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            proceed()
        } else {
            writeLast(bytes)
        }
    }

    func upstreamFailed(_ failure: UpstreamFailure) {
        exchange.ticket = nil
        let endpoint = exchange.upstream?.endpoint
        exchange.upstream = nil
        if exchange.isAnswered {
            // The client has part of the answer; only the end of the connection can tell it that no more comes.
            closeNow()
            return
        }
        if mayRetry(failure), let pool {
            worker.metrics.retries += 1
            wait(for: pool.acquire(self, avoiding: endpoint))
            return
        }
        if failure == .overloaded {
            refuse(Problem(.overloaded, "Too many requests wait for this service. Try again shortly.", retryAfter: 1))
        } else {
            refuse(Problem(.upstreamUnavailable, "The service does not answer at the moment. Try again shortly.", retryAfter: 1))
        }
        proceed()
    }

    private func mayRetry(_ failure: UpstreamFailure) -> Bool {
        guard let pool, exchange.attempts < 3 else { return false }
        switch failure {
        case .connectFailed:
            // Nothing was sent, so anything may be tried elsewhere, if there is an elsewhere.
            guard pool.endpoints.count > 1, exchange.connectFailures < pool.endpoints.count - 1 else { return false }
            exchange.connectFailures += 1
            return true
        case .closedBeforeAnswer(isReused: true) where head.isSafe:
            // The upstream closed an idle connection as this request was sent on it: the common case, and harmless.
            return true
        case .closedBeforeAnswer where head.isIdempotent:
            return pool.budget.allowsRetry()
        case .closedBeforeAnswer, .broken, .ejected, .overloaded:
            return false
        }
    }
}
