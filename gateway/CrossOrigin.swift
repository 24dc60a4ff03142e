/// Which browsers' pages may read answers (Fetch, CORS): those of origins in the settings, compared as a whole.
struct CrossOrigin: Sendable {
    private let origins: [[UInt8]]

    init(origins: [String]) { self.origins = origins.map { Array($0.utf8) } }

    var isEnabled: Bool { !origins.isEmpty }

    func allows(_ origin: UnsafeRawBufferPointer) -> Bool { origins.contains { origin.equals($0) } }

    func write(origin: UnsafeRawBufferPointer, into writer: inout HeadWriter) {
        writer.put("Vary: Origin\r\n")
        guard !origin.isEmpty, allows(origin) else { return }
        writer.put("Access-Control-Allow-Origin: ")
        writer.put(origin)
        writer.put("\r\n")
        writer.put(Self.exposedFields)
    }

    /// What pages may read beside the few fields that they always may. Credentials are not allowed: there are no cookies, and a token is
    /// sent by the page itself.
    private static let exposedFields: StaticString = """
        Access-Control-Expose-Headers: ETag, Idempotent-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, \
        X-Request-Id, traceparent\r

        """

    /// What a preflight is told beside ``write(origin:into:)``.
    static let preflightLines: StaticString = """
        Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r
        Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id, X-Tenant, traceparent\r
        Access-Control-Max-Age: 600\r

        """
}
