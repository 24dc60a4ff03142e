import NIOCore

/// An answer that the gateway gives by itself.
struct OwnAnswer: Sendable {
    var status: Int
    var type: StaticString?
    /// The same memory for all who are sent it.
    var body = ByteBuffer()
    /// The same in gzip, for those who prefer it.
    var compressedBody: ByteBuffer?
    /// The value of Content-Security-Policy.
    var policy = OwnAnswer.closedPolicy
    /// More fields, as whole lines.
    var lines: StaticString = ""

    static let closedPolicy = Array("default-src 'none'".utf8)
}
