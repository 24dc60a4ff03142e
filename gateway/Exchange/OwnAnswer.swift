import NIOCore

/// An answer that the gateway gives by itself.
struct OwnAnswer: Sendable {
    var status: Int
    var type: StaticString?
    /// The same memory for all who are sent it.
    var body = ByteBuffer()
    /// The same in gzip, for those who prefer it.
    var compressedBody: ByteBuffer?
    /// The value of Content-Security-Policy, where it is not ``AnswerFields/closedPolicy``.
    var policy: [UInt8]?
    /// More fields, as whole lines.
    var lines: StaticString = ""
}
