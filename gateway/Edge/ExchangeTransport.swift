import Core
import NIOCore

/// What carries an exchange, whatever the protocol: all that an exchange sees of its connection. Every call comes on the connection's
/// event loop.
protocol ExchangeTransport: AnyObject {
    /// As the access log tells it.
    var version: StaticString { get }
    /// Whether the client waits to be asked for its body, and has sent none of it.
    var awaitsContinue: Bool { get }
    /// Asks for the request's body; called once. It comes by ``Exchange/receive(_:isLast:)``, what is here already at once.
    func startBody()
    /// Holds the body back until ``resumeBody()``; a part that is on its way may still come.
    func pauseBody()
    func resumeBody()
    /// Whether the client takes its answer so fast that more may be written. When it does again, ``Exchange/becameWritable()`` is called.
    var isWritable: Bool { get }
    /// Writes the head of the answer and the first part of its body. Whoever passes `isLast` has ended the exchange.
    ///
    /// - Parameter lines: Fields as lines `name: value` CR LF, none of which is about framing or the connection.
    func answer(_ head: AnswerHead, lines: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool)
    /// Writes more of the body.
    ///
    /// - Parameter isShared: Whether others hold the same memory too, so that it costs nothing while the client does not take it.
    func write(_ part: ByteBuffer, isShared: Bool, isLast: Bool)
    /// Ends an answer that cannot be completed, so that the client sees that it is not whole.
    func abort()
}

/// How an answer begins.
struct AnswerHead {
    var status: Int
    /// Bytes of the body; `nil` when they are not known yet, or when there can be no body.
    var contentLength: Int?
    /// Whether the body stays here, as that of an answer to HEAD does.
    var dropsBody = false

    /// Whether a body follows, however long.
    var hasBody: Bool { status >= 200 && status != 204 && status != 304 }
}

/// What all exchanges of a connection know of their client.
final class Client {
    let address: IPAddress?
    /// The address as the signed context tells it.
    private(set) lazy var addressText = Array((address?.text ?? "").utf8)
    /// The token of the request before: most clients send the same one each time.
    var lastToken: VerifiedToken?
    /// What it is counted by in the ``ConnectionCensus``.
    var censusKey: String?

    init(address: IPAddress?) { self.address = address }
}

/// Why a request's body is not read to its end.
enum BodyFault {
    /// Its framing is broken.
    case malformed
    /// Its framing takes more than the content is worth.
    case tooMuchFraming
}
