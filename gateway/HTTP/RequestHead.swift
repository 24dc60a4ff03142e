/// What the gateway notes of a request's head: the places of the few fields that it needs, and which others go on. There is no
/// table of fields; the bytes stay where they were read.
struct RequestHead {
    enum Method: UInt8 { case get, head, post, put, patch, delete, options, other }

    var method = Method.other
    /// The method as sent.
    var methodName = Slice.empty
    /// Path and query as sent.
    var target = Slice.empty
    var path = Slice.empty
    var isHTTP11 = true
    /// Whether the client lets the connection stay open.
    var keepsAlive = true
    var host = Slice.empty
    var contentLength: Int?
    var isChunked = false
    var expectsContinue = false
    var authorization = Slice.empty
    /// How many Authorization fields there were; only exactly one is accepted.
    var authorizations = 0
    var tenant = Slice.empty
    var requestID = Slice.empty
    var traceparent = Slice.empty
    var origin = Slice.empty
    var requestedMethod = Slice.empty
    /// The value of the last X-Forwarded-For.
    var forwardedFor = Slice.empty
    var hasIdempotencyKey = false
    /// Runs of whole lines that go to the upstream as they are.
    var kept: [Slice] = []
    /// Field names listed in Connection beside `close` and `keep-alive`: these fields end here (RFC 9110, 7.6.1).
    var nominated: [Slice] = []
    /// Bytes of the head with its empty line.
    var length = 0

    var isSafe: Bool { method == .get || method == .head }
    var isIdempotent: Bool { isSafe || hasIdempotencyKey }

    /// Empties the head and keeps the memory of its lists.
    mutating func reset() {
        var kept = kept
        var nominated = nominated
        kept.removeAll(keepingCapacity: true)
        nominated.removeAll(keepingCapacity: true)
        self = RequestHead()
        self.kept = kept
        self.nominated = nominated
    }
}
