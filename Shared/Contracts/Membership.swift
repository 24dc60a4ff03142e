import Core

/// What a user may do in one tenant, as the tenant service tells it to identity: `GET /internal/users/{id}/memberships`.
public struct Membership: Hashable, Sendable {
    /// The tenant as its members' tokens need it.
    public struct Tenant: Hashable, Sendable {
        public var id: TenantID
        public var slug: String
        public var name: String
        /// `false` when the operator has suspended it: nobody signs in to it.
        public var isActive: Bool
        /// The plan's name: `free`, `pro`, `enterprise` by default.
        public var plan: String
        /// Where it is (ISO 3166-1, two letters), if it says so.
        public var country: String?
        /// What it counts in (ISO 4217).
        public var currency: String
        /// Whose clocks it goes by (IANA).
        public var timeZone: String
        /// The month that its fiscal year begins with.
        public var fiscalYearStarts: Int
        /// Tokens made under a lower number are stale.
        public var epoch: Int64

        public init(
            id: TenantID, slug: String, name: String, isActive: Bool, plan: String, country: String? = nil,
            currency: String = Currency.initial, timeZone: String = TimeZoneName.initial,
            fiscalYearStarts: Int = FiscalYear.initial, epoch: Int64
        ) {
            self.id = id
            self.slug = slug
            self.name = name
            self.isActive = isActive
            self.plan = plan
            self.country = country
            self.currency = currency
            self.timeZone = timeZone
            self.fiscalYearStarts = fiscalYearStarts
            self.epoch = epoch
        }
    }

    /// A team that he is in.
    public struct Team: Hashable, Sendable {
        public var id: RecordID
        public var name: String

        public init(id: RecordID, name: String) {
            self.id = id
            self.name = name
        }

        public var json: JSON { ["id": .string(id.description), "name": .string(name)] }

        init?(json: JSON) {
            guard let id = json["id"]?.string.flatMap({ RecordID($0) }), let name = json["name"]?.string else { return nil }
            self.init(id: id, name: name)
        }
    }

    public var tenant: Tenant
    public var role: String
    public var permissions: PermissionSet
    public var scopes: RowScopes
    public var fields: FieldRules
    /// By name.
    public var teams: [Team]
    /// What the plan limits, by name (`leads`, `users`); what is absent is unlimited.
    public var limits: [String: Int]
    public var rate: RateLimits
    /// Tokens of this member made under a lower number are stale.
    public var epoch: Int64
    /// Tokens with this role made under a lower number are stale; `nil` for a role that every tenant has, which never changes.
    public var roleEpoch: Int64?

    public init(
        tenant: Tenant, role: String, permissions: PermissionSet, scopes: RowScopes, fields: FieldRules = .none, teams: [Team] = [],
        limits: [String: Int],
        rate: RateLimits, epoch: Int64, roleEpoch: Int64? = nil
    ) {
        self.tenant = tenant
        self.role = role
        self.permissions = permissions
        self.scopes = scopes
        self.fields = fields
        self.teams = teams
        self.limits = limits
        self.rate = rate
        self.epoch = epoch
        self.roleEpoch = roleEpoch
    }
}

extension Membership {
    /// The wire form; ``init(json:)`` reads it.
    public var json: JSON {
        var numbers = JSONObject()
        for (name, value) in limits.sorted(by: { $0.key < $1.key }) { numbers[name] = .number(value) }
        return [
            "tenant": [
                "id": .string(tenant.id.description), "slug": .string(tenant.slug), "name": .string(tenant.name),
                "status": tenant.isActive ? "active" : "suspended", "plan": .string(tenant.plan),
                "country": tenant.country.map(JSON.string) ?? .null, "currency": .string(tenant.currency),
                "time_zone": .string(tenant.timeZone), "fiscal_year_starts": .number(tenant.fiscalYearStarts),
                "epoch": .number(tenant.epoch),
            ],
            "role": .string(role), "permissions": .string(permissions.encoded), "scopes": .string(scopes.encoded),
            "fields": .string(fields.encoded),
            "teams": .array(teams.map(\.json)), "limits": .object(numbers), "rate": rate.json, "epoch": .number(epoch),
            "role_epoch": roleEpoch.map { .number($0) } ?? .null,
        ]
    }

    /// `nil` when anything is missing or of another form.
    public init?(json: JSON) {
        guard let tenant = json["tenant"], let id = tenant["id"]?.string.flatMap({ TenantID($0) }), let slug = tenant["slug"]?.string,
            let name = tenant["name"]?.string, let status = tenant["status"]?.string, let plan = tenant["plan"]?.string,
            let tenantEpoch = tenant["epoch"]?.integer, let role = json["role"]?.string,
            let permissions = json["permissions"]?.string.flatMap({ PermissionSet(encoded: $0) }),
            let scopes = json["scopes"]?.string.flatMap({ RowScopes(encoded: $0) }),
            let fields = (json["fields"] ?? "").string.flatMap({ FieldRules(encoded: $0) }), let limits = json["limits"]?.object,
            let rate = RateLimits(json: json["rate"]), let epoch = json["epoch"]?.integer
        else { return nil }
        var numbers: [String: Int] = [:]
        for member in limits.members {
            // One of another form is of a newer release; who does not know it does not hold to it.
            if let number = member.value.integer { numbers[member.name] = Int(number) }
        }
        self.init(
            tenant: Tenant(
                id: id, slug: slug, name: name, isActive: status == "active", plan: plan,
                country: tenant["country"]?.string.flatMap { Country.code($0) },
                currency: tenant["currency"]?.string.flatMap { Currency.code($0) } ?? Currency.initial,
                timeZone: tenant["time_zone"]?.string.flatMap { TimeZoneName.form($0) } ?? TimeZoneName.initial,
                fiscalYearStarts: tenant["fiscal_year_starts"]?.integer.flatMap { FiscalYear.start($0) } ?? FiscalYear.initial,
                epoch: tenantEpoch),
            role: role,
            permissions: permissions, scopes: scopes, fields: fields,
            teams: (json["teams"]?.array ?? []).compactMap(Team.init), limits: numbers,
            rate: rate, epoch: epoch, roleEpoch: json["role_epoch"]?.integer)
    }
}
