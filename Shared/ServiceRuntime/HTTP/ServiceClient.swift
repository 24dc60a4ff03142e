import AsyncHTTPClient
import Core
import NIOCore
import NIOHTTP1
import Operations

/// What another service answered.
public struct ServiceAnswer: Sendable {
    public var status: Int
    /// `null` when there was no body.
    public var json: JSON

    public init(status: Int, json: JSON) {
        self.status = status
        self.json = json
    }
}

/// Calls other services of Martlet, with a context signed for the one request.
public struct ServiceClient: Sendable {
    private let urls: [ServiceName: String]
    private let signers: [ServiceName: ContextSigner]
    private let client: HTTPClient

    /// - Parameter keys: of the process that calls: it reaches those services that it has a key with (``Core/ContextPair``).
    public init(urls: [ServiceName: String], keys: ContextKeys, client: HTTPClient) {
        self.urls = urls
        signers = Dictionary(
            uniqueKeysWithValues: ServiceName.allCases.compactMap { name in keys.signer(for: name.rawValue).map { (name, $0) } })
        self.client = client
    }

    /// Sends a request, no longer than until the context's deadline. An answer of any status is returned.
    ///
    /// - Throws: ``Problem`` `upstream_unavailable` when the service cannot be reached or does not answer in time.
    public func call(
        _ service: ServiceName, _ method: Method, _ path: String, body: JSON? = nil, as context: SystemContext
    ) async throws -> ServiceAnswer {
        try await call(service, method, path, bytes: body?.bytes, caller: .service(context))
    }

    /// Sends a body that is JSON already.
    ///
    /// - Parameter caller: who asks; a service is told as the one that this process is, whatever the context says.
    public func call(
        _ service: ServiceName, _ method: Method, _ path: String, bytes: [UInt8]?, caller: Caller
    ) async throws -> ServiceAnswer {
        guard let signer = signers[service] else { throw Problem.internal("no key to call \(service.rawValue) with") }
        // A job may have longer than any one request of it.
        var edge = caller.edge
        edge.deadline = min(edge.deadline, Timestamp.now.advanced(by: ContextSigner.longestLife))
        var request = HTTPClientRequest(url: (urls[service] ?? "") + path)
        request.method = HTTPMethod(rawValue: method.rawValue)
        request.headers.add(
            name: ContextSigner.headerName,
            value: signer.sign(caller.with(edge), method: method.rawValue, target: path, body: .whole(bytes ?? [])))
        if let bytes {
            request.headers.add(name: "content-type", value: Reply.jsonType)
            request.body = .bytes(ByteBuffer(bytes: bytes))
        }
        let left = edge.deadline.timeLeft
        guard left > .zero else { throw Problem(.deadlineExceeded, "The request took too long.") }
        do {
            let response = try await client.execute(request, timeout: .init(left))
            let body = try await response.body.collect(upTo: 16 << 20)
            let bytes = Array(body.readableBytesView)
            return ServiceAnswer(status: Int(response.status.code), json: bytes.isEmpty ? .null : try JSONParser.parse(bytes))
        } catch {
            throw Self.unavailable("calling \(service.rawValue) failed", underlying: error)
        }
    }

    /// What a caller is told when another service cannot do its part, be it that it gave an answer of no use.
    ///
    /// - Parameter context: for the log only.
    public static func unavailable(_ context: String, underlying: (any Error)? = nil) -> Problem {
        Problem(
            .upstreamUnavailable, "A part of the platform is not available at the moment.", retryAfter: 1, context: context,
            underlying: underlying)
    }
}
