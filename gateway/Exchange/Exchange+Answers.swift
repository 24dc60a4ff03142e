import Contracts
import Core
import NIOCore

/// What the gateway says itself, and what it adds to every answer.
extension Exchange {
    /// Answers with problem+json.
    func refuse(_ problem: Problem) {
        let body = problem.body(requestID: requestIDText)
        let answer = OwnAnswer(status: problem.code.status, type: "application/problem+json", body: ByteBuffer(bytes: body))
        respond(answer, isShared: false) { writer in
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
            if problem.code == .unsupportedMediaType { writer.put(BodyCoding.refusalLine) }
        }
    }

    func respond(_ answer: OwnAnswer) { respond(answer, isShared: true) { _ in } }

    private func respond(_ answer: OwnAnswer, isShared: Bool, fields: (inout HeadWriter) -> Void) {
        guard case .answer(let held) = machine.handle(.answeredHere) else { return }
        giveUp(held)
        status = answer.status
        let isEmpty = answer.status == 204 || head.method == .head
        let compressedBody = policy.settings.compresses && head.accepted.prefersGzip ? answer.compressedBody : nil
        let body = compressedBody ?? answer.body
        let length = answer.status == 204 ? nil : body.readableBytes
        let lines = worker.writeLines { writer in
            if let type = answer.type {
                writer.put("Content-Type: ")
                writer.put(type)
                writer.put("\r\n")
            }
            writer.put(answer.lines)
            if answer.compressedBody != nil { writer.put(AnswerCompression.varyLine) }
            if compressedBody != nil { writer.put(AnswerCompression.codingLine) }
            fields(&writer)
            writer.put(AnswerFields.cacheControl(hasEntityTag: false))
            writer.put("Content-Security-Policy: ")
            if let policy = answer.policy { writer.put(policy) } else { writer.put(AnswerFields.closedPolicy) }
            writer.put("\r\nDate: ")
            writer.put(worker.date.line(at: wallClock))
            writer.put("\r\n")
            putCommonFields(&writer)
        }
        bytesSent = isEmpty ? 0 : body.readableBytes
        let transport = finish()
        let answerHead = AnswerHead(status: answer.status, contentLength: length, dropsBody: head.method == .head)
        if isShared, !isEmpty, body.readableBytes > 0 {
            transport?.answer(answerHead, lines: lines, body: .init(start: nil, count: 0), isLast: false)
            transport?.write(body, isShared: true, isLast: true)
        } else {
            body.withUnsafeReadableBytes { transport?.answer(answerHead, lines: lines, body: $0, isLast: true) }
        }
    }

    func answerTooLate() {
        // An answer that never came counts as one that failed, or a service that hangs would never be passed over.
        upstream?.abandonLate(for: self)
        refuse(Problem(.deadlineExceeded, "No answer came within \(policy.settings.requestTimeout.nanoseconds / 1_000_000_000) s."))
    }

    /// The fields that every answer carries. They come last, so that nothing an upstream sends takes their place.
    ///
    /// - Parameter withLimits: false when the answer names the limit that refused it.
    func putCommonFields(_ writer: inout HeadWriter, withLimits: Bool = true) {
        writer.put("X-Request-Id: ")
        withRequestID { writer.put($0) }
        writer.put("\r\n")
        trace.write(into: &writer)
        writer.put(AnswerFields.always)
        if policy.settings.sendsTransportSecurity { writer.put("Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n") }
        if withLimits { putLimits(&writer) }
        if policy.crossOrigin.isEnabled { withHeadBytes { policy.crossOrigin.write(origin: $0[head.origin], into: &writer) } }
    }

    private func putLimits(_ writer: inout HeadWriter) {
        if let token = token ?? refusedToken {
            guard !token.policyLine.isEmpty else { return }
            writer.put(token.policyLine)
            writer.put("RateLimit: ")
            if let limit = token.userLimit {
                putLimit(limit, &writer)
                if token.tenantLimit != nil { writer.put(", ") }
            }
            if let limit = token.tenantLimit { putLimit(limit, &writer) }
            writer.put("\r\n")
        } else if let limit = addressLimit {
            writer.put("RateLimit-Policy: \"")
            writer.put(limit.nameBytes)
            writer.put("\";q=")
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
