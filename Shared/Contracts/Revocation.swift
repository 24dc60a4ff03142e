import Core

/// What makes tokens stale: told to the gateways at once by a message over Redis, which may be lost, and as long as such a token may live
/// in what they poll (``statePath``).
public enum Revocation: Hashable, Sendable {
    /// The Redis channel of these messages.
    public static let channel = "martlet.revocations"

    case session(SessionID)
    case member(tenant: TenantID, user: UserID, epoch: Int64)
    /// Beside what makes its tokens stale, where the tenant is by now and what it counts in; without a location, which a release says nothing of
    /// that knows of none, it is where it was.
    case tenant(TenantID, epoch: Int64, isActive: Bool, location: Location?)
    /// A role that a tenant has made was changed: tokens of all its members are stale.
    case role(tenant: TenantID, name: String, epoch: Int64)

    /// Where a tenant is, what it counts in, whose clocks it goes by and when its fiscal year begins, in one of its versions: none of these raises an epoch.
    public struct Location: Hashable, Sendable {
        /// ISO 3166-1, two letters; `nil` when the tenant does not say.
        public var country: String?
        /// ISO 4217; `nil` when a release does not say that knows of none: it is what it was.
        public var currency: String?
        /// IANA; `nil` as with the currency.
        public var timeZone: String?
        /// A month; `nil` as with the currency.
        public var fiscalYearStarts: Int?
        /// The tenant's version; a higher one is newer.
        public var version: Int64

        public init(
            country: String?, currency: String? = nil, timeZone: String? = nil, fiscalYearStarts: Int? = nil, version: Int64
        ) {
            self.country = country
            self.currency = currency
            self.timeZone = timeZone
            self.fiscalYearStarts = fiscalYearStarts
            self.version = version
        }

        /// `nil` when it is not said, or not to be read.
        fileprivate init?(tenant json: JSON) {
            guard let country = json["country"], let version = json["version"]?.integer else { return nil }
            let currency = json["currency"]?.string.flatMap { Currency.code($0) }
            let timeZone = json["time_zone"]?.string.flatMap { TimeZoneName.form($0) }
            let code = country.string.flatMap { Country.code($0) }
            guard country == .null || code != nil else { return nil }
            self.init(
                country: code, currency: currency, timeZone: timeZone,
                fiscalYearStarts: json["fiscal_year_starts"]?.integer.flatMap { FiscalYear.start($0) }, version: version)
        }
    }

    public var json: JSON {
        switch self {
        case .session(let id):
            ["kind": "session", "id": .string(id.description)]
        case .member(let tenant, let user, let epoch):
            [
                "kind": "member", "tenant": .string(tenant.description), "user": .string(user.description), "epoch": .number(epoch),
            ]
        case .tenant(let id, let epoch, let isActive, nil):
            [
                "kind": "tenant", "id": .string(id.description), "epoch": .number(epoch), "status": isActive ? "active" : "suspended",
            ]
        case .tenant(let id, let epoch, let isActive, let location?):
            [
                "kind": "tenant", "id": .string(id.description), "epoch": .number(epoch), "status": isActive ? "active" : "suspended",
                "country": location.country.map(JSON.string) ?? .null, "currency": location.currency.map(JSON.string) ?? .null,
                "time_zone": location.timeZone.map(JSON.string) ?? .null,
                "fiscal_year_starts": location.fiscalYearStarts.map { .number($0) } ?? .null,
                "version": .number(location.version),
            ]
        case .role(let tenant, let name, let epoch):
            ["kind": "role", "tenant": .string(tenant.description), "name": .string(name), "epoch": .number(epoch)]
        }
    }

    /// `nil` for a message of another form, such as one of a later release.
    public init?(json: JSON) {
        switch json["kind"]?.string {
        case "session":
            guard let id = json["id"]?.string.flatMap({ SessionID($0) }) else { return nil }
            self = .session(id)
        case "member":
            guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let user = json["user"]?.string.flatMap({ UserID($0) }),
                let epoch = json["epoch"]?.integer
            else { return nil }
            self = .member(tenant: tenant, user: user, epoch: epoch)
        case "tenant":
            guard let id = json["id"]?.string.flatMap({ TenantID($0) }), let epoch = json["epoch"]?.integer,
                let status = json["status"]?.string
            else { return nil }
            self = .tenant(id, epoch: epoch, isActive: status == "active", location: Location(tenant: json))
        case "role":
            guard let tenant = json["tenant"]?.string.flatMap({ TenantID($0) }), let name = json["name"]?.string,
                let epoch = json["epoch"]?.integer
            else { return nil }
            self = .role(tenant: tenant, name: name, epoch: epoch)
        default:
            return nil
        }
    }
}

extension Revocation {
    /// Where gateways ask identity and tenant for all that holds: the answer is ``state(_:)``.
    public static let statePath = "/internal/gateway-state"

    /// The wire form of all that holds; ``all(in:)`` reads it.
    public static func state(_ revocations: [Revocation]) -> JSON { ["revocations": .array(revocations.map(\.json))] }

    /// What the state says, without what is known to a later release only; `nil` when it is no such state.
    public static func all(in state: JSON) -> [Revocation]? { state["revocations"]?.array?.compactMap { Revocation(json: $0) } }
}
