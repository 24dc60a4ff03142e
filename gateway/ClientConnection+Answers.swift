import Contracts
import Core
import NIOCore

/// What the gateway says itself, and what it adds to every answer.
extension ClientConnection {
    /// Takes over the request's id and trace, or makes them.
    func identify() {
        withHeadBytes { bytes in
            let given = bytes[head.requestID]
            if isRequestID(given) {
                exchange.requestID.append(contentsOf: given)
            } else {
                makeRequestID()
            }
            exchange.trace = TraceContext(inbound: bytes[head.traceparent], random: &worker.random)
        }
    }

    private func makeRequestID() {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { memory in
            var writer = HeadWriter(memory)
            writer.put(hex: worker.random.next())
            writer.put(hex: worker.random.next())
            exchange.requestID.append(contentsOf: writer.written(since: 0))
        }
    }

    /// A head that cannot be trusted: the answer says so, and the connection ends.
    func refuseHead(_ fault: HeadFault) {
        begin()
        makeRequestID()
        exchange.trace = withHeadBytes { _ in TraceContext(inbound: UnsafeRawBufferPointer(start: nil, count: 0), random: &worker.random) }
        // What follows is unknown; so it counts as a body without end.
        exchange.body = .length(.max)
        parser.reset()
        phase = .deciding
        refuse(fault.problem)
    }

    /// Answers with problem+json.
    func refuse(_ problem: Problem) {
        let body = problem.body(requestID: String(decoding: exchange.requestID, as: UTF8.self))
        respond(status: problem.code.status, type: "application/problem+json", body: body) { writer in
            if let seconds = problem.retryAfter {
                writer.put("Retry-After: ")
                writer.put(decimal: seconds)
                writer.put("\r\n")
            }
            if problem.code.status == 401 { writer.put("WWW-Authenticate: Bearer\r\n") }
            if problem.code == .methodNotAllowed {
                writer.put(
                    head.method == .other ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" : "Allow: GET, HEAD, OPTIONS\r\n")
            }
        }
    }

    func answerPreflight() {
        guard worker.policy.crossOrigin.isEnabled, !head.origin.isEmpty, !head.requestedMethod.isEmpty else {
            return respond(status: 204, type: nil, body: []) { _ in }
        }
        let isAllowed = withHeadBytes { worker.policy.crossOrigin.allows($0[head.origin]) }
        respond(status: 204, type: nil, body: []) { writer in
            if isAllowed { writer.put(CrossOrigin.preflightLines) }
        }
    }

    /// Whether the gateway itself has what is asked for.
    var isOwnPage: Bool { withHeadBytes { $0[head.path].equals("/openapi.json") || $0[head.path].equals("/docs") } }

    func answerOwnPage() {
        guard head.isSafe else { return refuse(Problem(.methodNotAllowed, "This page allows GET and HEAD.")) }
        guard head.path.count == head.target.count else {
            let detail = "This document takes no parameters."
            return refuse(Problem(.unknownParameter, detail, faults: [.init(pointer: "?", code: .unknownParameter, detail: detail)]))
        }
        if withHeadBytes({ $0[head.path].equals("/docs") }) {
            let page = worker.shared.referencePage
            return respond(status: 200, type: "text/html; charset=utf-8", body: page.body, policy: page.policy) { _ in }
        }
        answerDocument()
    }

    /// The description of all services' routes.
    private func answerDocument() {
        let number = exchange.number
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        worker.shared.apiDocument.fetch(on: worker.eventLoop).whenComplete { result in
            let connection = bound.value
            guard connection.phase == .deciding, connection.exchange.number == number else { return }
            switch result {
            case .success(let body):
                connection.respond(status: 200, type: "application/json", body: body) { _ in }
            case .failure:
                connection.refuse(Problem(.upstreamUnavailable, "The document cannot be put together now.", retryAfter: 1))
            }
            connection.proceed()
        }
    }

    /// The client did not send its body in time. That is not the service's fault, which has not seen the request.
    func refuseLateBody() {
        refuse(
            Problem(
                .invalidRequest, "The body did not arrive whole within \(worker.policy.settings.bodyTimeout.nanoseconds / 1_000_000_000) s."
            ))
        proceed()
    }

    func answerTooLate() {
        // An answer that never came counts as one that failed, or a service that hangs would never be passed over.
        exchange.upstream?.endpoint.health.failed(now: .now())
        abandonUpstream()
        refuse(Problem(.deadlineExceeded, "No answer came within \(worker.policy.settings.requestTimeout.nanoseconds / 1_000_000_000) s."))
        proceed()
    }

    /// Writes an answer of the gateway's own and ends the exchange.
    func respond(
        status: Int, type: StaticString?, body: [UInt8], policy: [UInt8] = Array("default-src 'none'".utf8),
        fields: (inout HeadWriter) -> Void
    ) {
        // The rest of the request: here already, or never awaited.
        if phase != .forwarding { takeUnsentBody() }
        keepsAlive = head.keepsAlive && exchange.body.isDone && !worker.isLeaving
        exchange.status = status
        exchange.isAnswered = true
        answer.clear()
        answer.writeHead(capacity: HeadWriter.slack + 1024 + body.count) { writer in
            writer.put("HTTP/1.1 ")
            writer.put(decimal: status)
            writer.put(" \r\n")
            if let type {
                writer.put("Content-Type: ")
                writer.put(type)
                writer.put("\r\n")
            }
            if status != 204 {
                writer.put("Content-Length: ")
                writer.put(decimal: body.count)
                writer.put("\r\n")
            }
            fields(&writer)
            writer.put("Cache-Control: no-store\r\nContent-Security-Policy: ")
            writer.put(policy)
            writer.put("\r\n")
            putCommonFields(&writer)
            writer.put("\r\n")
            if head.method != .head { writer.put(body) }
        }
        if phase != .forwarding { dropRequest() }
        finishExchange()
        if keepsAlive {
            context?.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        } else {
            writeLast(answer)
        }
    }

    /// Follows the part of the body that is here already through its framing.
    private func takeUnsentBody() {
        guard parser.head.length > 0, inbound.readableBytes >= parser.head.length else { return }
        // Broken framing: nothing after it can be told.
        do { _ = try scanBody() } catch { exchange.body = .length(.max) }
    }

    /// Takes the request off the bytes at hand.
    private func dropRequest() {
        guard parser.head.length > 0, inbound.readableBytes >= parser.head.length else { return }
        inbound.moveReaderIndex(forwardBy: min(inbound.readableBytes, parser.head.length + exchange.bodyLength))
    }

    /// The fields that every answer carries. They come last, so that nothing an upstream sends takes their place.
    ///
    /// - Parameter withLimits: false when the answer names the limit that refused it.
    func putCommonFields(_ writer: inout HeadWriter, withLimits: Bool = true) {
        writer.put("X-Request-Id: ")
        writer.put(exchange.requestID)
        writer.put("\r\n")
        exchange.trace?.write(into: &writer)
        writer.put("X-Content-Type-Options: nosniff\r\n")
        if worker.policy.settings.sendsTransportSecurity {
            writer.put("Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n")
        }
        if withLimits { putLimits(&writer) }
        if worker.policy.crossOrigin.isEnabled { writer.put(crossOriginLines) }
        if !keepsAlive {
            writer.put("Connection: close\r\n")
        } else if !head.isHTTP11 {
            writer.put("Connection: keep-alive\r\n")
        }
    }

    /// The head is gone from `inbound` once it was sent, so what answers need of its Origin is made ready before.
    func keepCrossOriginLines() {
        withHeadBytes { bytes in
            withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 1) { memory in
                var writer = HeadWriter(memory)
                let origin = bytes[head.origin]
                worker.policy.crossOrigin.write(
                    origin: origin.count <= 512 ? origin : UnsafeRawBufferPointer(start: nil, count: 0), into: &writer)
                crossOriginLines = Array(writer.written(since: 0))
            }
        }
    }

    private func putLimits(_ writer: inout HeadWriter) {
        if let token = exchange.token {
            guard !token.policyLine.isEmpty else { return }
            writer.put(token.policyLine)
            writer.put("RateLimit: ")
            if let limit = token.userLimit {
                putLimit(limit, &writer)
                if token.tenantLimit != nil { writer.put(", ") }
            }
            if let limit = token.tenantLimit { putLimit(limit, &writer) }
            writer.put("\r\n")
        } else if let limit = exchange.addressLimit {
            writer.put("RateLimit-Policy: \"address\";q=")
            writer.put(decimal: limit.policy.count)
            writer.put(";w=")
            writer.put(decimal: limit.policy.period)
            writer.put("\r\nRateLimit: ")
            putLimit(limit, &writer)
            writer.put("\r\n")
        }
    }

    private func putLimit(_ limit: LeasedBucket, _ writer: inout HeadWriter) {
        writer.put("\"")
        writer.put(limit.nameBytes)
        writer.put("\";r=")
        writer.put(decimal: limit.remaining)
        writer.put(";t=")
        writer.put(decimal: limit.resetSeconds)
    }
}
