/// What sets a route apart whose body or answer is too long, or takes too long, to be whole before it goes on. All other routes get their body
/// whole and answer within the request's deadline.
public enum Streaming: Sendable, Hashable {
    /// The body comes piece by piece, as ``Call/upload``; of one of these media types, and of up to so many bytes.
    case upload(types: [String], limit: Int = Streaming.largestUpload)
    /// The answer goes on for as long as somebody takes it, by ``Reply/stream``.
    case answer

    /// 1 GiB.
    public static let largestUpload = 1 << 30
}

/// The body of a request as it comes: pieces of up to some ten kilobytes, to be taken once, by one task.
///
/// The next piece is read when the one before was taken, so that who sends is no faster than who takes. It ends with an error unless the
/// body was whole.
public struct Upload: AsyncSequence, Sendable {
    private let begin: @Sendable () -> Iterator

    public init<Pieces: AsyncSequence & Sendable>(_ pieces: Pieces) where Pieces.Element == [UInt8] {
        begin = {
            var iterator = pieces.makeAsyncIterator()
            return Iterator { try await iterator.next() }
        }
    }

    public func makeAsyncIterator() -> Iterator { begin() }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let step: () async throws -> [UInt8]?

        public mutating func next() async throws -> [UInt8]? { try await step() }
    }
}
