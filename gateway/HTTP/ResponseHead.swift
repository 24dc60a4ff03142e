/// What the gateway notes of an upstream's answer.
struct ResponseHead {
    var status = 0
    var contentLength: Int?
    var isChunked = false
    /// Whether the upstream lets the connection stay open.
    var keepsAlive = true
    var hasCacheControl = false
    var hasEntityTag = false
    var hasContentSecurityPolicy = false
    var content = AnswerContent()
    /// How many operations the request held, each of which counts against the limits.
    var operations = 1
    /// Whether it names a limit of its own that it has refused the request by.
    var hasRateLimit = false
    /// Runs of whole lines that go to the client as they are; framing and connection are not among them.
    var kept: [Slice] = []
    var length = 0

    mutating func reset() {
        var kept = kept
        kept.removeAll(keepingCapacity: true)
        self = ResponseHead()
        self.kept = kept
    }
}

/// An upstream's answer is not HTTP as Martlet's services speak it.
struct ResponseFault: Error {}

/// Reads an answer's head from bytes that grow, without I/O; used like ``RequestHeadParser``.
///
/// Upstreams are ours, yet as strict: an answer that parties may read differently is no answer. One that lasts until the
/// connection closes is refused, since it cannot be told from a truncated one.
struct ResponseHeadParser {
    private(set) var head = ResponseHead()
    private var lineStart = 0
    private var scanned = 0
    private var runStart = 0
    private var fields = 0

    mutating func reset() {
        var head = head
        head.reset()
        self = ResponseHeadParser()
        self.head = head
    }

    /// - Returns: Whether the head is complete.
    mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(ResponseFault) -> Bool {
        while let lineFeed = bytes.lineFeed(from: scanned) {
            guard lineFeed > lineStart, bytes[lineFeed - 1] == 0x0D else { throw ResponseFault() }
            let line = lineStart..<lineFeed - 1
            scanned = lineFeed + 1
            guard scanned <= HeadLimits.headBytes else { throw ResponseFault() }
            if lineStart == 0 {
                try statusLine(line, bytes)
                runStart = scanned
            } else if line.isEmpty {
                if lineStart > runStart { head.kept.append(Slice(runStart..<lineStart)) }
                head.length = scanned
                try finish()
                return true
            } else {
                try field(line, bytes)
            }
            lineStart = scanned
        }
        scanned = bytes.count
        guard bytes.count <= HeadLimits.headBytes else { throw ResponseFault() }
        return false
    }

    private mutating func statusLine(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(ResponseFault) {
        // "HTTP/1.1 200 OK"
        guard line.count >= 12, bytes[8] == 0x20, let status = bytes.decimal(9..<12), (100..<600).contains(status),
            line.count == 12 || bytes[12] == 0x20, bytes.isFieldValue(12..<line.upperBound)
        else { throw ResponseFault() }
        let version = UnsafeRawBufferPointer(rebasing: bytes[0..<8])
        if version.equals("HTTP/1.0") { head.keepsAlive = false } else if !version.equals("HTTP/1.1") { throw ResponseFault() }
        head.status = status
    }

    private mutating func field(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(ResponseFault) {
        fields += 1
        guard fields <= HeadLimits.fields,
            let colon = bytes.firstIndex(of: UInt8(ascii: ":"), from: line.lowerBound, to: line.upperBound),
            bytes.isToken(line.lowerBound..<colon), bytes.isFieldValue(colon + 1..<line.upperBound)
        else { throw ResponseFault() }
        let name = UnsafeRawBufferPointer(rebasing: bytes[line.lowerBound..<colon])
        let value = bytes.trimmed(colon + 1..<line.upperBound)
        head.content.note(name, value, bytes)
        if try !note(name, value, bytes) {
            if line.lowerBound > runStart { head.kept.append(Slice(runStart..<line.lowerBound)) }
            runStart = line.upperBound + 2
        }
    }

    /// - Returns: Whether the line goes to the client as it is.
    private mutating func note(_ name: UnsafeRawBufferPointer, _ value: Range<Int>, _ bytes: UnsafeRawBufferPointer)
        throws(ResponseFault) -> Bool
    {
        switch name.count {
        case 2 where name.isName("te"): return false
        case 4 where name.isName("etag"):
            head.hasEntityTag = true
            return true
        case 6 where name.isName("server"): return false
        case 7 where name.isName("upgrade") || name.isName("trailer"): return false
        case 10 where name.isName("keep-alive"): return false
        case 10 where name.isName("connection"):
            bytes.forEachElement(in: value) { element in
                if UnsafeRawBufferPointer(rebasing: bytes[element]).isName("close") { head.keepsAlive = false }
            }
            return false
        case 11 where name.isName("traceparent"): return false
        case 12 where name.isName("x-request-id"): return false
        case 13 where name.isName("cache-control"):
            head.hasCacheControl = true
            return true
        case 14 where name.isName("content-length"):
            guard head.contentLength == nil, let length = bytes.decimal(value) else { throw ResponseFault() }
            head.contentLength = length
            return false
        case 15 where name.isName("referrer-policy"): return false
        case 17 where name.isName("transfer-encoding"):
            guard !head.isChunked, UnsafeRawBufferPointer(rebasing: bytes[value]).isName("chunked") else { throw ResponseFault() }
            head.isChunked = true
            return false
        case 18 where name.isName("martlet-operations"):
            guard let operations = bytes.decimal(value) else { throw ResponseFault() }
            head.operations = operations
            return false
        case 22 where name.isName("x-content-type-options"): return false
        case 23 where name.isName("content-security-policy"):
            head.hasContentSecurityPolicy = true
            return true
        case 25 where name.isName("strict-transport-security"): return false
        // A service with limits of its own, as for wrong passwords, names the one that refused; of any other answer the gateway's are told.
        case 9 where name.isName("ratelimit") && head.status == 429:
            head.hasRateLimit = true
            return true
        case 16 where name.isName("ratelimit-policy") && head.status == 429: return true
        default:
            return
                !(name.hasNamePrefix("martlet-") || name.hasNamePrefix("proxy-") || name.hasNamePrefix("access-control-")
                || name.hasNamePrefix("ratelimit"))
        }
    }

    private mutating func finish() throws(ResponseFault) {
        if head.isChunked, head.contentLength != nil { throw ResponseFault() }
        if head.status == 101 { throw ResponseFault() }
        let hasNoBody = head.status < 200 || head.status == 204 || head.status == 304
        if hasNoBody {
            if head.isChunked || head.status == 204 && (head.contentLength ?? 0) > 0 { throw ResponseFault() }
        } else if !head.isChunked, head.contentLength == nil {
            throw ResponseFault()
        }
    }

    /// How the body of the answer to a GET or any other forwarded method is framed.
    var body: BodyScanner {
        if head.status < 200 || head.status == 204 || head.status == 304 { return .none }
        return head.isChunked ? .chunked : .length(head.contentLength ?? 0)
    }
}
