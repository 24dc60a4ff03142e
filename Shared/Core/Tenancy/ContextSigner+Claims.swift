/// The claims part of a signed context: written for a token, and read.
extension ContextSigner {
    public static let anonymousClaims = "-"
    static let serviceClaims = "s"

    /// The claims part for a member, to be kept with the token that it came from.
    public static func claims(of context: RequestContext) -> String {
        let limits = context.limits.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
        let claims = [
            context.fields.isEmpty ? "u" : "r", context.tenant.description, context.user.description, context.session?.description ?? "-",
            context.role,
            context.permissions.encoded, context.scopes.encoded, context.plan, limits.isEmpty ? "-" : limits,
            context.country.flatMap { Country.code($0) } ?? "-", context.fields.encoded, Currency.code(context.currency) ?? "-",
            TimeZoneName.form(context.timeZone) ?? "-",
        ].joined(separator: ",")
        return context.fiscalYearStarts == FiscalYear.initial ? claims : "\(claims),\(context.fiscalYearStarts)"
    }

    /// The member whom the claims are of; `nil` when they are malformed, or of a caller of another kind.
    static func member(claims: String, edge: EdgeContext) -> RequestContext? {
        let fields = claims.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 9, fields[0] == "u" || fields[0] == "r" && fields.count > 10, let tenant = TenantID(fields[1]),
            let user = UserID(fields[2]),
            let permissions = PermissionSet(encoded: fields[5]), let scopes = RowScopes(encoded: fields[6]),
            let rules = fields.count > 10 ? FieldRules(encoded: fields[10]) : FieldRules.none
        else { return nil }
        var limits: [String: Int] = [:]
        if fields[8] != "-" {
            for pair in fields[8].split(separator: "&") {
                let halves = pair.split(separator: "=")
                if halves.count == 2, let number = Int(halves[1]) { limits[String(halves[0])] = number }
            }
        }
        return RequestContext(
            tenant: tenant, user: user, session: SessionID(fields[3]), role: String(fields[4]), permissions: permissions,
            scopes: scopes, fields: rules, plan: String(fields[7]), limits: limits,
            country: fields.count > 9 ? Country.code(fields[9]) : nil,
            currency: fields.count > 11 ? Currency.code(fields[11]) ?? Currency.initial : Currency.initial,
            timeZone: fields.count > 12 ? TimeZoneName.form(fields[12]) ?? TimeZoneName.initial : TimeZoneName.initial,
            fiscalYearStarts: fields.count > 13
                ? Int(fields[13]).flatMap { FiscalYear.start($0) } ?? FiscalYear.initial : FiscalYear.initial,
            edge: edge)
    }
}
