/// Reads a request's head from bytes that grow, strictly (RFC 9112 without its leniencies), without I/O. Each line is looked at once.
///
/// Call ``parse(_:)`` with all bytes from the head's first one each time more have come, until it returns `true`; the head is in
/// ``head`` then. Call ``reset()`` before the next head.
struct RequestHeadParser {
    private(set) var head = RequestHead()
    private var lineStart = 0
    private var scanned = 0
    private var fields = 0
    /// Where the current run of kept lines started.
    private var runStart = 0
    private var hasHost = false
    private var hasTransferEncoding = false
    private var hasExpect = false

    mutating func reset() {
        var head = head
        head.reset()
        self = RequestHeadParser()
        self.head = head
    }

    /// Whether any byte of a line was seen.
    var hasStarted: Bool { scanned > 0 }

    /// - Returns: Whether the head is complete.
    mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(HeadFault) -> Bool {
        while let lineFeed = bytes.lineFeed(from: scanned) {
            guard lineFeed > lineStart, bytes[lineFeed - 1] == 0x0D else { throw .malformed("A line must end with CR LF.") }
            let line = lineStart..<lineFeed - 1
            scanned = lineFeed + 1
            guard scanned <= HeadLimits.headBytes else { throw lineStart == 0 ? .targetTooLong : .headersTooLarge }
            if lineStart == 0 {
                try requestLine(line, bytes)
                runStart = scanned
            } else if line.isEmpty {
                endRun(at: lineStart)
                head.length = scanned
                try finish(bytes)
                return true
            } else {
                try field(line, bytes)
            }
            lineStart = scanned
        }
        scanned = bytes.count
        if lineStart == 0, bytes.count > HeadLimits.targetBytes + 64 { throw .targetTooLong }
        if bytes.count > HeadLimits.headBytes { throw .headersTooLarge }
        return false
    }

    private mutating func requestLine(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        guard let methodEnd = bytes.firstIndex(of: 0x20, from: line.lowerBound, to: line.upperBound),
            methodEnd <= 32, bytes.isToken(line.lowerBound..<methodEnd),
            let targetEnd = bytes.firstIndex(of: 0x20, from: methodEnd + 1, to: line.upperBound)
        else { throw .malformed("The request line is malformed.") }
        let version = UnsafeRawBufferPointer(rebasing: bytes[targetEnd + 1..<line.upperBound])
        if version.equals("HTTP/1.0") {
            head.isHTTP11 = false
            head.keepsAlive = false
        } else if !version.equals("HTTP/1.1") {
            throw .malformed("The HTTP version must be 1.1 or 1.0.")
        }
        head.methodName = Slice(line.lowerBound..<methodEnd)
        head.method = Self.method(bytes[head.methodName])
        let target = methodEnd + 1..<targetEnd
        guard target.count <= HeadLimits.targetBytes else { throw .targetTooLong }
        guard !target.isEmpty, bytes[target.lowerBound] == UInt8(ascii: "/") else {
            throw .malformed("The request target must be a path.")
        }
        let question = bytes.firstIndex(of: UInt8(ascii: "?"), from: target.lowerBound, to: target.upperBound)
        head.target = Slice(target)
        head.path = Slice(target.lowerBound..<(question ?? target.upperBound))
        guard TargetRules.isPath(bytes[head.path]) else { throw .malformed("The path has a form that is not accepted.") }
        if let question, !TargetRules.isQuery(bytes, question + 1..<target.upperBound) {
            throw .malformed("The query has a character that must be percent-encoded.")
        }
    }

    private static func method(_ name: UnsafeRawBufferPointer) -> RequestHead.Method {
        switch name.count {
        case 3: name.equals("GET") ? .get : name.equals("PUT") ? .put : .other
        case 4: name.equals("POST") ? .post : name.equals("HEAD") ? .head : .other
        case 5: name.equals("PATCH") ? .patch : .other
        case 6: name.equals("DELETE") ? .delete : .other
        case 7: name.equals("OPTIONS") ? .options : .other
        default: .other
        }
    }

    private mutating func field(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        fields += 1
        guard fields <= HeadLimits.fields else { throw .headersTooLarge }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":"), from: line.lowerBound, to: line.upperBound),
            bytes.isToken(line.lowerBound..<colon)
        else { throw .malformed("A header field's name is malformed.") }
        let value = bytes.trimmed(colon + 1..<line.upperBound)
        guard bytes.isFieldValue(value) else { throw .malformed("A header field's value has a control character.") }
        let name = UnsafeRawBufferPointer(rebasing: bytes[line.lowerBound..<colon])
        if try !note(name, value, bytes) {
            endRun(at: line.lowerBound)
            runStart = line.upperBound + 2
        }
    }

    private mutating func endRun(at end: Int) {
        if end > runStart { head.kept.append(Slice(runStart..<end)) }
    }

    /// Notes what the gateway needs of the field.
    ///
    /// - Returns: Whether the line goes to the upstream as it is.
    private mutating func note(_ name: UnsafeRawBufferPointer, _ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault)
        -> Bool
    {
        switch name.count {
        case 2 where name.isName("te"): return false
        case 4 where name.isName("host"):
            guard !hasHost else { throw .malformed("There is more than one Host.") }
            guard TargetRules.isHost(bytes, value) else { throw .malformed("Host is malformed.") }
            hasHost = true
            head.host = Slice(value)
            return false
        case 6 where name.isName("expect"):
            guard !hasExpect, UnsafeRawBufferPointer(rebasing: bytes[value]).isName("100-continue") else {
                throw .malformed("Only Expect: 100-continue is supported.")
            }
            hasExpect = true
            head.expectsContinue = true
            return false
        case 6 where name.isName("origin"):
            head.origin = Slice(value)
            return false
        case 7 where name.isName("upgrade") || name.isName("trailer"): return false
        case 8 where name.isName("x-tenant"):
            guard head.tenant.isEmpty, !value.isEmpty else { throw .malformed("X-Tenant must occur once and not be empty.") }
            head.tenant = Slice(value)
            return false
        case 9 where name.isName("forwarded") || name.isName("x-real-ip"): return false
        case 10 where name.isName("connection"):
            connection(value, bytes)
            return false
        case 10 where name.isName("keep-alive"): return false
        case 11 where name.isName("traceparent"):
            // A second one makes both void: the value is no longer of the right length.
            head.traceparent = head.traceparent.isEmpty ? Slice(value) : Slice(start: 0, count: 1)
            return false
        case 12 where name.isName("x-request-id"):
            head.requestID = head.requestID.isEmpty ? Slice(value) : .empty
            return false
        case 13 where name.isName("authorization"):
            head.authorizations += 1
            head.authorization = Slice(value)
            return false
        case 14 where name.isName("content-length"):
            guard head.contentLength == nil else { throw .malformed("There is more than one Content-Length.") }
            guard let length = bytes.decimal(value) else { throw .malformed("Content-Length is not a decimal number.") }
            head.contentLength = length
            return false
        case 15 where name.isName("x-forwarded-for"):
            head.forwardedFor = Slice(value)
            return false
        case 15 where name.isName("idempotency-key"):
            head.hasIdempotencyKey = true
            return true
        case 17 where name.isName("transfer-encoding"):
            guard !hasTransferEncoding, UnsafeRawBufferPointer(rebasing: bytes[value]).isName("chunked") else {
                throw .malformed("The only transfer coding accepted is chunked, once.")
            }
            hasTransferEncoding = true
            head.isChunked = true
            return false
        case 29 where name.isName("access-control-request-method"):
            head.requestedMethod = Slice(value)
            return false
        default: return !Self.endsHere(name)
        }
    }

    /// Fields that would let a client speak in the name of a proxy or of the gateway, or ask for another method or path than
    /// the one that was checked.
    private static func endsHere(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name[0] | 0x20 {
        case UInt8(ascii: "m"): name.hasNamePrefix("martlet-")
        case UInt8(ascii: "p"): name.hasNamePrefix("proxy-")
        case UInt8(ascii: "h"): name.isName("http2-settings")
        case UInt8(ascii: "x"):
            name.hasNamePrefix("x-forwarded-") || name.hasNamePrefix("x-http-method") || name.isName("x-method-override")
                || name.isName("x-original-url") || name.isName("x-rewrite-url") || name.isName("x-user")
        default: false
        }
    }

    private mutating func connection(_ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) {
        bytes.forEachElement(in: value) { element in
            let option = UnsafeRawBufferPointer(rebasing: bytes[element])
            if option.isName("close") {
                head.keepsAlive = false
            } else if option.isName("keep-alive") {
                if !head.isHTTP11 { head.keepsAlive = true }
            } else {
                head.nominated.append(Slice(element))
            }
        }
    }

    private mutating func finish(_ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        // What Connection names ends here, so it makes no retry safe (RFC 9110, section 7.6.1).
        if head.nominated.contains(where: { bytes[$0].isName("idempotency-key") }) { head.hasIdempotencyKey = false }
        if head.isHTTP11, !hasHost { throw .malformed("Host is missing.") }
        if head.isChunked {
            if head.contentLength != nil { throw .malformed("Content-Length and Transfer-Encoding exclude each other.") }
            if !head.isHTTP11 { throw .malformed("HTTP/1.0 has no transfer codings.") }
        }
    }
}
