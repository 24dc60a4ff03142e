import NIOCore

/// One request and its answer on a connection of HTTP/2, as ``HTTP2Session`` keeps it.
final class HTTP2Stream {
    /// An answer's bytes that wait for room are few enough to go on below this, and too many above.
    static let outboundLow = 16 * 1024
    static let outboundHigh = 64 * 1024

    let id: Int32

    // The request.
    var reader = HTTP2HeadReader()
    /// Whether the head is whole.
    var hasHead = false
    var expectsContinue = false
    /// Whether a body follows the head.
    var hasBody = false
    /// The fields after the body, which nobody reads.
    var trailers: HTTP2HeadReader?
    /// The part of the body that nobody has asked for yet.
    var inbound = ByteBuffer()
    var wantsBody = false
    /// Whether what comes of the body is dropped.
    var dropsBody = false
    /// Whether the client has sent the last byte of the request.
    var isEnded = false
    /// Bytes of the body for which the client has not been given new room.
    var unconsumed = 0

    // The answer.
    var outbound = ByteBuffer()
    /// Whether others hold the memory of `outbound` too.
    var sharesOutbound = false
    var isAnswered = false
    /// Whether the body of the answer stays here.
    var dropsAnswer = false
    /// Whether `outbound` holds the last byte of the answer.
    var holdsLast = false
    /// Whether the last byte of the answer is on its way. The stream is over when that of the request has come, too.
    var isAnswerSent = false
    /// When the client last took a part of the answer, or could not because there was none.
    var progressAt = NIODeadline.uptimeNanoseconds(0)

    // Its end.
    /// Whether the gateway has ended it before its time; what is left of the answer is not sent.
    var isAborted = false
    var isClosed = false
    var isResetByClient = false
    var closeCode = HTTP2ErrorCode.noError

    // What has to be told of it.
    var isListed = false
    var isRequestTold = false
    var isEndTold = false
    var awaitsWritable = false

    /// Who has the request. Set when it is told, and gone when the stream is.
    var exchange: Exchange?
    weak var connection: HTTP2Connection?

    init(id: Int32) { self.id = id }
}
