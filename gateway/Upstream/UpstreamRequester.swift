import Core
import NIOCore

/// Why there is no answer, or no whole one.
enum UpstreamFailure: Error, Equatable {
    /// No address can be reached; nothing was sent.
    case unreachable
    /// Too many requests wait, or this one has waited for too long; nothing was sent.
    case overloaded
    /// The tenant has as many requests under way as it may; nothing was sent.
    case tenantBusy
    /// The connection ended before a byte of the answer.
    /// - Parameter isReused: Whether it had served requests before: then the upstream may have closed it while idle.
    case closedBeforeAnswer(isReused: Bool)
    /// The answer is not HTTP, or ended early.
    case broken
}

/// Which places of an upstream a request takes, so that long ones never take those of short ones.
enum UpstreamLane: Int, CaseIterable, Sendable {
    /// Requests that are whole, and answers that end.
    case ordinary
    /// Bodies that are streamed up.
    case bulk
    /// Answers that stay open.
    case stream

    /// As the log and the metrics tell it.
    var name: StaticString {
        switch self {
        case .ordinary: "ordinary"
        case .bulk: "bulk"
        case .stream: "stream"
        }
    }
}

/// Who wants a request answered by an upstream. All calls come on the pool's event loop; a requester has one request at a time.
///
/// After the last part of an answer, or a failure, the connection is no longer the requester's.
protocol UpstreamRequester: AnyObject {
    /// Whether the request may be sent again when its connection ends without an answer.
    var mayBeRepeated: Bool { get }
    /// Whose request it is, for fairness; those of nobody in particular share what one tenant would have.
    var tenant: TenantID? { get }
    var lane: UpstreamLane { get }
    /// The most requests of the tenant at a time, to one service on one event loop, those that wait among them; `nil` for as many as the
    /// lane lets.
    var concurrency: Int? { get }
    /// A connection is there for the request; the requester sends it.
    func upstreamReady(_ connection: UpstreamConnection)
    /// The head of the answer, with the part of its content that came with it.
    func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool)
    /// More content, without the framing of chunks; empty only when it is the last.
    func upstreamBody(_ content: ByteBuffer, isLast: Bool)
    func upstreamFailed(_ failure: UpstreamFailure)
    /// More of the request may be sent, after ``UpstreamConnection/isWritable`` was false.
    func upstreamWritable()
}

extension UpstreamRequester {
    var tenant: TenantID? { nil }
    var lane: UpstreamLane { .ordinary }
    var concurrency: Int? { nil }
    func upstreamWritable() {}
}
