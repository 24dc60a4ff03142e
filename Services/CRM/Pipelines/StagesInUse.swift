import Core
import Postgres
import Resources

/// How many deals are in the way of a stage that is to go: told with the refusal, to who may read them.
struct StagesInUse: Sendable {
    let deals: Resource
    let postgres: PostgresClient

    /// How far the deals of a stage are counted.
    private static let maximumCounted = 10_000

    /// The same routes, of which the change of a pipeline tells it.
    func told(in routes: [Route]) -> [Route] {
        routes.map { route in
            guard route.method == .patch, route.path == "\(Pipeline.definition.path)/{id}" else { return route }
            var route = route
            let change = route.handler
            route.handler = { call in
                do {
                    return try await change(call)
                } catch var problem as Problem {
                    guard case .member(let context) = call.caller, context.fields.isEmpty,
                        context.permissions.contains(Permission(.deals, .read)),
                        (problem.underlying as? PostgresError)?.constraint == "pipeline_stages_in_use"
                    else { throw problem }
                    problem.members.append(("in_use", .array(try await counts(of: try call.id(), as: context))))
                    throw problem
                }
            }
            return route
        }
    }

    /// Of each stage of the pipeline that has deals, in their order.
    private func counts(of pipeline: RecordID, as context: RequestContext) async throws -> [JSON] {
        let reach = deals.reach(of: context).map { " and " + $0 } ?? ""
        do {
            let rows = try await postgres.batch(
                as: context,
                [
                    """
                    select id, (select count(*) from (select from deal where tenant_id = \(context.tenant) and stage_id = stage.id \
                    and deleted_at is null\(reach) limit \(Self.maximumCounted)) as counted) as deals from stage \
                    where tenant_id = \(context.tenant) and pipeline_id = \(pipeline) and deleted_at is null order by position
                    """
                ])[0]
            return try rows.compactMap { row in
                let count: Int = try row.decode("deals")
                return count == 0 ? nil : ["stage_id": .string(try row.decode("id")), "deals": .number(count)]
            }
        } catch let error as PostgresError {
            throw error.problem
        }
    }
}
