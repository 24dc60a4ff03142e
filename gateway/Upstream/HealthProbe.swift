import NIOCore

/// A request of the pool's own, to see whether an address is back: connects, asks, and takes any answer for a sign of life. A service
/// answers it without its database, since it carries no signed context; one that is about to stop says so, and is not back.
final class HealthProbe: UpstreamRequester {
    private static let timeout = TimeAmount.seconds(1)
    private static let request = ByteBuffer(string: "GET /livez HTTP/1.1\r\nHost: martlet\r\n\r\n")

    let mayBeRepeated = false
    private let onEnd: (Bool) -> Void
    private var connection: UpstreamConnection?
    private var timer: Scheduled<Void>?
    private var isKept = true

    var isWaiting: Bool { timer != nil }

    /// - Parameter onEnd: Called once, with whether the address is back.
    init(onEnd: @escaping (Bool) -> Void) { self.onEnd = onEnd }

    func upstreamReady(_ connection: UpstreamConnection) {
        self.connection = connection
        connection.send(Self.request)
    }

    func start(on eventLoop: any EventLoop) {
        timer = eventLoop.assumeIsolated().scheduleTask(in: Self.timeout) { [self] in
            connection?.abandon(for: self)
            end(false)
        }
    }

    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
        isKept = head.keepsAlive
        if isLast { end(isKept) }
    }

    func upstreamBody(_ content: ByteBuffer, isLast: Bool) { if isLast { end(isKept) } }

    func upstreamFailed(_ failure: UpstreamFailure) { end(false) }

    /// No connection could be made.
    func connectFailed() { end(false) }

    private func end(_ isBack: Bool) {
        guard let timer else { return }
        timer.cancel()
        self.timer = nil
        connection = nil
        onEnd(isBack)
    }
}
