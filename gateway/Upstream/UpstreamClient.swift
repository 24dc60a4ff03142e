import NIOCore

/// Why there is no answer, or no whole one.
enum UpstreamFailure: Error, Equatable {
    /// No connection; nothing was sent.
    case connectFailed
    /// Every address is held back after failures; nothing was sent.
    case ejected
    /// Too many requests wait for a connection; nothing was sent.
    case overloaded
    /// The connection ended before a byte of the answer.
    /// - Parameter isReused: Whether it had served requests before: then the upstream may have closed it while idle.
    case closedBeforeAnswer(isReused: Bool)
    /// The answer is not HTTP, or ended early.
    case broken
}

/// Who wants a request answered by an upstream. All calls come on the pool's event loop; the client has one request at a time.
protocol UpstreamClient: AnyObject {
    /// Whether chunked bodies are wanted without their framing.
    var wantsContent: Bool { get }
    /// Whether the request may be sent again when its connection ends without an answer.
    var mayBeRepeated: Bool { get }
    /// A connection is there for the request; the client sends it.
    func upstreamReady(_ connection: UpstreamConnection)
    /// The head of the answer, with the part of the body that came with it.
    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool)
    func upstreamBody(_ body: ByteBuffer, isLast: Bool)
    func upstreamFailed(_ failure: UpstreamFailure)
}
