import NIOCore

/// Compresses answers for clients who ask for it. One for each event loop, on which it is used: it has the loop's compressors.
final class AnswerCompression {
    /// What is to be done with one answer.
    struct Decision: Equatable {
        /// Whether the content is sent in gzip. Then ``AnswerCompression/begin(length:)`` starts it; an answer to HEAD has the same fields,
        /// less a length, which is not known, and starts nothing.
        var compresses: Bool
        /// Whether the answer would have been another for a client that asks for another coding. Then the fields have
        /// ``AnswerCompression/varyLine``.
        var varies: Bool
    }

    static let varyLine: StaticString = "Vary: Accept-Encoding\r\n"
    static let codingLine: StaticString = "Content-Encoding: gzip\r\n"

    /// Bytes below which the answer fits into one packet anyway.
    static let minimum = 1024

    /// Paths whose answers hold secrets: tokens, invitations, keys of clients and of webhooks. In a compressed answer a secret beside what
    /// the request has chosen could be guessed by the answer's length (BREACH). That takes a browser that sends the victim's credentials for
    /// any page, which it does not with ours, since they are no cookies; so this is a second wall.
    static let secretPaths: Set<String> = ["/v1/auth", "/v1/invitations", "/v1/api-keys", "/v1/webhooks"]

    /// At most so many compressors at once, of 128 KiB each: 2 MiB a loop. Answers beyond go as they are, so that many who read slowly cost
    /// others the compression and no more.
    private static let limit = 16

    private var idle: [Deflater] = []
    private var busy = 0

    /// - Parameters:
    ///   - length: Bytes of the content; `nil` while they are not known.
    ///   - isSecret: Whether the path is below one of ``secretPaths``.
    static func decide(
        status: Int, length: Int?, content: AnswerContent, accepted: AcceptedCodings, isSecret: Bool
    ) -> Decision {
        let hasContent = status >= 200 && status != 204 && status != 206 && status != 304
        guard hasContent, content.mayBeCoded, !isSecret else { return Decision(compresses: false, varies: false) }
        return Decision(compresses: length ?? .max >= minimum && accepted.prefersGzip, varies: true)
    }

    /// Starts an answer's content.
    ///
    /// - Parameter length: Bytes of the content. Where they are not known, each part is passed on at once, in full: its sender may not have
    ///   the next one yet.
    /// - Returns: `nil` when all compressors are busy: the answer goes as it is, and still varies.
    func begin(length: Int?) -> CompressedContent? {
        guard busy < Self.limit else { return nil }
        busy += 1
        return CompressedContent(deflater: idle.popLast() ?? Deflater(), flushes: length == nil, compression: self)
    }

    fileprivate func end(_ deflater: Deflater) {
        busy -= 1
        deflater.reset()
        idle.append(deflater)
    }

    /// Compresses what is sent many times, such as a page of the gateway's own: once, and not for each client.
    static func compressed(_ content: ByteBuffer) -> ByteBuffer {
        var output = ByteBuffer()
        content.withUnsafeReadableBytes { Deflater().compress($0, into: &output, ending: .stream) }
        return output
    }
}

/// One answer's content on its way through a compressor, which it gives back with its last part, or with its own end when the answer is
/// broken off.
final class CompressedContent {
    private var deflater: Deflater?
    private let flushes: Bool
    private let compression: AnswerCompression

    fileprivate init(deflater: Deflater, flushes: Bool, compression: AnswerCompression) {
        self.deflater = deflater
        self.flushes = flushes
        self.compression = compression
    }

    deinit { giveBack() }

    /// - Returns: What to send; empty when the part waits in the compressor for the next.
    func compress(_ part: UnsafeRawBufferPointer, isLast: Bool) -> ByteBuffer {
        guard let deflater else { preconditionFailure("the part before was the last") }
        var output = ByteBuffer()
        if isLast {
            deflater.compress(part, into: &output, ending: .stream)
            giveBack()
        } else if !part.isEmpty {
            deflater.compress(part, into: &output, ending: flushes ? .part : .nothing)
        }
        return output
    }

    private func giveBack() {
        if let deflater { compression.end(deflater) }
        deflater = nil
    }
}
