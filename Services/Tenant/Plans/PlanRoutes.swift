import Contracts
import Core

/// `/v1/plans`, `/v1/plan`, `/v1/usage`: what there is to have, what the tenant has, and how much of it is used.
struct PlanRoutes: Sendable {
    let plans: PlanCatalogue
    let tenants: TenantStore
    let members: MemberStore

    var routes: [Route] { [list, own, usage] }

    private var list: Route {
        .anonymous(
            .get, "/v1/plans",
            Operation(
                id: "listPlans", summary: "The plans that a tenant can be on", tag: "plans",
                responses: [.init(200, "All plans.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Plan"]))])
        ) { call, _ in
            try call.query.allowOnly([String]())
            return Paging.reply(whole: plans.plans.map(\.json))
        }
    }

    private var own: Route {
        .member(
            .get, "/v1/plan",
            Operation(
                id: "getPlan", summary: "The plan of your tenant, with what holds for it by special arrangement",
                description: "What was arranged with the platform's operators replaces the plan's limits.",
                tag: "plans",
                responses: [.init(200, "The plan.", schema: ["$ref": "#/components/schemas/Plan"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            let tenant = try await tenants.require(as: member)
            let plan = try plans.plan(of: tenant)
            let limits = plan.limits(with: tenant.overrides)
            var json = plan.json.object ?? JSONObject()
            for name in Plan.limitNames { json[name] = limits[name].map { .number($0) } ?? .null }
            json["rate"] = plan.rate(with: tenant.overrides).json
            return .json(.object(json))
        }
    }

    private var usage: Route {
        .member(
            .get, "/v1/usage",
            Operation(
                id: "getUsage", summary: "How much of the plan's limits is used", tag: "plans",
                responses: [
                    .init(
                        200, "Used and allowed; a limit of null is none.",
                        schema: [
                            "type": "object", "required": ["users"],
                            "properties": [
                                "users": [
                                    "type": "object", "required": ["used", "limit"],
                                    "properties": ["used": ["type": "integer"], "limit": ["type": ["integer", "null"]]],
                                ]
                            ],
                        ])
                ])
        ) { call, member in
            try call.query.allowOnly([String]())
            let tenant = try await tenants.require(as: member)
            let limit = try plans.plan(of: tenant).limits(with: tenant.overrides)["users"]
            let used = try await members.count(as: member)
            return .json(["users": ["used": .number(used), "limit": limit.map { .number($0) } ?? .null]])
        }
    }
}
