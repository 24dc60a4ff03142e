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

    /// Looks, and has the worker count the difference.
    ///
    /// - Returns: Whether the client has taken anything since the last look.
    mutating func update(_ channel: any Channel, worker: Worker) -> Bool {
        guard mayBeLeft else { return false }
        // The option is one of all channels that write to sockets; a channel without it holds nothing.
        let now = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let before = buffered
        buffered = now
        if now == 0 {
            shared = 0
            mayBeLeft = false
        }
        let owned = max(0, now - shared)
        let difference = owned - count
        count = owned
        if difference != 0 { worker.noteUntaken(difference) }
        return now < before
    }

    /// The connection has ended, and holds nothing any more.
    mutating func clear(worker: Worker) {
        if count > 0 { worker.noteUntaken(-count) }
        self = UntakenBytes()
    }
}
