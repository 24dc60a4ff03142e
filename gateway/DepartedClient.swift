import NIOCore

/// Takes the place of a client that has gone while its request was with a service, until the answer's head tells how many operations it held: they
/// were done all the same, and whoever hangs up would else be charged one for all of them.
final class DepartedClient: UpstreamRequester {
    private let limits: [LeasedBucket]
    private weak var upstream: UpstreamConnection?
    private var timeout: Scheduled<Void>?

    init(limits: [LeasedBucket]) { self.limits = limits }

    /// The connection holds it meanwhile.
    func wait(at upstream: UpstreamConnection, until deadline: NIODeadline, on eventLoop: any EventLoop) {
        self.upstream = upstream
        upstream.handOver(to: self)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        timeout = eventLoop.scheduleTask(deadline: deadline) {
            let client = bound.value
            client.upstream?.abandonLate(for: client)
        }
    }

    var mayBeRepeated: Bool { false }

    func upstreamReady(_ connection: UpstreamConnection) {}

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        for limit in limits where head.operations > 1 { limit.owe(head.operations - 1, now: .now()) }
        timeout?.cancel()
        // Of the answer itself nobody wants anything.
        if !isLast { upstream?.abandon(for: self) }
    }

    func upstreamBody(_ content: ByteBuffer, isLast: Bool) {}

    func upstreamFailed(_ failure: UpstreamFailure) { timeout?.cancel() }
}
