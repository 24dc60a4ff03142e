/// Whether anyone still waits for the answer to a request. Of no account for what a context says: two with different ones are the same.
public struct Presence: Sendable, Hashable {
    /// Cheap to ask, from any thread.
    public let hasLeft: @Sendable () -> Bool

    public init(hasLeft: @escaping @Sendable () -> Bool) { self.hasLeft = hasLeft }

    public static func == (left: Self, right: Self) -> Bool { true }
    public func hash(into hasher: inout Hasher) {}
}
