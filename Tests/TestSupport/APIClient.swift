import AsyncHTTPClient
import Core
import Foundation
import NIOCore
import NIOHTTP1
import Testing

/// One answer of the platform.
public struct APIAnswer: Sendable {
    public var status: Int
    public var headers: HTTPHeaders
    public var body: [UInt8]

    /// The body as JSON; `null` when it is empty or none.
    public var json: JSON { (try? JSONParser.parse(body)) ?? .null }
    public var text: String { String(decoding: body, as: UTF8.self) }
    /// The `code` of a problem.
    public var code: String? { json["code"]?.string }
    public func header(_ name: String) -> String? { headers.first(name: name) }
    /// Every field of the name.
    public func fields(_ name: String) -> [String] { headers[name] }
}

/// Calls the platform the way an outside consumer does.
public struct APIClient: Sendable {
    public var url: String
    public var token: String?

    public init(url: String, token: String? = nil) {
        self.url = url
        self.token = token
    }

    /// Follows no redirection: where an answer leads is part of it.
    private static let client = {
        var configuration = HTTPClient.Configuration.singletonConfiguration
        configuration.redirectConfiguration = .disallow
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    public func signedIn(_ token: String?) -> APIClient { APIClient(url: url, token: token) }

    /// Sends a request.
    ///
    /// - Parameter expecting: the status that the test relies on; any other is recorded with both sides of the exchange.
    /// - Throws: when no answer came.
    @discardableResult
    public func send(
        _ method: Core.Method, _ path: String, _ body: JSON? = nil, headers: [(String, String)] = [], expecting: Int? = nil,
        timeout: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> APIAnswer {
        try await send(
            method.rawValue, path, bytes: body?.bytes, headers: (body == nil ? [] : [("content-type", "application/json")]) + headers,
            expecting: expecting, timeout: timeout, sourceLocation: sourceLocation)
    }

    /// Sends a body as it is.
    @discardableResult
    public func send(
        _ method: String, _ path: String, bytes: [UInt8]?, headers: [(String, String)] = [], expecting: Int? = nil,
        timeout: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> APIAnswer {
        var request = HTTPClientRequest(url: url + path)
        request.method = HTTPMethod(rawValue: method)
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let bytes { request.body = .bytes(ByteBuffer(bytes: bytes)) }
        let response = try await Self.client.execute(request, timeout: TimeAmount(timeout))
        let buffer = try await response.body.collect(upTo: 64 << 20)
        let answer = APIAnswer(status: Int(response.status.code), headers: response.headers, body: Array(buffer.readableBytesView))
        if let expecting, answer.status != expecting {
            Issue.record(
                "\(method) \(path) \(bytes.map { String(decoding: $0.prefix(2000), as: UTF8.self) } ?? "")\n→ \(answer.status), expected \(expecting)\n\(answer.text.prefix(2000))",
                sourceLocation: sourceLocation)
        }
        return answer
    }
}

/// Waits until a condition holds, looking again and again; for what another process does and tells nobody.
///
/// - Throws: ``TimedOut`` after the limit.
public func eventually(
    _ what: String, within limit: Duration = .seconds(30), every pause: Duration = .milliseconds(20),
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
        if try await condition() { return }
        try await Task.sleep(for: pause)
    }
    throw TimedOut(what: what)
}

public struct TimedOut: Error, CustomStringConvertible {
    public var what: String
    public var description: String { "did not happen in time: \(what)" }
}
