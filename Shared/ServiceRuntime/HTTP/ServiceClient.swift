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
    private let signer: ContextSigner
    private let client: HTTPClient

    public init(urls: [ServiceName: String], signer: ContextSigner, client: HTTPClient) {
        self.urls = urls
        self.signer = signer
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
    public func call(
        _ service: ServiceName, _ method: Method, _ path: String, bytes: [UInt8]?, caller: Caller
    ) async throws -> ServiceAnswer {
        var request = HTTPClientRequest(url: (urls[service] ?? "") + path)
        request.method = HTTPMethod(rawValue: method.rawValue)
        request.headers.add(name: ContextSigner.headerName, value: signer.sign(caller, method: method.rawValue, target: path))
        if let bytes {
            request.headers.add(name: "content-type", value: Reply.jsonType)
            request.body = .bytes(ByteBuffer(bytes: bytes))
        }
        let left = caller.edge.deadline.timeLeft
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
