import Core

/// Finds the route for a method and path. Paths are compared segment by segment, exactly: no case folding, no decoding, no
/// trailing slash.
struct RouteTable: Sendable {
    enum Match {
        case route(Int, parameters: [String: String])
        /// The path is known, with these methods.
        case otherMethods([Method])
        case none
    }

    private struct Node: Sendable {
        var literals: [Substring: Int] = [:]
        var parameter: (name: String, node: Int)?
        var routes: [Method: Int] = [:]
    }

    private var nodes = [Node()]

    init(_ routes: [Route]) {
        for (index, route) in routes.enumerated() {
            var current = 0
            for segment in route.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
                if segment.hasPrefix("{") {
                    if let parameter = nodes[current].parameter {
                        precondition("{\(parameter.name)}" == segment, "two names for one place in \(route.path)")
                        current = parameter.node
                    } else {
                        nodes.append(Node())
                        nodes[current].parameter = (String(segment.dropFirst().dropLast()), nodes.count - 1)
                        current = nodes.count - 1
                    }
                } else if let next = nodes[current].literals[segment] {
                    current = next
                } else {
                    nodes.append(Node())
                    nodes[current].literals[segment] = nodes.count - 1
                    current = nodes.count - 1
                }
            }
            precondition(nodes[current].routes[route.method] == nil, "\(route.method.rawValue) \(route.path) is declared twice")
            nodes[current].routes[route.method] = index
        }
    }

    func find(_ method: Method?, _ path: String) -> Match {
        guard path.utf8.first == UInt8(ascii: "/") else { return .none }
        var current = 0
        var parameters: [String: String] = [:]
        for segment in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            if let next = nodes[current].literals[segment] {
                current = next
            } else if let parameter = nodes[current].parameter, !segment.isEmpty {
                parameters[parameter.name] = String(segment)
                current = parameter.node
            } else {
                return .none
            }
        }
        let routes = nodes[current].routes
        if routes.isEmpty { return .none }
        guard let method, let route = routes[method] else {
            return .otherMethods(routes.keys.sorted { $0.rawValue < $1.rawValue })
        }
        return .route(route, parameters: parameters)
    }
}
