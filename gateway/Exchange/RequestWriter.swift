import Core
import Crypto
import NIOCore
import Operations

/// Writes a request as its service gets it.
extension Exchange {
    /// Puts the whole request into ``request``, or as much of it as is here.
    func writeRequest() {
        if let upload { self.upload?.isChunked = !upload.isWhole && head.contentLength == nil }
        let isChunked = upload?.isChunked ?? false
        let address = addressText
        let capacity =
            bytes.readableBytes + Int(head.target.count) + body.readableBytes + HeadWriter.slack + (token?.contextClaims.count ?? 0)
            + HeadWriter.chunkFraming
        request.writeHead(capacity: capacity) { writer in
            withHeadBytes { writeHead($0, address: address, into: &writer) }
            body.withUnsafeReadableBytes { if isChunked { writer.putChunk($0, isLast: false) } else { writer.put($0) } }
        }
        // It is in the request, which is kept for another attempt.
        body = ByteBuffer()
    }

    private func writeHead(_ bytes: UnsafeRawBufferPointer, address: [UInt8], into writer: inout HeadWriter) {
        // HEAD is asked as GET, so that a service has one route for both; the answer's body stays here.
        let method = writer.position
        if head.method == .head { writer.put("GET") } else { writer.put(bytes[head.methodName]) }
        writer.put(" ")
        writer.put(bytes[head.target])
        let requestLine = writer.written(since: method)
        writer.put(" HTTP/1.1\r\nHost: martlet\r\n")
        for run in head.kept { writer.put(bytes[run]) }
        if upload?.isChunked ?? false {
            writer.put("Transfer-Encoding: chunked\r\n")
        } else if hasBody || head.contentLength != nil {
            let isWhole = upload?.isWhole ?? true
            writer.put("Content-Length: ")
            writer.put(decimal: isWhole ? body.readableBytes : head.contentLength ?? 0)
            writer.put("\r\n")
        }
        writer.put("X-Request-Id: ")
        withRequestID { writer.put($0) }
        writer.put("\r\n")
        trace.write(into: &writer)
        if let route, route.isOpen { TenantResolution.write(namedTenant, into: &writer) }
        if let route { putContext(for: route.service, requestLine: requestLine, address: address, into: &writer) }
        writer.put("\r\n")
    }

    /// The signed context (see ``ContextSigner``), written where it is sent from.
    private func putContext(
        for service: ServiceName, requestLine: UnsafeRawBufferPointer, address: [UInt8], into writer: inout HeadWriter
    ) {
        let signer = worker.signers[service.index]
        writer.put("Martlet-Context: ")
        let start = writer.position
        writer.put(signer.prefix)
        if let token { writer.put(token.contextClaims) } else { writer.put("-") }
        writer.put(";")
        withRequestID { writer.put($0) }
        writer.put(";")
        let timeLeft = (deadline - startedAt).nanoseconds / 1_000_000
        writer.put(decimal: Int(wallClock.milliseconds + timeLeft))
        writer.put(";")
        writer.put(address)
        writer.put(";")
        if upload != nil {
            writer.put("-")
        } else if body.readableBytes > 0 {
            let digest = body.withUnsafeReadableBytes { SHA256.hash(data: $0) }
            digest.withUnsafeBytes { writer.put(base64URL: $0) }
        }
        writer.put(";")
        let mac = signer.authenticationCode(of: writer.written(since: start), requestLine: requestLine)
        mac.withUnsafeBytes { writer.put(base64URL: $0) }
        writer.put("\r\n")
    }

    /// The client's address as the signed context tells it.
    private var addressText: [UInt8] {
        guard let address, address != client.address else { return client.addressText }
        return Array(address.text.utf8)
    }
}
