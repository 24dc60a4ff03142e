import Core

/// The statement that tells Postgres for whom a transaction acts: row security and the audit trigger read the settings, which
/// end with the transaction.
enum ContextSettings {
    static func sql(for context: RequestContext) -> SQL {
        sql(
            tenant: context.tenant.description, user: context.user == .nobody ? "" : context.user.description, request: context.requestID,
            limits: context.limits.isEmpty ? nil : text(of: context.limits))
    }

    static func sql(for context: SystemContext) -> SQL {
        sql(tenant: "", user: "", request: context.requestID, limits: nil)
    }

    // An absent app.limits reads as empty: nothing on these connections sets it for longer than a transaction.
    private static func sql(tenant: String, user: String, request: String, limits: String?) -> SQL {
        if let limits {
            return SQL(unescaped: withLimits, binds: [.text(tenant), .text(user), .text(request), .text(limits)])
        }
        return SQL(unescaped: withoutLimits, binds: [.text(tenant), .text(user), .text(request)])
    }

    private static let withoutLimits =
        "select set_config('app.tenant', $1, true), set_config('app.user', $2, true), set_config('app.request', $3, true)"
    private static let withLimits = withoutLimits + ", set_config('app.limits', $4, true)"

    private static func text(of limits: [String: Int]) -> String {
        limits.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
    }
}
