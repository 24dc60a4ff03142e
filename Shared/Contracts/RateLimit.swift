import Core

/// How many requests may be made in a period: `100` in `1` s.
public struct RateLimit: Hashable, Sendable, Codable {
    public var count: Int
    /// Seconds.
    public var period: Int

    public init(count: Int, period: Int) {
        self.count = count
        self.period = period
    }

    /// `[count, seconds]`, the form of tokens and of wire types.
    public var json: JSON { [.number(count), .number(period)] }

    /// `nil` unless it is an array of two integers, up to 1,000,000,000 requests in up to a day.
    public init?(json: JSON?) {
        guard let pair = json?.array, pair.count == 2, let count = pair[0].integer, let period = pair[1].integer,
            (1...1_000_000_000).contains(count), (1...86_400).contains(period)
        else { return nil }
        self.init(count: Int(count), period: Int(period))
    }

    public init(from decoder: any Decoder) throws {
        var pair = try decoder.unkeyedContainer()
        self.init(count: try pair.decode(Int.self), period: try pair.decode(Int.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var pair = encoder.unkeyedContainer()
        try pair.encode(count)
        try pair.encode(period)
    }
}

/// The limits that the gateway holds a token to: all members of the tenant together, and each by himself.
public struct RateLimits: Hashable, Sendable, Codable {
    public var tenant: RateLimit
    public var user: RateLimit

    public init(tenant: RateLimit, user: RateLimit) {
        self.tenant = tenant
        self.user = user
    }

    public var json: JSON { ["tenant": tenant.json, "user": user.json] }

    /// `nil` unless both members are there and of the form of ``RateLimit``.
    public init?(json: JSON?) {
        guard let tenant = RateLimit(json: json?["tenant"]), let user = RateLimit(json: json?["user"]) else { return nil }
        self.init(tenant: tenant, user: user)
    }
}
