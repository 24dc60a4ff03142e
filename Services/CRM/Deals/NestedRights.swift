import Core
import Resources

/// What the parts of a body need beside the permission for the whole: the stages of a pipeline can move deals, and the line items of a deal take
/// over what a product says.
enum NestedRights {
    /// The same routes, of which those that write ask for it.
    static func asked(in routes: [Route]) -> [Route] {
        routes.map { route in
            guard route.method != .get, let path = paths.first(where: { route.path.hasPrefix($0) }), path != leads || isConversion(route)
            else {
                return route
            }
            var route = route
            let handler = route.handler
            route.handler = { call in
                if case .member(let context) = call.caller, !call.body.isEmpty { try check(try call.json(), as: context) }
                return try await handler(call)
            }
            return route
        }
    }

    private static let leads = Lead.definition.path
    private static let paths = [Pipeline.definition.path, Deal.definition.path, leads]

    private static func isConversion(_ route: Route) -> Bool { route.path.hasSuffix("/convert") }

    private static func check(_ json: JSON, as context: RequestContext) throws(Problem) {
        if names("move_deals_to", of: "stages", in: json) {
            let update = Permission(.deals, .update)
            try context.require(update)
            guard context.scopes[.deals] == .all, context.fields["deals"]["stage_id"] == nil, context.fields["deals"]["pipeline_id"] == nil
            else { throw .forbidden(update) }
        }
        if names("product_id", of: "line_items", in: json) {
            let read = Permission(.products, .read)
            try context.require(read)
            guard context.fields.hidden(in: "products").isDisjoint(with: ["name", "prices", "tax_percent"]) else { throw .forbidden(read) }
        }
    }

    /// Whether an element of such a list has the member, however deep the list lies in a batch.
    private static func names(_ member: String, of list: String, in json: JSON) -> Bool {
        if let array = json.array { return array.contains { names(member, of: list, in: $0) } }
        guard let object = json.object else { return false }
        return object.members.contains { found in
            if found.name == list, let elements = found.value.array {
                return elements.contains { $0[member] != nil && $0[member] != .null }
            }
            return found.name != "custom" && names(member, of: list, in: found.value)
        }
    }
}
