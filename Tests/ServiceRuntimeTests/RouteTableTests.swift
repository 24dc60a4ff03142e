import Core
import Testing

@testable import ServiceRuntime

@Suite struct RouteTableTests {
    private static func route(_ method: Method, _ path: String) -> Route {
        .anonymous(method, path, Operation(id: "\(method) \(path)", summary: "", tag: "")) { _, _ in .noContent }
    }

    private let table = RouteTable([
        route(.get, "/v1/leads"), route(.post, "/v1/leads"), route(.post, "/v1/leads/batch"), route(.get, "/v1/leads/{id}"),
        route(.post, "/v1/leads/{id}/restore"),
    ])

    private func describe(_ match: RouteTable.Match) -> String {
        switch match {
        case .route(let index, let parameters): "\(index) \(parameters["id"] ?? "-")"
        case .otherMethods(let methods): "only " + methods.map(\.rawValue).joined(separator: ",")
        case .none: "none"
        }
    }

    @Test(arguments: [
        (Method.get, "/v1/leads", "0 -"), (.post, "/v1/leads", "1 -"), (.post, "/v1/leads/batch", "2 -"), (.get, "/v1/leads/7", "3 7"),
        (.post, "/v1/leads/7/restore", "4 7"), (.delete, "/v1/leads", "only GET,POST"), (.get, "/v1/leads/batch", "only POST"),
    ])
    func findsTheRouteOfMethodAndPath(_ method: Method, _ path: String, _ expected: String) {
        #expect(describe(table.find(method, path)) == expected)
    }

    /// Class A10: other spellings of a path are other paths.
    @Test(arguments: [
        "/v1/leads/", "/v1//leads", "/V1/leads", "v1/leads", "/v1/leads/7/", "/v1/leads/7/x", "/v1", "/", "", "/v1/leads%2f7",
    ])
    func otherSpellingsAreNotFound(_ path: String) {
        #expect(describe(table.find(.get, path)) == "none")
    }
}
