extension Call {
    /// The field in which the gateway tells a service which tenant the request names by its host or by `X-Tenant`, where no token says
    /// so: a slug in lower case. From clients nothing of that name comes through.
    public static let namedTenantHeader = "martlet-tenant"

    /// The slug of the tenant that the request names. It gives no right: it chooses among those that the caller has anyway.
    public var namedTenant: String? { header(Self.namedTenantHeader) }
}
