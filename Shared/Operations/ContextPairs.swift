import Core

extension ContextPair {
    /// All pairs of processes of which one calls the other, and so all that there are keys for. compose/context-keys has the same list.
    public static let all: [ContextPair] =
        ServiceName.allCases.map { ContextPair(caller: gateway, callee: $0.rawValue, speaksForClients: true) } + [
            // Memberships, organisations and invitations; and its own command that appoints operators.
            .init(.identity, calls: .tenant), .init(.identity, calls: .identity),
            // Whether a member reaches a record, asked as that member.
            .init(.tenant, calls: .crm, speaksForClients: true), .init(.tenant, calls: .support, speaksForClients: true),
            // Members, and what they may do now.
            .init(.crm, calls: .tenant), .init(.support, calls: .tenant),
            // Tickets that records refer to.
            .init(.crm, calls: .support),
        ]
        // Each hands its events over, and some follow the log of all.
        + ServiceName.allCases.map { .init($0, calls: .activity) }

    private init(_ caller: ServiceName, calls callee: ServiceName, speaksForClients: Bool = false) {
        self.init(caller: caller.rawValue, callee: callee.rawValue, speaksForClients: speaksForClients)
    }
}

extension ContextKeys {
    /// The setting that every process has.
    public static let setting = Setting(
        "context.keys", isSecret: true, isRequired: true,
        "id:caller-callee:hex[,…], 64 or more hexadecimal digits a key: one or more of each pair of processes that this one is of, as compose/context-keys prints them; of a pair the first signs, all verify."
    )

    /// Reads the setting.
    ///
    /// - Parameter process: a service's name, or `gateway`.
    /// - Throws: ``SettingError``.
    public init(_ settings: Settings, of process: String) throws {
        let text = try settings.required(Self.setting.key, "the keys of \(process), as compose/context-keys prints them", isSecret: true)
        do {
            self = try ContextKeys(text, of: process, pairs: ContextPair.all)
        } catch {
            throw SettingError(key: Self.setting.key, description: "setting \(Self.setting.name): \(error)")
        }
    }
}
