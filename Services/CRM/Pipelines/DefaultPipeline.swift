import Core
import Postgres
import Resources

/// The pipeline that every tenant has: made when it is first asked for, as a deal's that names none, or here by a list of pipelines.
struct DefaultPipeline: Sendable {
    let postgres: PostgresClient

    /// The same routes, of which the list of pipelines never is without one.
    func listed(in routes: [Route]) -> [Route] {
        routes.map { route in
            guard route.method == .get, route.path == Pipeline.definition.path else { return route }
            var route = route
            let list = route.handler
            route.handler = { call in
                if case .member(let context) = call.caller, context.permissions.contains(Permission(.pipelines, .read)) {
                    try await make(as: context)
                }
                return try await list(call)
            }
            return route
        }
    }

    private func make(as context: RequestContext) async throws {
        do {
            _ = try await postgres.batch(as: context, ["select default_pipeline(\(context.tenant))"])
        } catch let error as PostgresError {
            throw error.problem
        }
    }
}
