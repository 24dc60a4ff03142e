import Core
import Hummingbird
import NIOCore
import Synchronization

/// A request's body in pieces, held to its length.
struct UploadPieces: AsyncSequence, Sendable {
    let body: RequestBody
    let limit: Int
    /// What `Content-Length` said.
    let announced: Int?
    let silence: UploadSilence

    func makeAsyncIterator() -> Iterator {
        Iterator(body: body.makeAsyncIterator(), limit: limit, announced: announced, silence: silence)
    }

    struct Iterator: AsyncIteratorProtocol {
        fileprivate var body: RequestBody.AsyncIterator
        fileprivate let limit: Int
        fileprivate let announced: Int?
        fileprivate let silence: UploadSilence
        private var count = 0

        fileprivate init(body: RequestBody.AsyncIterator, limit: Int, announced: Int?, silence: UploadSilence) {
            self.body = body
            self.limit = limit
            self.announced = announced
            self.silence = silence
        }

        /// - Throws: ``Problem`` `body_too_large`, or `invalid_request` when the body ends before it is whole.
        mutating func next() async throws -> [UInt8]? {
            silence.begins()
            defer { silence.ends() }
            do {
                guard let piece = try await body.next() else {
                    if let announced, count < announced { throw ServiceResponder.cutOff() }
                    return nil
                }
                count += piece.readableBytes
                guard count <= limit else { throw ServiceResponder.tooLarge(limit) }
                return Array(piece.readableBytesView)
            } catch let problem as Problem {
                throw problem
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                throw ServiceResponder.cutOff(error)
            }
        }
    }
}

/// How long the sender of a body has been waited for. The time that its taker takes does not count.
final class UploadSilence: Sendable {
    private let since = Mutex<ContinuousClock.Instant?>(nil)
    private let limit: Duration

    /// - Parameter limit: the longest wait for a piece.
    init(limit: Duration) { self.limit = limit }

    func begins() { since.withLock { $0 = .now } }
    func ends() { since.withLock { $0 = nil } }

    /// Ends with the task, or because no piece has come for too long.
    ///
    /// - Throws: ``Problem`` `invalid_request`.
    func watch() async throws {
        var next = ContinuousClock.now + limit
        while true {
            try await Task.sleep(until: next)
            let end = (since.withLock { $0 } ?? .now) + limit
            guard end > .now else { throw Problem(.invalidRequest, "Nothing more of the body came for \(limit).") }
            next = end
        }
    }
}
