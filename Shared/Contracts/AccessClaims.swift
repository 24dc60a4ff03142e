import Core

/// The claims of an access token (RFC 9068): made by identity, read by the gateway, by name. A release may add claims, permissions and
/// limits; what one of today means never changes, as older gateways go on reading it.
public struct AccessClaims: Codable, Sendable, Equatable {
    /// The `typ` header of access tokens; no other token passes as one.
    public static let type = "at+jwt"
    /// How long a token is good for, in seconds.
    public static let lifetime = 600
    /// How long at most a token may pass anywhere after it was made: its lifetime, and a minute for clocks. What makes tokens stale is
    /// told for this long.
    public static let longestValidity: Duration = .seconds(lifetime + 60)

    public var iss: String
    public var aud: String
    /// The user's id.
    public var sub: String
    /// The tenant's id.
    public var tid: String
    /// The session's id.
    public var sid: String
    /// The tenant's slug.
    public var slug: String
    public var role: String
    /// ``PermissionSet/encoded``.
    public var permissions: String
    /// ``RowScopes/encoded``.
    public var scopes: String
    /// ``FieldRules/encoded``; absent when there are none.
    public var fields: String?
    public var plan: String
    /// What the plan limits, by name; what is absent is unlimited.
    public var limits: [String: Int]
    public var rate: RateLimits
    /// Where the tenant is (ISO 3166-1, two letters), if it says so.
    public var country: String?
    /// What the tenant counts in (ISO 4217).
    public var currency: String
    /// Whose clocks the tenant goes by (IANA).
    public var zoneinfo: String
    /// The month that the tenant's fiscal year begins with; absent when that is January.
    public var fiscal: Int?
    /// The epoch of the tenant, then of the member, then of the role when it is one that the tenant has made.
    public var epoch: [Int64]
    /// Seconds since 1970.
    public var iat: Int64
    /// Seconds since 1970.
    public var exp: Int64

    /// The claims of a member who signs in now.
    public init(issuer: String, audience: String, user: UserID, session: SessionID, membership: Membership, now: Timestamp = .now) {
        iss = issuer
        aud = audience
        sub = user.description
        tid = membership.tenant.id.description
        sid = session.description
        slug = membership.tenant.slug
        role = membership.role
        permissions = membership.permissions.encoded
        scopes = membership.scopes.encoded
        fields = membership.fields.isEmpty ? nil : membership.fields.encoded
        plan = membership.tenant.plan
        limits = membership.limits
        rate = membership.rate
        country = membership.tenant.country
        currency = membership.tenant.currency
        zoneinfo = membership.tenant.timeZone
        fiscal = membership.tenant.fiscalYearStarts == FiscalYear.initial ? nil : membership.tenant.fiscalYearStarts
        epoch = [membership.tenant.epoch, membership.epoch] + (membership.roleEpoch.map { [$0] } ?? [])
        iat = now.milliseconds / 1000
        exp = iat + Int64(Self.lifetime)
    }
}
