/// Who may call a route. Every route says it; there is no default.
public enum Access: Sendable, Hashable {
    /// Anybody who comes through the gateway.
    case anonymous
    /// Any member of any tenant who is signed in.
    case member
    /// A member whose role has the permission.
    case permission(Permission)
    /// Another service of Martlet; the gateway has no way to such a route.
    case service
}

/// A method and path with what it does: who may call it, how it is documented, and the handler.
///
/// There is one way to make a route for each kind of caller, and only those for members hand the handler a ``RequestContext``: a
/// handler for tenant data cannot be registered without a tenant. A route that streams stands in `Contracts/StreamedRoute` too.
public struct Route: Sendable {
    public var method: Method
    /// Segments in braces are parameters: `/v1/leads/{id}`.
    public var path: String
    public var access: Access
    public var operation: Operation
    /// The largest body accepted, in bytes; default 1 MiB.
    public var bodyLimit: Int
    /// `nil` for a route whose body is whole when it is called, and whose answer is whole soon.
    public var streaming: Streaming?
    public var handler: @Sendable (Call) async throws -> Reply

    public static let defaultBodyLimit = 1 << 20

    private init(
        _ method: Method, _ path: String, _ access: Access, _ operation: Operation, bodyLimit: Int, _ streaming: Streaming?,
        handler: @escaping @Sendable (Call) async throws -> Reply
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.operation = operation
        self.bodyLimit = bodyLimit
        self.streaming = streaming
        self.handler = handler
    }

    private static let signInRequired = Problem(.unauthenticated, "Send an access token: Authorization: Bearer <token>.")

    /// A route that needs a permission, and what making use of it takes (``RequestContext/missing(for:)``).
    public static func permitted(
        _ permission: Permission, _ method: Method, _ path: String, _ operation: Operation, bodyLimit: Int = defaultBodyLimit,
        streaming: Streaming? = nil, handler: @escaping @Sendable (Call, RequestContext) async throws -> Reply
    ) -> Route {
        Route(method, path, .permission(permission), operation, bodyLimit: bodyLimit, streaming) { call in
            guard case .member(let context) = call.caller else { throw signInRequired }
            try context.require(permission)
            return try await handler(call, context)
        }
    }

    /// A route for whoever is signed in, such as `/v1/me`.
    public static func member(
        _ method: Method, _ path: String, _ operation: Operation, bodyLimit: Int = defaultBodyLimit,
        streaming: Streaming? = nil, handler: @escaping @Sendable (Call, RequestContext) async throws -> Reply
    ) -> Route {
        Route(method, path, .member, operation, bodyLimit: bodyLimit, streaming) { call in
            guard case .member(let context) = call.caller else { throw signInRequired }
            return try await handler(call, context)
        }
    }

    /// A route that needs no sign-in, such as `/v1/auth/login`.
    public static func anonymous(
        _ method: Method, _ path: String, _ operation: Operation, bodyLimit: Int = defaultBodyLimit,
        streaming: Streaming? = nil, handler: @escaping @Sendable (Call, EdgeContext) async throws -> Reply
    ) -> Route {
        Route(method, path, .anonymous, operation, bodyLimit: bodyLimit, streaming) { call in try await handler(call, call.caller.edge) }
    }

    /// A route for other services; by convention below `/internal`.
    public static func service(
        _ method: Method, _ path: String, bodyLimit: Int = defaultBodyLimit,
        handler: @escaping @Sendable (Call, SystemContext) async throws -> Reply
    ) -> Route {
        Route(method, path, .service, Operation(id: "internal", summary: "", tag: "internal"), bodyLimit: bodyLimit, nil) { call in
            // To anybody else the route is not there.
            guard case .service(let context) = call.caller else { throw Problem.notFound }
            return try await handler(call, context)
        }
    }
}
