import Contracts
import Core
import NIOCore
import Operations

/// Which paths go to which service, and which may be reached without a token. What is not in the table is not reachable: nothing
/// below `/internal` ever is.
struct RouteTable: Sendable {
    /// A class, so that a request holds its route by one reference.
    final class Route: Sendable {
        /// Also the route's label in logs and metrics: the rest of a path never is, so that their number stays small.
        let prefix: String
        let bytes: [UInt8]
        let service: ServiceName
        /// Whether it is forwarded without a token too.
        let isOpen: Bool
        /// Whether answers hold secrets; see ``AnswerCompression/secretPaths``.
        let hasSecrets: Bool
        let index: Int
        /// Those below the prefix whose body or answer is a stream.
        let streamed: [StreamedRoute]

        init(prefix: String, service: ServiceName, isOpen: Bool, index: Int, streamed: [StreamedRoute]) {
            self.prefix = prefix
            bytes = Array(prefix.utf8)
            self.service = service
            self.isOpen = isOpen
            hasSecrets = AnswerCompression.secretPaths.contains(prefix)
            self.index = index
            self.streamed = streamed.filter { $0.service == service && ($0.path == prefix || $0.path.hasPrefix(prefix + "/")) }
        }

        /// What of a request is a stream. HEAD is asked as GET.
        func streaming(of head: RequestHead, _ bytes: UnsafeRawBufferPointer) -> Streaming? {
            if streamed.isEmpty { return nil }
            let method = head.method == .head ? Array("GET".utf8) : Array(bytes[head.methodName])
            return streamed.first { $0.matches(method, bytes[head.path]) }?.streaming
        }
    }

    private static let prefixes: [(service: ServiceName, paths: [String])] = [
        (.identity, ["/v1/auth", "/v1/me", "/v1/sessions", "/v1/api-keys", "/.well-known"]),
        (
            .tenant,
            [
                "/v1/tenant", "/v1/members", "/v1/invitations", "/v1/roles", "/v1/teams", "/v1/permissions", "/v1/authorize", "/v1/plan",
                "/v1/plans", "/v1/usage", "/v1/platform",
            ]
        ),
        (
            .crm,
            [
                "/v1/leads", "/v1/contacts", "/v1/accounts", "/v1/pipelines", "/v1/deals", "/v1/tasks", "/v1/notes", "/v1/custom-fields",
                "/v1/views", "/v1/search", "/v1/imports", "/v1/reports", "/v1/products", "/v1/exchange-rates", "/v1/me/today",
            ]
        ),
        (
            .activity,
            [
                "/v1/activities", "/v1/timeline", "/v1/audit", "/v1/events", "/v1/stream", "/v1/webhooks", "/v1/privacy",
            ]
        ),
        (.support, ["/v1/tickets", "/v1/queues", "/v1/sla-policies", "/v1/macros", "/v1/articles"]),
    ]

    /// Where sessions are made.
    static let signIn = "/v1/auth"
    private static let open: Set<String> = [signIn, "/.well-known", "/v1/plans"]

    /// Below an open prefix, but of use to members only: here a token that is refused is told so.
    private static let ofMembers = ["/v1/auth/logout", "/v1/auth/switch", "/v1/auth/password/change"].map { Array($0.utf8) }

    /// A session goes on here; what it takes cannot be guessed.
    static let refresh = Array("/v1/auth/refresh".utf8)

    static func isForMembers(_ path: UnsafeRawBufferPointer) -> Bool { ofMembers.contains { path.equals($0) } }

    let routes: [Route]
    /// Those whose prefix lies below that of another one, and come before it.
    private let deeper: [Route]
    /// The routes by the length of their prefix, so that few are compared.
    private let byLength: [[Route]]

    /// - Parameters:
    ///   - more: Prefixes beside those that there are.
    ///   - streamed: The routes whose body or answer is a stream.
    init(adding more: [(service: ServiceName, paths: [String])] = [], streamed: [StreamedRoute] = StreamedRoute.all) {
        var routes: [Route] = []
        for (service, paths) in Self.prefixes + more {
            for path in paths {
                let isOpen = Self.open.contains(path)
                routes.append(Route(prefix: path, service: service, isOpen: isOpen, index: routes.count, streamed: streamed))
            }
        }
        self.routes = routes
        deeper = routes.filter { route in routes.contains { route.prefix.hasPrefix($0.prefix + "/") } }
        byLength = (0...(routes.map(\.bytes.count).max() ?? 0)).map { length in routes.filter { $0.bytes.count == length } }
    }

    /// The route whose prefix is the path, or the path up to a slash; exact and case-sensitive.
    func route(of path: UnsafeRawBufferPointer) -> Route? {
        for route in deeper {
            let count = route.bytes.count
            if path.count == count || path.count > count && path[count] == UInt8(ascii: "/"),
                UnsafeRawBufferPointer(rebasing: path[..<count]).equals(route.bytes)
            {
                return route
            }
        }
        // The other prefixes end at the second slash, but for `/.well-known`, which ends at the first.
        var end = path.firstIndex(of: UInt8(ascii: "/"), from: 1, to: path.count) ?? path.count
        if end < path.count, path.count > 1, path[1] != UInt8(ascii: ".") {
            end = path.firstIndex(of: UInt8(ascii: "/"), from: end + 1, to: path.count) ?? path.count
        }
        let prefix = UnsafeRawBufferPointer(rebasing: path[..<end])
        guard prefix.count < byLength.count else { return nil }
        for route in byLength[prefix.count] where prefix.equals(route.bytes) { return route }
        return nil
    }
}
