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
        /// Few at any place, so that comparing bytes beats hashing.
        var literals: [(segment: [UInt8], node: Int)] = []
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
                } else if let next = nodes[current].literals.first(where: { $0.segment.elementsEqual(segment.utf8) }) {
                    current = next.node
                } else {
                    nodes.append(Node())
                    nodes[current].literals.append((Array(segment.utf8), nodes.count - 1))
                    current = nodes.count - 1
                }
            }
            precondition(nodes[current].routes[route.method] == nil, "\(route.method.rawValue) \(route.path) is declared twice")
            nodes[current].routes[route.method] = index
        }
    }

    func find(_ method: Method?, _ path: String) -> Match {
        var path = path
        return path.withUTF8 { find(method, $0) }
    }

    private func find(_ method: Method?, _ path: UnsafeBufferPointer<UInt8>) -> Match {
        guard path.first == UInt8(ascii: "/") else { return .none }
        var current = 0
        var parameters: [String: String] = [:]
        var start = 1
        while start <= path.count {
            let end = path[start...].firstIndex(of: UInt8(ascii: "/")) ?? path.count
            let segment = UnsafeBufferPointer(rebasing: path[start..<end])
            if let next = nodes[current].literals.first(where: { $0.segment.elementsEqual(segment) }) {
                current = next.node
            } else if let parameter = nodes[current].parameter, !segment.isEmpty {
                parameters[parameter.name] = String(decoding: segment, as: UTF8.self)
                current = parameter.node
            } else {
                return .none
            }
            start = end + 1
        }
        let routes = nodes[current].routes
        if routes.isEmpty { return .none }
        guard let method, let route = routes[method] else {
            return .otherMethods(routes.keys.sorted { $0.rawValue < $1.rawValue })
        }
        return .route(route, parameters: parameters)
    }
}
