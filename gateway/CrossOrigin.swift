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
        writer.put("\r\nAccess-Control-Allow-Credentials: true\r\n")
        writer.put(
            "Access-Control-Expose-Headers: ETag, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, traceparent\r\n"
        )
    }

    /// What a preflight is told beside ``write(origin:into:)``.
    static let preflightLines: StaticString = """
        Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r
        Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id, X-Tenant, traceparent\r
        Access-Control-Max-Age: 600\r

        """
}
