import NIOCore

/// How much of what was written to a connection its client has not taken yet. Looked at a few times a second, and when the channel is
/// full, not at each write.
struct UntakenBytes {
    /// At the last look, without what is shared.
    private(set) var count = 0
    private var buffered = 0
    /// Bytes written that others hold too, until all has been taken.
    var shared = 0
    /// Whether anything was written since all had been taken.
    var mayBeLeft = false

    /// Looks how much is left.
    ///
    /// - Returns: By how much ``count`` has changed, and whether the client has taken anything since the last look.
    mutating func look(at channel: any Channel) -> (change: Int, hasTaken: Bool) {
        guard mayBeLeft else { return (0, false) }
        // The option is one of all channels that write to sockets; a channel without it holds nothing.
        let now = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        defer { buffered = now }
        if now == 0 {
            shared = 0
            mayBeLeft = false
        }
        let owned = max(0, now - shared)
        defer { count = owned }
        return (owned - count, now < buffered)
    }
}
