/// What the gateway notes of a request's head, whichever protocol it came by: the places of the few fields that it needs, and which
/// others go on. There is no table of fields; all slices are of one buffer, in which the fields stand as lines `name: value` CR LF.
struct RequestHead {
    enum Method: UInt8 { case get, head, post, put, patch, delete, options, other }

    var method = Method.other
    /// The method as sent.
    var methodName = Slice.empty
    /// Path and query as sent.
    var target = Slice.empty
    var path = Slice.empty
    /// The authority that the request is for: the target's, or else that of Host (RFC 9112, 3.2.2; RFC 9113, 8.3.1).
    var host = Slice.empty
    var contentLength: Int?
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
    var accepted = AcceptedCodings()
    /// Runs of whole lines that go to the upstream as they are.
    var kept: [Slice] = []

    var isSafe: Bool { method == .get || method == .head }
    var isIdempotent: Bool { isSafe || hasIdempotencyKey }

    static func method(_ name: UnsafeRawBufferPointer) -> Method {
        switch name.count {
        case 3: name.equals("GET") ? .get : name.equals("PUT") ? .put : .other
        case 4: name.equals("POST") ? .post : name.equals("HEAD") ? .head : .other
        case 5: name.equals("PATCH") ? .patch : .other
        case 6: name.equals("DELETE") ? .delete : .other
        case 7: name.equals("OPTIONS") ? .options : .other
        default: .other
        }
    }
}
