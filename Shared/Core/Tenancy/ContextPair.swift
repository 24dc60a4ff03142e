/// Of two processes the one that calls and the one that is called. Each pair has keys of its own, which nobody else has: what is signed for
/// one is refused by every other, and who is called by another cannot sign for a third.
public struct ContextPair: Sendable, Hashable {
    /// A service's name, or ``gateway``.
    public var caller: String
    public var callee: String
    /// Whether the caller may say who asks: a member, or a client that is not signed in. Others ask as themselves, and are believed
    /// nothing else.
    public var speaksForClients: Bool

    public static let gateway = "gateway"

    public init(caller: String, callee: String, speaksForClients: Bool) {
        self.caller = caller
        self.callee = callee
        self.speaksForClients = speaksForClients
    }

    /// How settings name it: `tenant-crm`.
    public var name: String { "\(caller)-\(callee)" }
}
