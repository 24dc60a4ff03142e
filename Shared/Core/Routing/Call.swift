/// The methods that routes use.
public enum Method: String, Sendable, CaseIterable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
}

/// One request as a handler sees it, without the transport.
public struct Call: Sendable {
    public var method: Method
    /// The route's template, such as `/v1/leads/{id}`: for metrics and idempotency.
    public var route: String
    /// The path as it was sent, without the query.
    public var path: String
    /// What the template's names in braces stood for.
    public var parameters: [String: String]
    public var query: Query
    /// Names in lower case.
    public var headers: [(name: String, value: String)]
    /// Empty where the route's body is a stream.
    public var body: [UInt8]
    /// The body of a route that takes it as a stream (``Streaming``); its handler runs on no thread that holds connections of the database. The
    /// context's deadline may pass meanwhile: work that begins later is given one of its own.
    public var upload: Upload?
    public var caller: Caller

    public init(
        method: Method, route: String, path: String, parameters: [String: String] = [:], query: Query = Query(),
        headers: [(name: String, value: String)] = [], body: [UInt8] = [], upload: Upload? = nil, caller: Caller
    ) {
        self.method = method
        self.route = route
        self.path = path
        self.parameters = parameters
        self.query = query
        self.headers = headers
        self.body = body
        self.upload = upload
        self.caller = caller
    }

    /// The value of a header field that occurs at most once; the name in lower case.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The id in the path.
    ///
    /// - Throws: ``Problem`` `not_found` when it is not a UUID: such a record never was.
    public func id<Kind>(_ name: String = "id", of kind: Identifier<Kind>.Type = Identifier<Kind>.self) throws(Problem) -> Identifier<Kind>
    {
        guard let text = parameters[name], let id = Identifier<Kind>(text) else { throw .notFound }
        return id
    }

    /// The text in the path, decoded; `nil` when its percent-encoding is broken, is no UTF-8, or holds a NUL.
    public func text(_ name: String) -> String? {
        parameters[name].flatMap { PercentEncoding.decode($0.utf8, plusIsSpace: false) }
    }

    /// What the body is said to be, without parameters, in lower case.
    public var mediaType: String? { header("content-type")?.split(separator: ";").first.map { $0.lowercased().filter { $0 != " " } } }

    /// The body as JSON.
    ///
    /// - Throws: ``Problem`` `unsupported_media_type` when it is declared as anything but `application/json` or
    ///   `application/merge-patch+json`; `invalid_json`.
    public func json() throws(Problem) -> JSON {
        guard let type = mediaType, type == "application/json" || type == "application/merge-patch+json" else {
            throw Problem(
                .unsupportedMediaType, "Send the body as application/json.",
                faults: [.init(pointer: "Content-Type", code: .unsupportedMediaType, detail: "Expected application/json.")])
        }
        return try JSONParser.parse(body)
    }
}

extension Call {
    /// Refuses a body where there is nothing that it could say, as with DELETE: it would be ignored.
    ///
    /// - Throws: ``Problem`` `invalid_parameter`.
    public func refuseBody() throws(Problem) {
        guard !body.isEmpty else { return }
        let detail = "This route takes no body."
        throw Problem(.invalidParameter, detail, faults: [.init(pointer: "", code: .notAllowed, detail: detail)])
    }
}

/// What a handler answers.
public struct Reply: Sendable {
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// Writes a body of unknown length instead of ``body``, piece by piece, each when the client has taken the one before. An error
    /// after the first piece ends the connection, so that the client sees that the answer is not whole. Its task is cancelled when the client
    /// goes; that of a route whose answer is a stream (``Streaming``) when the service is to stop too, and then the answer ends as if it were whole.
    public var stream: (@Sendable (_ write: (_ piece: [UInt8]) async throws -> Void) async throws -> Void)?

    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public static let jsonType = "application/json"

    /// An answer with a JSON body.
    public static func json(_ body: [UInt8], status: Int = 200, headers: [(name: String, value: String)] = []) -> Reply {
        Reply(status: status, headers: [("content-type", jsonType)] + headers, body: body)
    }

    public static func json(_ value: JSON, status: Int = 200, headers: [(name: String, value: String)] = []) -> Reply {
        json(value.bytes, status: status, headers: headers)
    }

    public static let noContent = Reply(status: 204)

    /// For the gateway, on an answer to several operations in one request: how many, so that each counts against the limits.
    public static let operationsHeader = "martlet-operations"

    /// The same for a request that has changed further records, each of which counts as another operation.
    public func counting(further: Int) -> Reply {
        guard further > 0 else { return self }
        var reply = self
        reply.headers.append((Self.operationsHeader, String(1 + further)))
        return reply
    }
}
