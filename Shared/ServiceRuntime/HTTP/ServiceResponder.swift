import Core
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Operations
import Postgres
import ServiceLifecycle

/// The context that Hummingbird makes for a request; Martlet's own is in the signed header.
struct ServiceRequestContext: Hummingbird.RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}

/// From a request to its answer: verifies the signed context, finds the route, reads the body, calls the handler, and is the one
/// place where an error becomes an answer and a log line.
struct ServiceResponder: HTTPResponder {
    let routes: [Route]
    let table: RouteTable
    let verifier: ContextVerifier
    let metrics: RouteMetrics
    let refusals: ContextRefusals
    let readiness: Readiness
    let silenceLimit: Duration
    let openAPI: [UInt8]
    let logger: Logger

    init(
        parts: ServiceParts, verifier: ContextVerifier, metrics: RouteMetrics, refusals: ContextRefusals, readiness: Readiness,
        silenceLimit: Duration, logger: Logger
    ) {
        routes = parts.routes
        table = RouteTable(parts.routes)
        self.verifier = verifier
        self.metrics = metrics
        self.refusals = refusals
        self.readiness = readiness
        self.silenceLimit = silenceLimit
        openAPI = OpenAPI.document(routes: parts.routes, schemas: parts.schemas).bytes
        self.logger = logger
    }

    func respond(to request: Request, context: ServiceRequestContext) async throws -> Response {
        let start = ContinuousClock.now
        let target = request.head.path ?? "/"
        let cut = target.firstIndex(of: "?")
        let path = String(target[..<(cut ?? target.endIndex)])
        var routeIndex: Int?
        var caller: Caller?
        let fields = ReadFields(request.headers)
        let reply: Reply
        do {
            if path == "/openapi.json", request.method == .get {
                try cut.map { try Query(target[target.index(after: $0)...]) }?.allowOnly([String]())
                return Self.response(.json(openAPI), on: context.channel)
            }
            // Whether the address answers at all, as a gateway asks that has lost it: nobody is told anything, and it is no attempt to get past.
            if path == "/livez", request.method == .get, fields.context == nil {
                return Response(status: .noContent, headers: readiness.state == .draining ? [.connection: "close"] : [:])
            }
            let verified = try verify(fields.context, method: request.method.rawValue, target: target)
            caller = verified.caller
            let method = Method(rawValue: request.method.rawValue)
            switch table.find(method, path) {
            case .none:
                throw Problem.notFound
            case .otherMethods(let methods):
                throw MethodNotAllowed(allowed: methods)
            case .route(let index, let parameters):
                routeIndex = index
                let route = routes[index]
                var call = Call(
                    method: route.method, route: route.path, path: path, parameters: parameters,
                    query: try cut.map { try Query(target[target.index(after: $0)...]) } ?? Query(), headers: try fields.passedOn(),
                    caller: route.method == .get
                        ? verified.caller.watched(by: Presence { [channel = context.channel] in !channel.isActive }) : verified.caller)
                if case .upload(let types, let limit) = route.streaming {
                    reply = try await streamed(request, fields, of: types, limit: limit, as: verified, on: context.channel, to: route, call)
                } else {
                    call.body = try await body(of: request, fields, limit: route.bodyLimit, as: verified)
                    reply = try await route.handler(call)
                }
            }
        } catch {
            reply = render(error, caller: caller, route: routeIndex, trace: fields.trace)
        }
        metrics.record(route: routeIndex, status: reply.status, duration: ContinuousClock.now - start)
        let (route, trace) = (routeIndex, fields.trace)
        let stopsWithService = routeIndex.map { routes[$0].streaming == .answer } ?? false
        var response = Self.response(reply, on: context.channel, stopsWithService: stopsWithService) { [caller] error in
            log(Self.problem(for: error), "answer broken off", caller: caller, route: route, trace: trace)
        }
        if let caller { response.headers[.requestID] = caller.edge.requestID }
        // The gateway sends its next request elsewhere, and none on a connection that is about to close (RFC 9112, section 9.6).
        if readiness.state == .draining { response.headers[.connection] = "close" }
        return response
    }

    private func verify(_ value: String?, method: String, target: String) throws(Problem) -> VerifiedContext {
        try refusals.counting { () throws(Problem) in try verifier.verify(value, method: method, target: target) }
    }

    /// Calls the handler with a body that is still to come, on the threads that wait for nobody (Shared/Decisions/0006): it is read and computed
    /// with for as long as it takes. It ends when the client has gone or sends nothing more.
    private func streamed(
        _ request: Request, _ fields: ReadFields, of types: [String], limit: Int, as verified: VerifiedContext, on channel: any Channel,
        to route: Route, _ call: Call
    ) async throws -> Reply {
        try refusals.counting { () throws(Problem) in try verified.checkStreamed() }
        guard let type = call.mediaType, types.contains(type) else {
            let list = types.joined(separator: " or ")
            throw Problem(
                .unsupportedMediaType, "Send the body as \(list).",
                faults: [.init(pointer: "Content-Type", code: .unsupportedMediaType, detail: "Expected \(list).")])
        }
        let announced = try fields.announced(limit: limit)
        let silence = UploadSilence(limit: silenceLimit)
        var call = call
        call.upload = Upload(UploadPieces(body: request.body, limit: limit, announced: announced, silence: silence))
        do {
            return try await withTaskExecutorPreference(globalConcurrentExecutor) { [call] in
                try await channel.whileOpen(or: silence.watch) { try await route.handler(call) }
            }
        } catch is ReaderGone {
            throw Self.cutOff()
        }
    }

    /// The body, which must be the one that was signed.
    private func body(of request: Request, _ fields: ReadFields, limit: Int, as verified: VerifiedContext) async throws -> [UInt8] {
        let bytes = try await Self.body(of: request, fields, limit: limit)
        try refusals.counting { () throws(Problem) in try verified.check(bytes) }
        return bytes
    }

    private static func body(of request: Request, _ fields: ReadFields, limit: Int) async throws -> [UInt8] {
        let announced = try fields.announced(limit: limit)
        if announced == 0 { return [] }
        var bytes: [UInt8] = []
        do {
            for try await chunk in request.body {
                guard bytes.count + chunk.readableBytes <= limit else { throw tooLarge(limit) }
                bytes.append(contentsOf: chunk.readableBytesView)
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw cutOff(error)
        }
        return bytes
    }

    static func tooLarge(_ limit: Int) -> Problem { Problem(.bodyTooLarge, "The body may have up to \(limit) bytes.") }

    /// Whoever sent it is gone, as when the gateway gives up an upload; that is no fault of ours.
    static func cutOff(_ error: (any Error)? = nil) -> Problem {
        Problem(.invalidRequest, "The body ended before it was whole.", underlying: error)
    }

    private func render(_ error: any Error, caller: Caller?, route: Int?, trace: String?) -> Reply {
        var headers: [(name: String, value: String)] = [("content-type", "application/problem+json")]
        let problem = Self.problem(for: error)
        if let error = error as? MethodNotAllowed { headers.append(("allow", error.list)) }
        if problem.operations > 1 { headers.append((Reply.operationsHeader, String(problem.operations))) }
        if let seconds = problem.retryAfter { headers.append(("retry-after", String(seconds))) }
        if let limit = problem.limit {
            headers.append(("ratelimit-policy", "\"\(limit.name)\";q=\(limit.count);w=\(limit.period)"))
            headers.append(("ratelimit", "\"\(limit.name)\";r=0;t=\(problem.retryAfter ?? limit.period)"))
        }
        if problem.code.status == 401 { headers.append(("www-authenticate", "Bearer")) }
        log(problem, "request failed", caller: caller, route: route, trace: trace)
        return Reply(status: problem.code.status, headers: headers, body: problem.body(requestID: caller?.edge.requestID ?? ""))
    }

    private static func problem(for error: any Error) -> Problem {
        switch error {
        case let error as Problem: error
        case let error as PostgresError: error.problem
        case let error as MethodNotAllowed: Problem(.methodNotAllowed, "This resource allows \(error.list).")
        default: .internal("unexpected error", underlying: error)
        }
    }

    private func log(_ problem: Problem, _ message: Logger.Message, caller: Caller?, route: Int?, trace: String?) {
        let level: Logger.Level = problem.code == .internal ? .error : problem.code.status >= 500 ? .warning : .debug
        logger.log(
            level: level, message,
            metadata: [
                LogKey.requestID: .string(caller?.edge.requestID ?? ""), LogKey.tenantID: .string(caller?.tenant?.description ?? "-"),
                LogKey.traceID: .string(Self.traceID(trace)), LogKey.route: .string(route.map { routes[$0].path } ?? "-"),
                LogKey.code: .string(problem.code.rawValue), LogKey.reason: .string(problem.context ?? "-"),
                LogKey.error: .string(problem.underlying.map(Self.describe) ?? "-"),
            ])
    }

    /// The trace's id out of `traceparent` (W3C Trace Context, section 3.2), which the gateway has made or checked.
    private static func traceID(_ traceparent: String?) -> String {
        let parts = traceparent?.split(separator: "-") ?? []
        return parts.count == 4 && parts[1].utf8.count == 32 && parts[1].utf8.allSatisfy { Hex.value(of: $0) != nil }
            ? String(parts[1]) : "-"
    }

    /// An error for the log. Postgres' own text can hold a row's values; the description of ``PostgresError`` leaves it out, its debug
    /// description does not.
    private static func describe(_ error: any Error) -> String {
        (error as? PostgresError)?.description ?? String(reflecting: type(of: error))
    }

    /// - Parameters:
    ///   - stopsWithService: whether a stream ends when the service is to stop.
    ///   - brokenOff: called with what ended a streamed answer before its end, when its status has long been sent.
    private static func response(
        _ reply: Reply, on channel: any Channel, stopsWithService: Bool = false,
        brokenOff: @escaping @Sendable (any Error) -> Void = { _ in }
    ) -> Response {
        var fields = HTTPFields()
        for (name, value) in reply.headers {
            // A header name of ours is always a valid token.
            if let field = HTTPField.Name(name) { fields.append(HTTPField(name: field, value: value)) }
        }
        // RFC 9110, section 8.6: no Content-Length with 204, and none is needed with 304.
        if reply.status == 204 || reply.status == 304 {
            return Response(
                status: .init(code: reply.status), headers: fields, body: ResponseBody(contentLength: nil) { try await $0.finish(nil) })
        }
        if let stream = reply.stream {
            let body = ResponseBody { writer in
                // Safe: it is used by the one task that writes, and after that again by this one, which waits for it.
                nonisolated(unsafe) let output = writer
                let write: @Sendable () async throws -> Void = {
                    try await stream { piece in
                        // Who takes the answer may go; that is no fault of ours.
                        var output = output
                        do { try await output.write(ByteBuffer(bytes: piece)) } catch { throw ReaderGone() }
                    }
                }
                do {
                    try await channel.whileOpen {
                        if stopsWithService { try await cancelWhenGracefulShutdown(write) } else { try await write() }
                    }
                } catch is CancellationError where stopsWithService && Task.isShuttingDownGracefully && !Task.isCancelled {
                    // What goes on for ever is whole wherever it ends.
                } catch {
                    if !(error is ReaderGone) { brokenOff(error) }
                    throw error
                }
                try await writer.finish(nil)
            }
            return Response(status: .init(code: reply.status), headers: fields, body: body)
        }
        return Response(status: .init(code: reply.status), headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body)))
    }
}

/// The fields of a request that count here, found in one walk over all of them.
private struct ReadFields {
    var context: String?
    var trace: String?
    var contentLength: String?
    var hasTransferEncoding = false
    private var handlers: [(name: String, value: String)] = []
    private var fault: (name: String, detail: String)?

    init(_ fields: HTTPFields) {
        for field in fields {
            switch field.name {
            // One that occurs twice has no valid signature.
            case .martletContext: context = context.map { "\($0), \(field.value)" } ?? field.value
            case .contentLength: contentLength = field.value
            case .traceparent: trace = field.value
            case .transferEncoding: hasTransferEncoding = true
            case .contentType, .accept, .ifMatch, .ifNoneMatch, .idempotencyKey, .userAgent, .namedTenant:
                let name = field.name.canonicalName
                if handlers.contains(where: { $0.name == name }) { fault = fault ?? (field.name.rawName, "occurs twice") }
                add(field)
            // A list, which may be sent in parts (RFC 7240, section 2).
            case .prefer: add(field)
            default: break
            }
        }
    }

    private mutating func add(_ field: HTTPField) {
        if field.name != .userAgent, !field.value.utf8.allSatisfy({ $0 < 0x80 }) {
            fault = fault ?? (field.name.rawName, "has other characters than ASCII")
        }
        handlers.append((field.name.canonicalName, field.value))
    }

    /// The length of the body, 0 where there is none; `nil` when it is not told before.
    ///
    /// - Throws: ``Problem`` `body_too_large`.
    func announced(limit: Int) throws(Problem) -> Int? {
        guard let contentLength else { return hasTransferEncoding ? nil : 0 }
        guard let count = Int(contentLength), count <= limit else { throw ServiceResponder.tooLarge(limit) }
        return count
    }

    /// The fields that handlers read. One that occurs twice is refused: which of the two counts would be a guess. So is one with letters that its
    /// grammar does not have: it is read character by character, which takes long where a character has many marks.
    func passedOn() throws(Problem) -> [(name: String, value: String)] {
        guard let fault else { return handlers }
        throw Problem(
            .invalidParameter, "The header \(fault.name) \(fault.detail).",
            faults: [.init(pointer: fault.name, code: .invalidParameter, detail: "It \(fault.detail).")])
    }
}

private struct ReaderGone: Error {}

extension Channel {
    /// Runs the operation, which is cancelled when the other side has gone, or when `end` throws.
    fileprivate func whileOpen<Result: Sendable>(
        or end: (@Sendable () async throws -> Void)? = nil, _ operation: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let (closed, continuation) = AsyncStream.makeStream(of: Never.self)
        // As many of these are kept as the connection serves such requests.
        closeFuture.whenComplete { _ in continuation.finish() }
        return try await withThrowingTaskGroup(of: Result.self) { group in
            group.addTask { try await operation() }
            group.addTask {
                for await _ in closed {}
                throw ReaderGone()
            }
            if let end {
                group.addTask {
                    try await end()
                    throw CancellationError()
                }
            }
            defer { group.cancelAll() }
            // The first of them decides; there always is one.
            return try await group.next()!
        }
    }
}

private struct MethodNotAllowed: Error {
    var allowed: [Method]

    var list: String { allowed.map(\.rawValue).joined(separator: ", ") }
}

extension HTTPField.Name {
    // Safe: these are valid tokens.
    static let martletContext = HTTPField.Name(ContextSigner.headerName)!
    static let namedTenant = HTTPField.Name(Call.namedTenantHeader)!
    static let requestID = HTTPField.Name("X-Request-Id")!
    static let traceparent = HTTPField.Name("traceparent")!
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
    static let prefer = HTTPField.Name("Prefer")!
}
