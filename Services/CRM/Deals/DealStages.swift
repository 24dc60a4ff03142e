import Core
import Postgres
import Resources

/// A deal's way through the stages: how it is moved, and where it has been.
struct DealStages: Sendable {
    let deals: Resource
    let postgres: PostgresClient
    let cursors: CursorSigner

    var routes: [Route] { [move, stays] }

    /// Does what PATCH does with the same members.
    private var move: Route {
        deals.action(
            "move", setting: ["stage_id", "lost_reason"], requiring: ["stage_id"], summary: "Move a deal to another stage",
            description: """
                The same as PATCH with these members. In a stage that is won or lost the deal is closed, which closed_at tells; back in an open \
                one it has neither that nor a lost_reason.
                """, example: ["stage_id": "01a20922-d6ba-7e1d-b402-13919357caf0"])
    }

    private var stays: Route {
        .permitted(
            Permission(.deals, .read), .get, "\(Deal.definition.path)/{id}/stages",
            Operation(
                id: "listDealStages", summary: "Where a deal has been", description: "Each stay in a stage, the first one first.",
                tag: "deals", parameters: Paging.parameters,
                responses: [.init(200, "The stays; the last one goes on.", schema: Paging.schema(of: Self.schema))])
        ) { call, context in
            let id: RecordID = try call.id()
            let paging = try Paging(call, of: ["deal stages", context.tenant.description, id.description], cursors: cursors)
            let end = try paging.position(\.string)
            if ["stage_id", "pipeline_id", "status"].contains(where: { deals.hides($0, from: context) }) { throw Problem.notFound }
            let rows: PostgresResult
            do {
                rows = try await postgres.batch(as: context, [query(of: id, from: end, limit: paging.limit + 1, as: context)])[0]
            } catch let error as PostgresError {
                throw error.problem
            }
            if rows.isEmpty { throw Problem.notFound }
            return paging.reply(try rows.map(Stay.init), position: { .string($0.end) }, json: \.json)
        }
    }

    private struct Stay {
        let json: JSON
        /// In full, as a cursor needs it.
        let end: String

        init(_ row: PostgresRow) throws {
            let (since, until): (Timestamp, Timestamp?) = (try row.decode("since"), try row.decode("until"))
            json = [
                "stage": [
                    "id": .string(try row.decode("stage_id")), "name": .string(try row.decode("name")),
                    "kind": .string(try row.decode("kind")),
                ],
                "pipeline_id": .string(try row.decode("pipeline_id")), "from": .string(since.description),
                "to": until.map { .string($0.description) } ?? .null, "moved_by": .string(try row.decode("moved_by")),
            ]
            end = try row.decode("cursor", as: String?.self) ?? ""
        }
    }

    /// Stays that ended are in the history, the last one is the deal's own. Where one began, and by whom, the end of the one before tells.
    private func query(of id: RecordID, from end: String?, limit: Int, as context: RequestContext) -> SQL {
        let behind: SQL = end.map { " and valid_to >= \($0)::timestamptz" } ?? ""
        let further: SQL = end.map { " where until is null or until > \($0)::timestamptz" } ?? ""
        return """
            with found as (select id, pipeline_id, stage_id, created_at, created_by from deal where \(deals.condition(on: id, as: context))), \
            ended as (select pipeline_id, stage_id, valid_to, ended_by from deal_history \
            where tenant_id = \(context.tenant) and deal_id = (select id from found) and leaves_stage\(behind) order by valid_to limit \(limit + 1)), \
            stays as (select *, coalesce(lag(until) over by_end, (select created_at from found)) as since, \
            coalesce(lag(ended_by) over by_end, (select created_by from found)) as moved_by \
            from (select pipeline_id, stage_id, valid_to as until, ended_by from ended \
            union all select pipeline_id, stage_id, null, null from found) as stays window by_end as (order by until nulls last)) \
            select stays.pipeline_id, stays.stage_id, stage.name, stage.kind, since, until, until::text as cursor, moved_by \
            from (select * from stays\(further) order by until nulls last limit \(limit)) as stays \
            join stage on stage.tenant_id = \(context.tenant) and stage.id = stays.stage_id order by until nulls last
            """
    }

    private static let schema: JSON = [
        "type": "object", "required": ["stage", "pipeline_id", "from", "to", "moved_by"],
        "properties": [
            "stage": [
                "type": "object", "required": ["id", "name", "kind"],
                "properties": [
                    "id": ["type": "string", "format": "uuid"],
                    "name": ["type": "string", "description": "What it is called by now.", "examples": ["Proposal"]],
                    "kind": ["type": "string", "enum": ["open", "won", "lost"]],
                ],
            ],
            "pipeline_id": ["type": "string", "format": "uuid"], "from": ["type": "string", "format": "date-time"],
            "to": ["type": ["string", "null"], "format": "date-time", "description": "Null for the stage that it is in."],
            "moved_by": ["type": "string", "format": "uuid", "description": "The member who brought it there."],
        ],
    ]
}
