import Contracts
import Core

/// What a tenant pays for, and what it gets.
struct Plan: Sendable, Hashable {
    let name: String
    /// A month's price in the currency's smallest unit.
    let amountMinor: Int64
    let currency: String
    /// By the names of ``RequestContext/limits``; what is absent is unlimited.
    let limits: [String: Int]
    let entitlements: [String]
    let rate: RateLimits

    static let limitNames = ["users", "leads"]

    var json: JSON {
        [
            "name": .string(name), "price": ["amount_minor": .number(amountMinor), "currency": .string(currency)],
            "users": limits["users"].map { .number($0) } ?? .null, "leads": limits["leads"].map { .number($0) } ?? .null,
            "entitlements": .array(entitlements.map { .string($0) }), "rate": rate.json,
        ]
    }

    static let schema: JSON = [
        "type": "object", "required": ["name", "price", "users", "leads", "entitlements", "rate"],
        "properties": [
            "name": ["type": "string"],
            "price": [
                "type": "object", "description": "Per month.",
                "properties": ["amount_minor": ["type": "integer"], "currency": ["type": "string"]],
            ],
            "users": ["type": ["integer", "null"], "description": "Null is unlimited."],
            "leads": ["type": ["integer", "null"], "description": "Null is unlimited."],
            "entitlements": ["type": "array", "items": ["type": "string"]],
            "rate": [
                "type": "object", "description": "Requests and seconds, of the tenant and of each user.",
                "properties": [
                    "tenant": ["type": "array", "items": ["type": "integer"]],
                    "user": ["type": "array", "items": ["type": "integer"]],
                ],
            ],
        ],
    ]
}

/// What the operator gives or takes beside the plan.
struct PlanOverrides: Sendable, Hashable {
    /// Of the whole tenant; each user has half of it.
    var requestsPerSecond: Int?
    /// By the names of ``Plan/limits``.
    var limits: [String: Int] = [:]

    static let names = ["requests_per_second"] + Plan.limitNames

    init() {}

    /// Reads what is stored.
    init(json: JSON) {
        requestsPerSecond = json["requests_per_second"]?.integer.map(Int.init)
        for name in Plan.limitNames { limits[name] = json[name]?.integer.map(Int.init) }
    }

    var json: JSON {
        var object = JSONObject()
        if let requestsPerSecond { object["requests_per_second"] = .number(requestsPerSecond) }
        for name in Plan.limitNames { object[name] = limits[name].map { .number($0) } }
        return .object(object)
    }
}

extension Plan {
    /// What holds for a tenant with these overrides.
    func limits(with overrides: PlanOverrides) -> [String: Int] { limits.merging(overrides.limits) { $1 } }

    func rate(with overrides: PlanOverrides) -> RateLimits {
        guard let requests = overrides.requestsPerSecond else { return rate }
        return RateLimits(
            tenant: RateLimit(count: requests, period: 1), user: RateLimit(count: max(1, requests / 2), period: 1))
    }
}
