/// What is known of every call, signed in or not: who asks to be traced, from where, and until when an answer is of use.
public struct EdgeContext: Sendable, Hashable {
    /// `[A-Za-z0-9._-]{1,64}`; on every log line and in every error.
    public var requestID: String
    /// The instant after which nobody waits for the answer.
    public var deadline: Timestamp
    /// The client's address as the gateway saw it; empty for calls that did not come from outside.
    public var address: String
    /// Set by a service for requests that only read: long work for them is given up when the client has gone. Travels no further.
    public var presence: Presence?

    public init(requestID: String, deadline: Timestamp, address: String = "") {
        self.requestID = requestID
        self.deadline = deadline
        self.address = address
    }
}

/// A member of a tenant who makes a request. Every access to tenant data takes one; it comes from a verified signature only
/// (``ContextVerifier``), or from ``init(tenant:user:session:edge:)`` where a service has its own reason to let a user act.
public struct RequestContext: Sendable, Hashable {
    public var tenant: TenantID
    public var user: UserID
    public var session: SessionID?
    /// The role's name, a built-in or a custom one; what it allows is in ``permissions``.
    public var role: String
    public var permissions: PermissionSet
    public var scopes: RowScopes
    /// What the role takes away of single fields.
    public var fields: FieldRules
    /// The plan's name: `free`, `pro`, `enterprise` by default.
    public var plan: String
    /// What the plan limits, by name (`leads`, `users`); what is absent is unlimited.
    public var limits: [String: Int]
    /// Where the tenant is (ISO 3166-1, two letters): how its members dial. `nil` where it does not say.
    public var country: String?
    /// What the tenant counts in (ISO 4217).
    public var currency: String
    /// Whose clocks the tenant goes by (IANA).
    public var timeZone: String
    /// The month that the tenant's fiscal year begins with, 1 to 12.
    public var fiscalYearStarts: Int
    public var edge: EdgeContext

    public init(
        tenant: TenantID, user: UserID, session: SessionID? = nil, role: String, permissions: PermissionSet, scopes: RowScopes,
        fields: FieldRules = .none, plan: String, limits: [String: Int] = [:], country: String? = nil,
        currency: String = Currency.initial, timeZone: String = TimeZoneName.initial, fiscalYearStarts: Int = FiscalYear.initial,
        edge: EdgeContext
    ) {
        self.tenant = tenant
        self.user = user
        self.session = session
        self.role = role
        self.permissions = permissions
        self.scopes = scopes
        self.fields = fields
        self.plan = plan
        self.limits = limits
        self.country = country
        self.currency = currency
        self.timeZone = timeZone
        self.fiscalYearStarts = fiscalYearStarts
        self.edge = edge
    }

    /// A user who may act in the tenant for one transaction of the service's own, with no permission of a role: who accepts an
    /// invitation, makes an organisation, or whose session is ended for a theft.
    public init(tenant: TenantID, user: UserID, session: SessionID? = nil, edge: EdgeContext) {
        self.init(
            tenant: tenant, user: user, session: session, role: "", permissions: PermissionSet(), scopes: RowScopes(), plan: "",
            edge: edge)
    }

    public var requestID: String { edge.requestID }
    public var deadline: Timestamp { edge.deadline }

    /// - Throws: ``Problem`` `forbidden`, naming what is missing.
    public func require(_ permission: Permission) throws(Problem) {
        if let missing = missing(for: permission) { throw .forbidden(missing) }
    }

    /// What the caller lacks to make use of a permission; `nil` when nothing. To change records takes that to read them too, since the answer shows
    /// them, also to a change that changes nothing.
    public func missing(for permission: Permission) -> Permission? {
        if !permissions.contains(permission) { return permission }
        guard permission.action == .update else { return nil }
        let reading = Permission(permission.resource, .read)
        return permissions.contains(reading) ? nil : reading
    }
}

/// A service that acts for no member: the outbox relay, the job queue, a call from another service.
public struct SystemContext: Sendable, Hashable {
    /// The service's name: `crm`.
    public var service: String
    public var edge: EdgeContext

    public init(service: String, edge: EdgeContext) {
        self.service = service
        self.edge = edge
    }

    /// A context of the service's own making, for work that nobody asked for.
    public init(service: String, timeout: Duration = .seconds(30)) {
        self.init(
            service: service,
            edge: EdgeContext(requestID: Identifier<Never>().description, deadline: Timestamp.now.advanced(by: timeout)))
    }

    public var requestID: String { edge.requestID }
    public var deadline: Timestamp { edge.deadline }
}

/// Who makes a call, once its signature is verified.
public enum Caller: Sendable, Hashable {
    case anonymous(EdgeContext)
    case member(RequestContext)
    case service(SystemContext)

    /// The same caller in another request.
    public func with(_ edge: EdgeContext) -> Caller {
        switch self {
        case .anonymous: return .anonymous(edge)
        case .member(var context):
            context.edge = edge
            return .member(context)
        case .service(var context):
            context.edge = edge
            return .service(context)
        }
    }

    /// The same caller, whose client can be asked for.
    public func watched(by presence: Presence) -> Caller {
        var edge = edge
        edge.presence = presence
        return with(edge)
    }

    /// In whose name; `nil` for a call that is no member's.
    public var tenant: TenantID? {
        if case .member(let context) = self { context.tenant } else { nil }
    }

    public var edge: EdgeContext {
        switch self {
        case .anonymous(let edge): edge
        case .member(let context): context.edge
        case .service(let context): context.edge
        }
    }
}
