/// The services behind the gateway, as all processes address them.
public enum ServiceName: String, Sendable, CaseIterable {
    case identity, tenant, crm, activity, support

    /// The port of the API; metrics and health are 100 above.
    public var defaultPort: Int { 8101 + index }

    /// The place in tables by service, from 0.
    public var index: Int {
        switch self {
        case .identity: 0
        case .tenant: 1
        case .crm: 2
        case .activity: 3
        case .support: 4
        }
    }
}
